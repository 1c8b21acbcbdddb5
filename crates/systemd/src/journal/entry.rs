//! What an entry says, and whether it was sent since a moment.
//!
//! An entry tells when the journal took it in, by both clocks, and when it was sent, by the time of day
//! only. The journal may be behind: what was sent before a moment may be taken in after it. How long an
//! entry waited is known by the time of day, unless that was set meanwhile. By how much it was set
//! since the moment is known too, but not whether this was while the entry waited. Where that makes the
//! difference, the entry is left out, and the others don't count as all there is.

use fleet_agent::manager::{Moment, Past, RunId};
use fleet_core::UnitName;
use serde::{Deserialize, Deserializer, de::Error};

/// The longest that an entry may have waited, in microseconds.
const MAX_WAIT: i64 = 30_000_000;

/// A moment by both clocks, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The time since the boot.
    pub(super) at: i64,
    /// How far the time of day was ahead of that.
    ahead: i64,
}

impl Mark {
    /// That of a moment of this boot.
    pub(super) fn of(moment: &Moment) -> Option<Self> {
        let at = i64::try_from(moment.since_boot()?.as_micros()).ok()?;
        let of_day = i64::try_from(moment.of_day).ok()?;
        Some(Self { at, ahead: of_day - at })
    }
}

/// An entry of the journal, as `journalctl --output=json` writes it. Numbers are texts there; a
/// field that is there more than once is a list, and none of these is.
#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    #[serde(rename = "UNIT", alias = "USER_UNIT")]
    unit: Option<String>,
    #[serde(rename = "INVOCATION_ID", alias = "USER_INVOCATION_ID")]
    run: Option<String>,
    #[serde(rename = "JOB_TYPE")]
    job: Option<String>,
    /// When the journal took it in, since the boot.
    #[serde(rename = "__MONOTONIC_TIMESTAMP", deserialize_with = "micros")]
    pub(super) at: i64,
    /// The same by the time of day.
    #[serde(rename = "__REALTIME_TIMESTAMP", deserialize_with = "micros")]
    received: i64,
    /// When it was sent, by the time of day.
    #[serde(rename = "_SOURCE_REALTIME_TIMESTAMP", default, deserialize_with = "known_micros")]
    sent: Option<i64>,
}

impl Entry {
    /// Whether it was sent since a moment; `None` when nobody knows.
    fn is_since(&self, mark: Mark) -> Option<bool> {
        if self.at < mark.at {
            return Some(false);
        }
        let Some(sent) = self.sent else { return Some(true) };
        let wait = self.received.saturating_sub(sent);
        let set = self.received.saturating_sub(self.at).saturating_sub(mark.ahead);
        let when = |wait: i64| (0..=MAX_WAIT).contains(&wait).then(|| self.at - wait >= mark.at);
        match (when(wait), when(wait.saturating_sub(set))) {
            (Some(one), Some(other)) => (one == other).then_some(one),
            (one, other) => one.or(other),
        }
    }
}

fn micros<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

fn known_micros<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    micros(deserializer).map(Some)
}

