//! Log lines: `LEVEL file:line: message key=value`, to stderr, with the journal's priority prefix
//! when stderr is the journal (`fleetd.md` 4, `spec/README.md` 9). Nobody waits for stderr: lines
//! are queued (`logging/queue.rs`).

use std::{
    fmt,
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
    time::Duration,
};

use tracing::{Event, Level, Subscriber, error, field::Field, level_filters::LevelFilter};
use tracing_subscriber::{
    filter::Targets,
    fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter, format::Writer},
    layer::SubscriberExt,
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt,
};

mod queue;

pub(crate) use queue::Queue;

/// The longest that fleetd waits for its last lines to be written when it ends.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(2);

/// The target of the line that says why fleetd ends.
pub(crate) const FATAL: &str = "fleetd::fatal";

/// Turns DEBUG on and off while fleetd runs.
#[derive(Clone, Debug)]
pub(crate) struct Verbosity(reload::Handle<Targets, tracing_subscriber::Registry>);

impl Verbosity {
    /// Sets whether DEBUG lines of fleet are logged.
    pub(crate) fn set(&self, debug: bool) {
        // The subscriber lives as long as the process, so there is nothing that could fail.
        let _ = self.0.reload(targets(debug));
    }
}

/// What is logged: our own lines; of libraries only what goes wrong.
fn targets(debug: bool) -> Targets {
    let level = if debug { LevelFilter::DEBUG } else { LevelFilter::INFO };
    Targets::new().with_default(LevelFilter::ERROR).with_target("fleet", level)
}

/// Whether stderr is the stream that `JOURNAL_STREAM` names: who inherits the variable may have had
/// its stderr led elsewhere (systemd.exec(5)).
pub(crate) fn in_journal(journal_stream: Option<&str>) -> bool {
    is_stream(journal_stream, std::io::stderr().as_fd())
}

fn is_stream(named: Option<&str>, stream: BorrowedFd<'_>) -> bool {
    let named = named.and_then(|named| named.split_once(':'));
    let (Some((device, inode)), Ok(stream)) = (named, nix::sys::stat::fstat(stream)) else {
        return false;
    };
    device.parse() == Ok(stream.st_dev) && inode.parse() == Ok(stream.st_ino)
}

/// Starts logging at INFO. Panics are logged too, instead of printed. Whoever ends the process
/// flushes the queue.
pub(crate) fn start(in_journal: bool) -> (Verbosity, Queue) {
    let queue = Queue::start(std::io::stderr(), move |count| missing(in_journal, count));
    let (subscriber, verbosity) = subscriber(in_journal, queue.clone());
    subscriber.init();
    std::panic::set_hook(Box::new(|panic| error!("{panic}")));
    (verbosity, queue)
}

/// The line that stands for lines that were dropped.
fn missing(in_journal: bool, count: u64) -> String {
    let priority = if in_journal { "<4>" } else { "" };
    format!(
        "{priority}WARN logging.rs:{}: log lines were dropped, the log did not take them count={count}\n",
        line!()
    )
}

/// What writes the lines, and what sets how many.
pub(crate) fn subscriber<W>(
    in_journal: bool,
    writer: W,
) -> (impl Subscriber + Send + Sync, Verbosity)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(targets(false));
    let lines =
        tracing_subscriber::fmt::layer().event_format(Lines { in_journal }).with_writer(writer);
    (tracing_subscriber::registry().with(filter).with(lines), Verbosity(handle))
}

struct Lines {
    in_journal: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let (level, priority) = match *metadata.level() {
            Level::ERROR if metadata.target() == FATAL => ("FATAL", 2),
            Level::ERROR => ("ERROR", 3),
            Level::WARN => ("WARN", 4),
            Level::INFO => ("INFO", 6),
            Level::DEBUG | Level::TRACE => ("DEBUG", 7),
        };
        let mut text = Text::default();
        event.record(&mut text);
        let file = metadata.file().and_then(|file| Path::new(file).file_name());
        let file = file.map_or_else(|| "fleetd".into(), |file| file.to_string_lossy());
        let line = metadata.line().unwrap_or_default();
        if self.in_journal {
            write!(writer, "<{priority}>")?;
        }
        let Text { message, fields } = text;
        writeln!(writer, "{level} {file}:{line}: {}{}", OneLine(&message), OneLine(&fields))
    }
}

/// Text with its control characters written out: one line an event, and none that what comes
/// from outside could forge.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        self.0.chars().try_for_each(|c| match c {
            // Unicode's own line breaks count for some who read logs.
            '\t' => f.write_char(' '),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                write!(f, "{}", c.escape_default())
            }
            c => f.write_char(c),
        })
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl tracing::field::Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        use fmt::Write as _;
        let written = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
        debug_assert!(written.is_ok(), "writing to a string can't fail");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            _ => self.record_debug(field, &value),
        }
    }
}

#[cfg(test)]
mod tests;
