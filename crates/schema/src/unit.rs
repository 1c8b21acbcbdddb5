//! Units and their options (`api.md` 3, 4).

use crate::Pending;

entity! {
    /// A unit of the cluster.
    pub struct Unit or null {
        /// What the cluster reports: `inactive`, `loaded` or `launched`; ignored in requests.
        pub current_state: String = "currentState",
        /// What was asked for: `inactive`, `loaded` or `launched`.
        pub desired_state: String = "desiredState",
        /// The machine it is scheduled to, if any; ignored in requests.
        pub machine_id: String = "machineID",
        /// Its name, such as `web@1.service`.
        pub name: String = "name",
        /// The options of its file.
        pub options: Vec<UnitOption> = "options",
        /// Why it isn't running where it should; absent when there is nothing to say, in lists,
        /// and on servers that don't know.
        pub pending: Pending = "pending",
    }

    /// One option of a unit file. `null` in its place is an error.
    pub struct UnitOption {
        /// The name.
        pub name: String = "name",
        /// The section, without brackets.
        pub section: String = "section",
        /// The value; left out when empty.
        pub value: String = "value",
    }

    /// One page of the list of units, by name.
    pub struct UnitPage or null {
        /// Asks for the next page; absent on the last one.
        pub next_page_token: String = "nextPageToken",
        /// The units.
        pub units: Vec<Unit> = "units",
    }
}

impl From<fleet_core::UnitOption> for UnitOption {
    fn from(option: fleet_core::UnitOption) -> Self {
        let fleet_core::UnitOption { section, name, value } = option;
        Self { name, section, value }
    }
}

impl From<&fleet_core::UnitOption> for UnitOption {
    fn from(option: &fleet_core::UnitOption) -> Self {
        option.clone().into()
    }
}

impl From<UnitOption> for fleet_core::UnitOption {
    fn from(option: UnitOption) -> Self {
        let UnitOption { name, section, value } = option;
        Self { section, name, value }
    }
}

impl From<&UnitOption> for fleet_core::UnitOption {
    fn from(option: &UnitOption) -> Self {
        option.clone().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DecodeError, from_json, to_json};

    fn option(section: &str, name: &str, value: &str) -> UnitOption {
        UnitOption { name: name.into(), section: section.into(), value: value.into() }
    }

    #[test]
    fn a_page_is_emitted_as_the_original_did() {
        let page = UnitPage {
            next_page_token: "AgACAA==".into(),
            units: vec![Unit {
                current_state: "launched".into(),
                desired_state: "launched".into(),
                machine_id: "XXX".into(),
                name: "BBB.service".into(),
                options: vec![
                    option("Unit", "Description", "a <b> & \"c\""),
                    option("Service", "Environment", ""),
                ],
                ..Unit::default()
            }],
        };
        let text = r#"{"nextPageToken":"AgACAA==","units":[{"currentState":"launched","desiredState":"launched","machineID":"XXX","name":"BBB.service","options":[{"name":"Description","section":"Unit","value":"a \u003cb\u003e \u0026 \"c\""},{"name":"Environment","section":"Service"}]}]}"#;
        assert_eq!(to_json(&page), text);
        assert_eq!(from_json::<UnitPage>(text.as_bytes()).unwrap(), page);
    }

    #[test]
    fn nothing_is_emitted_of_what_is_empty() {
        assert_eq!(to_json(&UnitPage::default()), "{}");
        assert_eq!(
            to_json(&Unit { options: vec![UnitOption::default()], ..Unit::default() }),
            r#"{"options":[{}]}"#
        );
    }

    #[test]
    fn keys_are_read_in_any_case_and_the_last_one_wins() {
        let unit: Unit = from_json(
            br#"{"NAME":"a.service","name":"b.service","DesiredState":"loaded","colour":{"x":[1]}}"#,
        )
        .unwrap();
        assert_eq!((&*unit.name, &*unit.desired_state), ("b.service", "loaded"));
    }

    #[test]
    fn null_is_absent_but_not_in_place_of_an_option() {
        for text in ["null", "{}", r#"{"options":null,"name":null}"#, "{} junk"] {
            assert_eq!(from_json::<Unit>(text.as_bytes()).unwrap(), Unit::default(), "{text}");
        }
        let page: UnitPage = from_json(br#"{"units":[null]}"#).unwrap();
        assert_eq!(page.units, [Unit::default()]);
        let error = from_json::<Unit>(br#"{"options":[null]}"#).unwrap_err();
        assert!(matches!(error, DecodeError::Invalid(_)), "{error}");
    }

    #[test]
    fn what_is_no_unit_is_refused() {
        for text in ["[]", "5", "x", r#"{"name":5}"#, r#"{"options":{}}"#, r#"{"name":"\ud800"}"#] {
            assert!(
                matches!(from_json::<Unit>(text.as_bytes()), Err(DecodeError::Invalid(_))),
                "{text}"
            );
        }
    }
}
