//! Reading the states of units (`units.md` 7.4).

use std::collections::{BTreeMap, BTreeSet, HashSet};

use fleet_core::{UnitName, UnitState};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tracing::debug;

use crate::{bus::CallError, calls::Calls, manager::AT_ONCE};

/// Names in one call: well below dbus-daemon's limit on messages, and short for systemd.
const NAMES_A_CALL: usize = 500;

type States = BTreeMap<UnitName, UnitState>;

/// Asks systemd for the states of `units`; units it doesn't know are `not-found`.
pub(crate) async fn states(calls: &Calls, units: &BTreeSet<UnitName>) -> Result<States, CallError> {
    let rows = match by_names(calls, units).await {
        Err(error) if error.is_unknown_method() => {
            debug!(
                "ListUnitsByNames is not implemented in your systemd version (requires at least \
                 systemd 230), fallback to ListUnits: {error}"
            );
            let mut all = calls.list().await?;
            let names: HashSet<&str> = units.iter().map(UnitName::as_str).collect();
            all.retain(|(name, _)| names.contains(name.as_str()));
            all
        }
        rows => rows?,
    };
    let (mut states, missing) = assign(units, rows);
    let rest: Vec<_> = missing.into_iter().map(|unit| one(calls, unit)).collect();
    let rest = stream::iter(rest).buffer_unordered(AT_ONCE);
    states.extend(rest.try_collect::<Vec<_>>().await?);
    Ok(states)
}

async fn by_names(
    calls: &Calls,
    units: &BTreeSet<UnitName>,
) -> Result<Vec<(String, UnitState)>, CallError> {
    let names: Vec<&str> = units.iter().map(UnitName::as_str).collect();
    let mut rows = Vec::with_capacity(names.len());
    for some in names.chunks(NAMES_A_CALL) {
        rows.extend(calls.list_by_names(some).await?);
    }
    Ok(rows)
}

/// A unit that the list doesn't have: an alias of another, or a name that systemd doesn't take.
async fn one(calls: &Calls, unit: &UnitName) -> Result<(UnitName, UnitState), CallError> {
    let state = match calls.state(unit).await {
        Err(CallError::Refused { name, text }) if !is_denial(&name) => {
            debug!(%unit, error = text, "systemd has no such unit");
            UnitState { load: "not-found".into(), active: "inactive".into(), sub: "dead".into() }
        }
        state => state?,
    };
    Ok((unit.clone(), state))
}

fn is_denial(name: &str) -> bool {
    name.ends_with(".AccessDenied")
}

/// Gives each unit the row of its name. systemd answers by primary name: when exactly one unit
/// got no row and exactly one row is nobody's, they belong together.
fn assign(units: &BTreeSet<UnitName>, rows: Vec<(String, UnitState)>) -> (States, Vec<&UnitName>) {
    let mut rows: BTreeMap<String, UnitState> = rows.into_iter().collect();
    let mut states = States::new();
    let mut missing = Vec::new();
    for unit in units {
        match rows.remove(unit.as_str()) {
            Some(state) => drop(states.insert(unit.clone(), state)),
            None => missing.push(unit),
        }
    }
    if let ([unit], 1) = (missing.as_slice(), rows.len()) {
        states.extend(rows.into_values().map(|state| ((*unit).clone(), state)));
        missing.clear();
    }
    (states, missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(sub: &str) -> UnitState {
        UnitState { load: "loaded".into(), active: "active".into(), sub: sub.into() }
    }

    /// Asks for `asked`, is answered `rows`; returns what was assigned, and what is missing.
    fn assigned(asked: &[&str], rows: &[&str]) -> (Vec<String>, Vec<String>) {
        let units = asked.iter().map(|name| name.parse().unwrap()).collect();
        let rows = rows.iter().map(|name| ((*name).to_owned(), state(name))).collect();
        let (states, missing) = assign(&units, rows);
        (
            states.iter().map(|(unit, state)| format!("{unit}={}", state.sub)).collect(),
            missing.into_iter().map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn rows_go_to_the_names_that_were_asked_for() {
        type Case<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str], &'a [&'a str]);
        let cases: &[Case<'_>] = &[
            (&[], &[], &[], &[]),
            (&["a.service"], &["a.service"], &["a.service=a.service"], &[]),
            // one alias: its row is the one that is nobody's
            (
                &["a.service", "b.service"],
                &["a.service", "real.service"],
                &["a.service=a.service", "b.service=real.service"],
                &[],
            ),
            // an alias of one that was asked for too: its row is that one's
            (
                &["a.service", "b.service"],
                &["a.service", "a.service"],
                &["a.service=a.service"],
                &["b.service"],
            ),
            // two aliases: which is which?
            (
                &["a.service", "b.service"],
                &["x.service", "y.service"],
                &[],
                &["a.service", "b.service"],
            ),
            // a name that systemd doesn't take: it answers for the others
            (&["a.service", "b.service"], &["a.service"], &["a.service=a.service"], &["b.service"]),
        ];
        for (asked, rows, expected, missing) in cases {
            let (states, left) = assigned(asked, rows);
            assert_eq!(states, *expected, "{asked:?} {rows:?}");
            assert_eq!(left, *missing, "{asked:?} {rows:?}");
        }
    }
}
