//! What holds of every plan, whatever the cluster.

use std::collections::BTreeSet;

use super::{Action, Task};
use crate::picture::Picture;

/// Whether `tasks` come to what `picture` shows: who is given a machine is there, once, and who is to
/// leave one isn't, unless it is told to come back. Nobody who is only asked to leave is given another: it may run where it is.
pub(super) fn agree(tasks: &[Task], picture: &Picture<'_>) -> bool {
    let is_there = |task: &Task| {
        picture.place(&task.machine).is_some_and(|(_, residents)| residents.has(&task.unit))
    };
    let back = tasks.iter().filter(|task| task.action == Action::Schedule);
    let back: BTreeSet<_> = back.map(|task| (&task.unit, &task.machine)).collect();
    let asked = tasks.iter().filter(|task| task.action == Action::Leave);
    let asked: BTreeSet<_> = asked.map(|task| &task.unit).collect();
    let mut given = BTreeSet::new();
    tasks.iter().all(|task| match task.action {
        Action::Schedule => {
            is_there(task) && !asked.contains(&task.unit) && given.insert(&task.unit)
        }
        Action::Leave => !is_there(task),
        Action::Unschedule => !is_there(task) || back.contains(&(&task.unit, &task.machine)),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fleet_core::{JobState, MachineId, UnitFile, UnitHash};
    use fleet_registry::{Event, MachineRecord, Model as _, UnitRecord, Versioned};
    use fleet_store::Revision;

    use super::*;
    use crate::{Cluster, plan::Reason};

    fn versioned<T>(value: T) -> Versioned<T> {
        Versioned { value, revision: Revision(1), created: Revision(1) }
    }

    /// Two machines, and a unit on the first.
    fn cluster() -> Cluster {
        let mut cluster = Cluster::default();
        for id in ["m1", "m2"] {
            let record = versioned(MachineRecord::default());
            cluster.apply(Event::Machine(id.parse().unwrap(), Some(Ok(record))));
        }
        let file = UnitFile::parse(b"[Service]\nExecStart=/bin/true\n").unwrap();
        let record = UnitRecord {
            hash: UnitHash::of(file.to_text().as_bytes()),
            size: file.to_text().len(),
            desired_state: JobState::Launched,
            machine: Some("m1".parse().unwrap()),
            leaving: false,
            return_to: None,
            global: false,
            template: false,
            x_fleet: file.fleet_options(),
        };
        cluster.apply(Event::Unit("a.service".parse().unwrap(), Some(Ok(versioned(record)))));
        cluster
    }

    #[test]
    fn tasks_that_the_picture_does_not_show_are_noticed() {
        use Action::{Leave, Schedule, Unschedule};
        let cluster = cluster();
        let unit = "a.service".parse().unwrap();
        let machine = |id: &str| -> MachineId { id.parse().unwrap() };
        for (on, tasks, expected) in [
            ("m1", &[][..], true),
            ("m1", &[(Leave, "m1")], false),
            ("m1", &[(Schedule, "m2")], false),
            ("m2", &[(Unschedule, "m1"), (Schedule, "m2")], true),
            ("m2", &[(Leave, "m1"), (Schedule, "m2")], false),
            ("m2", &[(Unschedule, "m1"), (Schedule, "m2"), (Schedule, "m2")], false),
            ("m2", &[(Unschedule, "m1"), (Schedule, "m3")], false),
        ] {
            let known = Arc::new(cluster.unit(&unit).unwrap().clone());
            let on = machine(on);
            let mut picture = Picture::of(&cluster);
            drop(picture.remove(&known, &machine("m1")));
            drop(picture.add(&known, &on));
            let task = |&(action, id): &(Action, &str)| Task {
                action,
                unit: unit.clone(),
                machine: machine(id),
                reason: Reason::Inactive,
            };
            let tasks: Vec<Task> = tasks.iter().map(task).collect();
            assert_eq!(agree(&tasks, &picture), expected, "{on} {tasks:?}");
        }
    }
}
