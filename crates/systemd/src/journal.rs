//! What systemd's journal says happened to units: all that is left of one that systemd has forgotten.
//!
//! It is asked by `journalctl`, whose output is a stable interface while the files are not. Only at
//! the start of fleetd and after calls without an answer, only of units that are in doubt. Nothing
//! here fails: where the journal can't be read, nothing is on record.
//!
//! systemd writes one entry when a job begins and one when it has ended, with the unit, the run and
//! what the job does. That none is there proves that nothing happened only where the journal reaches
//! back far enough and has been told of other jobs meanwhile: a host may be set to log less. The
//! start of fleetd itself is such a job.
//!
//! It is read from its end until an entry that is older than what is asked for, by the clock that
//! nobody sets: entries have their order from the journal, not from their times. What came before a
//! moment can't be found by the time of day (`--since`), which may have been set since.

use std::{collections::BTreeMap, io, process::Stdio, time::Duration};

use entry::{Entry, Mark};
use fleet_agent::manager::{Moment, Past};
use fleet_core::UnitName;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, Command},
    time,
};
use tracing::{debug, warn};

use crate::config::Bus;

mod entry;

/// How long all questions together may take: fleetd does nothing to units meanwhile.
const LIMIT: Duration = Duration::from_secs(10);
/// How much of the answer is read, in bytes: some ten thousand entries.
const MAX_ANSWER: u64 = 8 << 20;
/// The fields of an entry that matter, of the system's manager and of a user's. When the journal took
/// it in comes with them.
const FIELDS: &str = "UNIT,USER_UNIT,INVOCATION_ID,USER_INVOCATION_ID,JOB_TYPE,\
                      _SOURCE_REALTIME_TIMESTAMP";

/// How to read a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// The program, and arguments before all others.
    pub command: Vec<String>,
    /// Whose manager writes of the units.
    pub of: Bus,
}

impl Journal {
    pub(crate) fn new(of: Bus) -> Self {
        Self { command: vec!["journalctl".to_owned()], of }
    }

    /// What is on record of each unit since its moment.
    pub(crate) async fn past(
        &self,
        since: &BTreeMap<UnitName, Moment>,
    ) -> BTreeMap<UnitName, Past> {
        let marks = since.iter().filter_map(|(unit, at)| Some((unit, Mark::of(at)?)));
        let marks: BTreeMap<&UnitName, Mark> = marks.collect();
        let first = marks.values().map(|mark| mark.at).min();
        let (entries, complete) = match first {
            Some(first) => self.ask_in_time(first).await,
            None => Default::default(), // of what was before this boot nothing can be told
        };
        let past = |unit| marks.get(unit).map(|mark| entry::past(&entries, unit, *mark, complete));
        since.keys().map(|unit| (unit.clone(), past(unit).unwrap_or_default())).collect()
    }

    async fn ask_in_time(&self, first: i64) -> (Vec<Entry>, bool) {
        let answer = match time::timeout(LIMIT, self.ask(first)).await {
            Ok(answer) => answer,
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
        };
        let (entries, complete) = answer.unwrap_or_else(|error| {
            warn!(%error, "the journal can't be asked what happened to units");
            Default::default()
        });
        debug!(entries = entries.len(), complete, "asked the journal");
        (entries, complete)
    }

    /// The entries that the journal has taken in since then, newest first, and whether they are all.
    async fn ask(&self, first: i64) -> io::Result<(Vec<Entry>, bool)> {
        // What was logged before this is in the journal after it. Not everybody may ask for that.
        self.run(&["--sync".to_owned()])?.wait().await?;
        self.entries(first, MAX_ANSWER).await
    }

    fn question(&self) -> Vec<String> {
        let mut question: Vec<String> =
            ["--boot", "--reverse", "--quiet", "--no-pager", "--output=json"]
                .map(str::to_owned)
                .into();
        question.push(format!("--output-fields={FIELDS}"));
        match self.of {
            Bus::System => question.push("_PID=1".to_owned()),
            Bus::User => {
                let own = ["--user", "_COMM=systemd"].map(str::to_owned);
                question.extend(own);
            }
        }
        question
    }

    /// Reads entries until one that is older, or to the end, or so many bytes.
    async fn entries(&self, first: i64, limit: u64) -> io::Result<(Vec<Entry>, bool)> {
        let mut child = self.run(&self.question())?;
        let Some(stdout) = child.stdout.take() else { return Ok(Default::default()) };
        let mut lines = BufReader::new(stdout.take(limit)).split(b'\n');
        let mut entries = Vec::new();
        while let Some(line) = lines.next_segment().await? {
            let Ok(entry) = serde_json::from_slice::<Entry>(&line) else { continue };
            if entry.at < first {
                return Ok((entries, true)); // the program ends when it is dropped
            }
            entries.push(entry);
        }
        Ok((entries, false))
    }

    fn run(&self, arguments: &[String]) -> io::Result<Child> {
        let (program, first) = self.command.split_first().ok_or(io::ErrorKind::NotFound)?;
        Command::new(program)
            .args(first)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A journal that says what this script writes.
    fn saying(script: &str) -> Journal {
        let script = format!("[ \"$0\" = --sync ] || {{ {script}; }}");
        let command = ["sh", "-c", &script].map(str::to_owned).into();
        Journal { command, of: Bus::System }
    }

    fn line(at: i64) -> String {
        format!(
            r#"{{"__MONOTONIC_TIMESTAMP":"{at}","__REALTIME_TIMESTAMP":"{at}","UNIT":"a.service","JOB_TYPE":"stop"}}"#
        )
    }

    #[tokio::test]
    async fn a_journal_that_can_not_be_asked_says_nothing() {
        let since = BTreeMap::from([("a.service".parse().unwrap(), Moment::now())]);
        for command in [&["/nowhere/journalctl"][..], &["false"], &["true"], &[]] {
            let command = command.iter().map(|word| (*word).to_owned()).collect();
            let past = Journal { command, of: Bus::System }.past(&since).await;
            assert_eq!(past.values().collect::<Vec<_>>(), [&Past::default()]);
        }
    }

    #[tokio::test]
    async fn it_is_read_until_what_is_older_and_no_further() {
        let journal = saying(&format!("printf '%s\n' '{}' rubbish; yes '{}'", line(9), line(4)));
        let (entries, complete) = journal.ask(5).await.unwrap();
        assert_eq!((entries.len(), complete), (1, true));
        let (entries, complete) = journal.entries(4, 100_000).await.unwrap();
        assert!(!complete && entries.len() > 500, "an answer without end is cut");
    }

    #[tokio::test]
    async fn one_that_does_not_reach_back_is_not_complete() {
        let journal = saying(&format!("printf '%s\n' '{}'", line(9)));
        let (entries, complete) = journal.ask(5).await.unwrap();
        assert_eq!((entries.len(), complete), (1, false));
    }

    #[tokio::test]
    async fn of_a_moment_that_is_not_of_this_boot_nothing_is_asked() {
        let journal = saying(&format!("yes '{}'", line(1)));
        let earlier = Moment { uptime: None, ..Moment::now() };
        let since = BTreeMap::from([("a.service".parse().unwrap(), earlier)]);
        let past = journal.past(&since).await;
        assert_eq!(past.values().collect::<Vec<_>>(), [&Past::default()]);
    }
}
