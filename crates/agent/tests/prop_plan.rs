//! Properties of the planner: it converges, and leaves alone what is as it should be.

use std::collections::BTreeMap;

use fleet_agent::{
    desired::Wanted,
    plan::{Action, Busy, Current, Here, Step, Text, plan, texts_needed},
};
use fleet_core::{JobState, UnitFile, UnitName};
use fleet_store::Revision;
use proptest::{collection::btree_map, option, prelude::*};
use tokio::time::Instant;

type Desired = BTreeMap<UnitName, Wanted>;

fn content(number: u8) -> Text {
    let file = UnitFile::parse(format!("[Service]\nExecStart=/bin/{number}\n").as_bytes()).unwrap();
    Text { hash: file.hash(), file }
}

fn any_name() -> impl Strategy<Value = UnitName> {
    (0..6_u8).prop_map(|n| format!("u{n}.service").parse().unwrap())
}

fn any_wanted() -> impl Strategy<Value = Wanted> {
    (0..3_u8, any::<bool>(), option::of(0..2_i64)).prop_map(|(n, launched, at)| Wanted {
        hash: content(n).hash,
        state: if launched { JobState::Launched } else { JobState::Loaded },
        restart: at.filter(|_| launched).map(Revision),
    })
}

fn any_here() -> impl Strategy<Value = Here> {
    let claim =
        prop_oneof![Just(JobState::Inactive), Just(JobState::Loaded), Just(JobState::Launched)];
    let busy = prop_oneof![Just(Busy::Starting), Just(Busy::Restarting), Just(Busy::Stopping)];
    let busy = option::of(busy);
    let of = (option::of(0..3_u8), claim, any::<bool>(), any::<bool>(), busy);
    of.prop_map(|(n, claim, unfinished, stopped, busy)| Here {
        hash: n.map(|n| content(n).hash),
        claim,
        unfinished,
        stopped,
        busy,
        not_started: None,
        start: None,
    })
}

fn any_desired() -> impl Strategy<Value = Desired> {
    btree_map(any_name(), any_wanted(), 0..6)
}

fn any_current() -> impl Strategy<Value = Current> {
    let told = btree_map(any_name(), (0..2_i64).prop_map(Revision), 0..6);
    (btree_map(any_name(), any_here(), 0..6), told).prop_map(|(units, restarts)| Current {
        units,
        restarts,
        ..Current::default()
    })
}

/// What a host looks like after `steps`.
fn apply(desired: &Desired, mut current: Current, steps: &[Step]) -> Current {
    for Step { unit, action, .. } in steps {
        match action {
            Action::Unload => {
                current.units.remove(unit);
            }
            Action::Load => {
                let hash = Some(current.texts[unit].hash);
                let again = current.units.remove(unit);
                let again = again.filter(|h| h.hash == hash && h.claim != JobState::Inactive);
                let anew = Here { hash, claim: JobState::Loaded, ..Here::default() };
                let here = again.map_or(anew, |here| Here { unfinished: false, ..here });
                current.units.insert(unit.clone(), here);
            }
            Action::Halt | Action::Stop => {
                let here = current.units.get_mut(unit).unwrap();
                here.claim = JobState::Loaded;
                here.busy = Some(Busy::Stopping);
                here.stopped = *action == Action::Halt;
            }
            Action::Restart => {
                let here = current.units.get_mut(unit).unwrap();
                here.claim = JobState::Launched;
                here.stopped = false;
                here.busy = Some(Busy::Restarting);
                current.restarts.insert(unit.clone(), desired[unit].restart.unwrap());
            }
            Action::Start => {
                let here = current.units.get_mut(unit).unwrap();
                here.claim = JobState::Launched;
                here.stopped = false;
                here.busy = Some(Busy::Starting);
            }
        }
    }
    current
}

/// Fetches what `desired` needs, as the reconciler does before it plans.
fn fetch(desired: &Desired, current: &mut Current) {
    for unit in texts_needed(desired, current) {
        let text = (0..3).map(content).find(|text| text.hash == desired[&unit].hash).unwrap();
        current.texts.insert(unit, text);
    }
}

/// Ends every job.
fn let_jobs_end(current: &mut Current) {
    for here in current.units.values_mut() {
        here.busy = None;
    }
}

proptest! {
    /// Two passes and the end of their jobs do it, and another plans nothing; without anything
    /// to stop first, one pass does.
    #[test]
    fn passes_converge(desired in any_desired(), mut current in any_current()) {
        let now = Instant::now();
        let_jobs_end(&mut current);
        for _ in 0..2 {
            fetch(&desired, &mut current);
            let steps = plan(&desired, &current, now).steps;
            let halts = steps.iter().any(|step| step.action == Action::Halt);
            current = apply(&desired, current, &steps);
            let_jobs_end(&mut current);
            if !halts {
                break;
            }
        }
        prop_assert_eq!(plan(&desired, &current, now).steps, vec![]);
        for (unit, wanted) in &desired {
            prop_assert_eq!(current.units[unit].hash, Some(wanted.hash));
            prop_assert_eq!(current.units[unit].claim, wanted.state);
            if let Some(request) = wanted.restart {
                prop_assert_eq!(current.restarts[unit], request);
            }
        }
        prop_assert_eq!(current.units.len(), desired.len());
    }

    /// What should run with the content it has is never stopped or unloaded.
    #[test]
    fn what_should_run_is_never_stopped(desired in any_desired(), mut current in any_current()) {
        fetch(&desired, &mut current);
        for step in plan(&desired, &current, Instant::now()).steps {
            let same = desired.get(&step.unit).is_some_and(|wanted| {
                wanted.state == JobState::Launched
                    && current.units.get(&step.unit).is_some_and(|h| h.hash == Some(wanted.hash))
            });
            let stops = matches!(step.action, Action::Halt | Action::Unload | Action::Stop);
            prop_assert!(!(same && stops), "{step:?}");
        }
    }

    /// Nothing is done to a unit that is being stopped, and no file goes while its unit may run.
    #[test]
    fn no_file_goes_before_its_unit_has_stopped(
        desired in any_desired(),
        mut current in any_current(),
    ) {
        fetch(&desired, &mut current);
        for step in plan(&desired, &current, Instant::now()).steps {
            let here = current.units.get(&step.unit);
            prop_assert!(here.is_none_or(|here| here.busy != Some(Busy::Stopping)));
            if step.action == Action::Unload {
                prop_assert!(here.is_some_and(|here| here.stopped));
            }
        }
    }
}
