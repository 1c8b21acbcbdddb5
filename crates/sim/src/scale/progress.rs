//! What is shown while a run goes on: a line that changes on a terminal, a line for each part elsewhere.

use std::{
    fmt::Write,
    io::{self, IsTerminal, Write as _},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::{sync::watch, task::JoinSet, time};

use super::{observer::Counts, report::PartReport};

/// How often the line changes.
const TICK: Duration = Duration::from_millis(200);

/// See the module.
pub(super) struct Progress {
    bar: ProgressBar,
    ticking: JoinSet<()>,
}

impl Progress {
    /// One that shows nothing yet.
    pub(super) fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} [{elapsed}] {prefix}: {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Self { bar, ticking: JoinSet::new() }
    }

    /// A part begins.
    pub(super) fn begin(&mut self, what: &str, counts: Option<watch::Receiver<Counts>>) {
        self.ticking.abort_all();
        self.bar.set_prefix(what.to_owned());
        self.bar.reset_elapsed();
        self.bar.set_message("");
        let bar = self.bar.clone();
        self.ticking.spawn(async move {
            loop {
                if let Some(counts) = &counts {
                    bar.set_message(shown(&counts.borrow()));
                }
                bar.tick();
                time::sleep(TICK).await;
            }
        });
    }

    /// A part has ended so.
    pub(super) fn end(&mut self, part: &PartReport) {
        self.ticking.abort_all();
        let mut line = format!("{}: {:.2} s", part.part.name(), part.seconds);
        for figure in &part.figures {
            // To a string it never fails.
            let _ = write!(line, "; {} {:.3} {}", figure.name, figure.value, figure.unit);
        }
        if let Some(problem) = &part.problem {
            line = format!("{line}; INCOMPLETE: {problem}");
        }
        self.say(&line);
    }

    /// Says something that stays.
    pub(super) fn say(&self, line: &str) {
        if io::stderr().is_terminal() {
            self.bar.println(line);
        } else {
            // Nobody may read it.
            let _ = writeln!(io::stderr(), "{line}");
        }
    }

    /// Nothing is shown any more.
    pub(super) fn finish(mut self) {
        self.ticking.abort_all();
        self.bar.finish_and_clear();
    }
}

fn shown(counts: &Counts) -> String {
    let Counts { present, wanted, placed, active, .. } = counts;
    format!("{present} machines; {active} active and {placed} placed of {wanted} units")
}
