//! Why a unit isn't running where it should be: what the original didn't tell.

entity! {
    /// Why a unit isn't running, as a whole and machine by machine.
    pub struct Pending or null {
        /// What machines have to do with it, in their order.
        pub machines: Vec<PendingMachine> = "machines",
        /// The reason in words.
        pub message: String = "message",
        /// The reason for programs: one of those in `docs/api-v1.md`. More may come.
        pub reason: String = "reason",
    }

    /// What one machine has to do with it.
    pub struct PendingMachine or null {
        /// The machine.
        pub machine_id: String = "machineID",
        /// The reason in words.
        pub message: String = "message",
        /// The reason for programs; the same.
        pub reason: String = "reason",
        /// Whether its service manager refuses the unit as things are: the machine tries again, and
        /// gets the same answer unless something changes.
        pub refused: bool = "refused",
    }
}

impl crate::entity::Absent for Pending {
    fn is_absent(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Unit, from_json, to_json};

    #[test]
    fn a_unit_has_it_only_when_there_is_something_to_say() {
        let text = r#"{"name":"a.service","pending":{"machines":[{"machineID":"XXX","message":"no","reason":"metadata"}],"message":"no machine takes it","reason":"refused"}}"#;
        let mut unit: Unit = from_json(text.as_bytes()).unwrap();
        assert_eq!(unit.pending.machines[0].reason, "metadata");
        assert_eq!(to_json(&unit), text);
        unit.pending = crate::Pending::default();
        assert_eq!(to_json(&unit), r#"{"name":"a.service"}"#);
    }
}
