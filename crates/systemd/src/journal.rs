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

use std::{collections::BTreeMap, io, process::Stdio, time::Duration};

use fleet_agent::manager::{Moment, Past, RunId};
use fleet_core::UnitName;
use serde::Deserialize;
use tokio::{io::AsyncReadExt as _, process::Command, time};
use tracing::{debug, warn};

use crate::config::Bus;

/// How long all questions together may take: fleetd does nothing to units meanwhile.
const LIMIT: Duration = Duration::from_secs(10);
/// How much of the answer is read, in bytes: some ten thousand entries.
const MAX_ANSWER: u64 = 8 << 20;
/// The fields of an entry that matter, of the system's manager and of a user's.
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
        let Some(first) = since.values().min() else { return BTreeMap::new() };
        let answer = match time::timeout(LIMIT, self.ask(*first)).await {
            Ok(answer) => answer,
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
        };
        let (entries, complete) = answer.unwrap_or_else(|error| {
            warn!(%error, "the journal can't be asked what happened to units");
            (Vec::new(), false)
        });
        debug!(entries = entries.len(), complete, "asked the journal");
        since.iter().map(|(unit, at)| (unit.clone(), past(&entries, unit, *at, complete))).collect()
    }

    /// The entries since a moment, and whether they are all.
    async fn ask(&self, since: Moment) -> io::Result<(Vec<Entry>, bool)> {
        // What was logged before this is in the journal after it. Not everybody may ask for that.
        let _ = self.output(&["--sync".to_owned()], MAX_ANSWER).await;
        // The first of what there is will do. `--lines` looks at the end of the journal.
        let before = self.question(&format!("--until={}", seconds(since)));
        let (before, _) = self.output(&before, 1).await?;
        let question = self.question(&format!("--since={}", seconds(since)));
        let (lines, all) = self.output(&question, MAX_ANSWER).await?;
        let entries = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok((entries, all && !before.is_empty()))
    }

    fn question(&self, more: &str) -> Vec<String> {
        let mut question: Vec<String> =
            ["--boot", "--quiet", "--no-pager", "--output=json"].map(str::to_owned).into();
        question.push(format!("--output-fields={FIELDS}"));
        match self.of {
            Bus::System => question.push("_PID=1".to_owned()),
            Bus::User => {
                let own = ["--user", "_COMM=systemd"].map(str::to_owned);
                question.extend(own);
            }
        }
        question.push(more.to_owned());
        question
    }

    /// The lines that the program writes, as far as they are read, and whether these are all.
    async fn output(&self, arguments: &[String], limit: u64) -> io::Result<(Vec<String>, bool)> {
        let (program, first) = self.command.split_first().ok_or(io::ErrorKind::NotFound)?;
        let mut child = Command::new(program)
            .args(first)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut answer = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(limit).read_to_end(&mut answer).await?;
        }
        let lines = String::from_utf8_lossy(&answer).lines().map(str::to_owned).collect();
        if answer.len() as u64 == limit {
            return Ok((lines, false)); // the program ends when it is dropped
        }
        let status = child.wait().await?;
        Ok((lines, status.success()))
    }
}

/// A moment as systemd.time(7) writes it.
fn seconds(Moment(microseconds): Moment) -> String {
    format!("@{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000)
}

/// An entry of the journal, as `journalctl --output=json` writes it. Numbers are texts there; a
/// field that is there more than once is a list, and none of these is.
#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(rename = "UNIT", alias = "USER_UNIT")]
    unit: Option<String>,
    #[serde(rename = "INVOCATION_ID", alias = "USER_INVOCATION_ID")]
    run: Option<String>,
    #[serde(rename = "JOB_TYPE")]
    job: Option<String>,
    /// When it was sent: the journal may have taken it in later.
    #[serde(rename = "_SOURCE_REALTIME_TIMESTAMP")]
    sent: Option<String>,
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    received: Option<String>,
}

impl Entry {
    fn is_since(&self, since: Moment) -> bool {
        let at = self.sent.as_ref().or(self.received.as_ref());
        at.and_then(|at| at.parse().ok()).is_some_and(|at| Moment(at) >= since)
    }
}

/// What `entries` say of a unit. `complete` is whether they are all there are.
fn past(entries: &[Entry], unit: &UnitName, since: Moment, complete: bool) -> Past {
    let mut past = Past::default();
    for entry in entries.iter().filter(|entry| entry.is_since(since)) {
        past.complete |= complete && entry.job.is_some();
        if entry.unit.as_deref() == Some(unit.as_str()) {
            past.runs.extend(entry.run.clone().map(RunId));
            past.stopped |= matches!(entry.job.as_deref(), Some("stop" | "restart"));
        }
    }
    past
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRIES: &str = r#"
{"__REALTIME_TIMESTAMP":"9","_SOURCE_REALTIME_TIMESTAMP":"4","UNIT":"a.service","INVOCATION_ID":"0a","JOB_TYPE":"start"}
{"__REALTIME_TIMESTAMP":"9","_SOURCE_REALTIME_TIMESTAMP":"5","UNIT":"a.service","INVOCATION_ID":"1a","JOB_TYPE":"start","NEW":["x"]}
{"__REALTIME_TIMESTAMP":"6","UNIT":"a.service","INVOCATION_ID":"1a"}
{"__REALTIME_TIMESTAMP":"7","UNIT":"b.service","INVOCATION_ID":"2a","JOB_TYPE":"stop"}
{"__REALTIME_TIMESTAMP":"7","USER_UNIT":"c.service","USER_INVOCATION_ID":"3a","JOB_TYPE":"restart"}
{"__REALTIME_TIMESTAMP":"8","MESSAGE":"something else"}
"#;

    fn of(unit: &str, since: u64, complete: bool) -> Past {
        let lines = ENTRIES.lines().filter(|line| !line.is_empty());
        let entries: Vec<Entry> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
        past(&entries, &unit.parse().unwrap(), Moment(since), complete)
    }

    #[test]
    fn what_happened_to_a_unit_is_read_from_the_entries_about_its_jobs() {
        for (unit, since, runs, stopped, complete) in [
            ("a.service", 4, &["0a", "1a"][..], false, true),
            ("a.service", 5, &["1a"], false, true),
            ("b.service", 5, &["2a"], true, true),
            ("c.service", 5, &["3a"], true, true),
            ("d.service", 5, &[], false, true),
            // Nothing is written of any job since then: who knows whether it would be.
            ("a.service", 8, &[], false, false),
        ] {
            let runs = runs.iter().map(|run| RunId((*run).to_owned())).collect();
            assert_eq!(of(unit, since, true), Past { runs, stopped, complete }, "{unit} {since}");
        }
        assert!(!of("a.service", 4, false).complete);
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
    async fn an_answer_without_end_is_cut() {
        let command = ["sh", "-c", "yes '{\"UNIT\":\"a.service\"}'"].map(str::to_owned).into();
        let journal = Journal { command, of: Bus::System };
        let (lines, all) = journal.output(&[], 100_000).await.unwrap();
        assert!(!all && lines.len() > 1000);
    }

    #[test]
    fn moments_are_written_to_the_microsecond() {
        assert_eq!(seconds(Moment(1_395_716_396_000_012)), "@1395716396.000012");
    }
}
