//! What machines report of their units (`api.md` 3, 5).

entity! {
    /// The state of one unit on one machine, as systemd gives it.
    pub struct UnitState or null {
        /// The SHA-1 of the unit file the machine holds: 40 lower-case hex digits.
        pub hash: String = "hash",
        /// The machine that reports it.
        pub machine_id: String = "machineID",
        /// The unit.
        pub name: String = "name",
        /// How its last start by fleet went; absent when none is known of, and on servers that
        /// don't tell.
        pub start: UnitStart = "start",
        /// `ActiveState`, such as `active`.
        pub systemd_active_state: String = "systemdActiveState",
        /// `LoadState`, such as `loaded`.
        pub systemd_load_state: String = "systemdLoadState",
        /// `SubState`, such as `running`.
        pub systemd_sub_state: String = "systemdSubState",
    }

    /// How a start or restart went.
    pub struct UnitStart or null {
        /// When systemd was asked, in milliseconds of Unix time: it tells one start from the next.
        pub at: i64 = "at",
        /// Why it came to nothing, in words; absent when it did not.
        pub failure: String = "failure",
        /// Whether its end is known: systemd's job is done, and a moment has passed since.
        pub settled: bool = "settled",
    }

    /// One page of the list of states, by unit, then machine.
    pub struct UnitStatePage or null {
        /// Asks for the next page; absent on the last one.
        pub next_page_token: String = "nextPageToken",
        /// The states.
        pub states: Vec<UnitState> = "states",
    }
}

impl crate::entity::Absent for UnitStart {
    fn is_absent(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{from_json, to_json};

    #[test]
    fn a_state_is_emitted_in_alphabetical_order() {
        let text = r#"{"states":[{"hash":"abcd","machineID":"YYY","name":"AAA.service","systemdActiveState":"active","systemdLoadState":"loaded","systemdSubState":"running"}]}"#;
        assert_eq!(to_json(&from_json::<UnitStatePage>(text.as_bytes()).unwrap()), text);
    }

    #[test]
    fn a_start_is_emitted_only_where_one_is_known_of() {
        let text = r#"{"name":"a.service","start":{"at":7,"failure":"no","settled":true}}"#;
        let mut state: UnitState = from_json(text.as_bytes()).unwrap();
        assert_eq!(to_json(&state), text);
        state.start = UnitStart::default();
        assert_eq!(to_json(&state), r#"{"name":"a.service"}"#);
    }

    #[test]
    fn a_null_row_is_an_empty_one() {
        let page: UnitStatePage = from_json(br#"{"states":[null]}"#).unwrap();
        assert_eq!(page.states, [UnitState::default()]);
    }
}
