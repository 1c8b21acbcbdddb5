//! Why a unit isn't running: what the cluster says of it, in one line, and what that means.

use fleet_schema::Pending;

use crate::{
    legend::{self, Width},
    ui::tame,
};

/// Machines that are named for each reason; the others are counted.
const NAMED: usize = 3;

/// What `pending` says; `None` when it says nothing.
pub(crate) fn line(pending: &Pending) -> Option<String> {
    if *pending == Pending::default() {
        return None;
    }
    let reasons = by_reason(pending);
    let text = if reasons.is_empty() {
        pending.message.clone()
    } else {
        format!("{} ({})", pending.message, reasons.join("; "))
    };
    // It goes into lines and tables, and a server may say anything.
    Some(tame(&text))
}

/// What `machine` says of the unit, if it says anything.
pub(crate) fn of_machine(pending: &Pending, machine: &str) -> Option<String> {
    let said = pending.machines.iter().find(|said| said.machine_id == machine)?;
    Some(tame(&said.message))
}

/// Whether the unit was started and did not come to run.
pub(crate) fn has_failed(pending: &Pending) -> bool {
    matches!(&*pending.reason, "failed" | "restarting" | "not-started" | "failing")
}

/// Whether the service manager of `machine` refuses the unit as things are.
pub(crate) fn is_refused(pending: &Pending, machine: &str) -> bool {
    pending.machines.iter().any(|said| said.refused && said.machine_id == machine)
}

/// What machines say, each reason once. Left out where the message says it already.
fn by_reason(pending: &Pending) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for machine in &pending.machines {
        if pending.message.contains(&machine.machine_id) {
            continue;
        }
        match reasons.iter_mut().find(|(reason, _)| *reason == machine.message) {
            Some((_, machines)) => machines.push(&machine.machine_id),
            None => reasons.push((&machine.message, vec![&machine.machine_id])),
        }
    }
    reasons.into_iter().map(|(reason, machines)| format!("{}: {reason}", some(&machines))).collect()
}

fn some(machines: &[&str]) -> String {
    let mut named: Vec<String> =
        machines.iter().take(NAMED).map(|id| legend::id(id, Width::Short)).collect();
    if machines.len() > NAMED {
        named.push(format!("{} more", machines.len() - NAMED));
    }
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use fleet_schema::PendingMachine;

    use super::*;

    fn pending(message: &str, machines: &[(&str, &str)]) -> Pending {
        let machine = |(id, message): &(&str, &str)| PendingMachine {
            machine_id: (*id).into(),
            message: (*message).into(),
            reason: "any".into(),
            refused: false,
        };
        let machines = machines.iter().map(machine).collect();
        Pending { machines, message: message.into(), reason: "any".into() }
    }

    #[test]
    fn machines_are_gathered_by_what_they_say() {
        let none = pending("no machine is present", &[]);
        assert_eq!(line(&none).unwrap(), "no machine is present");
        let said = pending(
            "no machine takes it",
            &[
                ("aaaaaaaaa1", "bad metadata"),
                ("bbbbbbbbb2", "a\tconflict"),
                ("ccccccccc3", "bad metadata"),
                ("ddddddddd4", "bad metadata"),
                ("eeeeeeeee5", "bad metadata"),
            ],
        );
        assert_eq!(
            line(&said).unwrap(),
            "no machine takes it (aaaaaaaa..., cccccccc..., dddddddd..., 1 more: bad metadata; \
             bbbbbbbb...: a conflict)"
        );
    }

    #[test]
    fn what_the_message_says_is_not_said_again() {
        let said = pending("machine m1 has not loaded it yet", &[("m1", "has not loaded it yet")]);
        assert_eq!(line(&said).unwrap(), "machine m1 has not loaded it yet");
        assert_eq!(line(&Pending::default()), None);
    }
}