/// What `entries` say of a unit since a moment. `complete` is whether they are all there are.
pub(super) fn past(entries: &[Entry], unit: &UnitName, since: Mark, complete: bool) -> Past {
    let mut past = Past::default();
    let mut left_out = false;
    for entry in entries {
        let is_its = entry.unit.as_deref() == Some(unit.as_str());
        match entry.is_since(since) {
            Some(true) => {}
            Some(false) => continue,
            None => {
                left_out |= is_its;
                continue;
            }
        }
        past.complete |= complete && entry.job.is_some();
        if is_its {
            past.runs.extend(entry.run.clone().map(RunId));
            past.stopped |= matches!(entry.job.as_deref(), Some("stop" | "restart"));
        }
    }
    past.complete &= !left_out;
    past
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By how much the time of day is ahead in these.
    const AHEAD: i64 = 1_000_000_000;
    const SECOND: i64 = 1_000_000;

    const ENTRIES: &str = r#"
{"__MONOTONIC_TIMESTAMP":"9","__REALTIME_TIMESTAMP":"1000000009","_SOURCE_REALTIME_TIMESTAMP":"1000000004","UNIT":"a.service","INVOCATION_ID":"0a","JOB_TYPE":"start"}
{"__MONOTONIC_TIMESTAMP":"9","__REALTIME_TIMESTAMP":"1000000009","_SOURCE_REALTIME_TIMESTAMP":"1000000005","UNIT":"a.service","INVOCATION_ID":"1a","JOB_TYPE":"start","NEW":["x"]}
{"__MONOTONIC_TIMESTAMP":"6","__REALTIME_TIMESTAMP":"1000000006","UNIT":"a.service","INVOCATION_ID":"1a"}
{"__MONOTONIC_TIMESTAMP":"7","__REALTIME_TIMESTAMP":"1000000007","UNIT":"b.service","INVOCATION_ID":"2a","JOB_TYPE":"stop"}
{"__MONOTONIC_TIMESTAMP":"7","__REALTIME_TIMESTAMP":"1000000007","USER_UNIT":"c.service","USER_INVOCATION_ID":"3a","JOB_TYPE":"restart"}
{"__MONOTONIC_TIMESTAMP":"8","__REALTIME_TIMESTAMP":"1000000008","MESSAGE":"something else"}
"#;

    fn of(unit: &str, since: i64, complete: bool) -> Past {
        let lines = ENTRIES.lines().filter(|line| !line.is_empty());
        let entries: Vec<Entry> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
        let mark = Mark { at: since, ahead: AHEAD };
        past(&entries, &unit.parse().unwrap(), mark, complete)
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

    /// An entry that waited so long before it was taken in at this time, by a time of day that was
    /// set by so much before it was sent, and while it waited.
    fn entry(at: i64, wait: i64, set_before: i64, set_meanwhile: i64) -> Entry {
        let received = at + AHEAD + set_before + set_meanwhile;
        let sent = Some(at - wait + AHEAD + set_before);
        let job = Some("start".to_owned());
        Entry { unit: Some("a.service".to_owned()), run: None, job, at, received, sent }
    }

    #[test]
    fn whether_it_was_sent_since_a_moment_does_not_depend_on_the_time_of_day() {
        let at = 5_000 * SECOND;
        let mark = Mark { at, ahead: AHEAD };
        let hour = 3_600 * SECOND;
        for (entry, is_since) in [
            // Taken in before the moment: sent before it, whatever the time of day says.
            (entry(at - 1, 0, hour, 0), Some(false)),
            (entry(at - 1, 0, -hour, 0), Some(false)),
            // The time of day was set between the moment and the entry.
            (entry(at + 9, 3, hour, 0), Some(true)),
            (entry(at + 9, 3, -hour, 0), Some(true)),
            // While the entry waited.
            (entry(at + 9, 3, 0, hour), Some(true)),
            (entry(at + 9, 3, 0, -hour), Some(true)),
            (entry(at + 9, 20, 0, hour), Some(false)),
            (entry(at + 9, 20, 0, -hour), Some(false)),
            // By so little that it may have been either.
            (entry(at + 9, 3, 0, 100), None),
            (entry(at + 9, 3, -100, 0), None),
            (entry(at + 999, 3, -100, 0), Some(true)),
            // By the clocks it waited for too long, or for less than no time.
            (entry(at + hour, hour, 0, 0), None),
            (Entry { sent: Some(at + AHEAD + 10), ..entry(at + 9, 0, 0, 0) }, None),
        ] {
            assert_eq!(entry.is_since(mark), is_since, "{entry:?}");
        }
    }

    #[test]
    fn what_may_have_been_before_is_left_out_and_so_not_all_is_known() {
        let mark = Mark { at: 5_000 * SECOND, ahead: AHEAD };
        let entries = [entry(mark.at + 9, 3, 0, 100), entry(mark.at + 900, 3, 100, 0)];
        let of = |unit: &str| past(&entries, &unit.parse().unwrap(), mark, true).complete;
        assert!(!of("a.service"));
        assert!(of("b.service"), "which isn't about this one");
    }
}
