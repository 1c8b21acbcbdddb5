//! The description of the API (`api.md` 7).

use crate::reply::{self, Reply};

const DOCUMENT: &str = include_str!("discovery.json");

/// The document, the same for both prefixes.
pub(crate) fn get() -> Reply {
    reply::text(DOCUMENT)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fleet_schema::{
        Entity, Machine, MachinePage, MetadataOp, MetadataValue, Pending, PendingMachine,
        RestartAsked, RestartPending, Unit, UnitOption, UnitPage, UnitStart, UnitState,
        UnitStatePage, to_json,
    };
    use serde_json::Value;

    use super::*;
    use crate::{api::methods, route::Route};

    /// Where the document should have a resource; `None` for what isn't the API's own.
    fn path(route: &Route) -> Option<&'static str> {
        match route {
            Route::Server | Route::Root | Route::Metrics | Route::Discovery => None,
            Route::Machines => Some("machines"),
            Route::Units => Some("units"),
            Route::Unit(_) => Some("units/{unitName}"),
            Route::Restart(_) => Some("units/{unitName}/restart"),
            Route::States => Some("state"),
            Route::State(_) => Some("state/{unitName}"),
        }
    }

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    /// The methods that the document describes.
    fn described() -> Vec<Value> {
        let document = document();
        let resources = document["resources"].as_object().unwrap().values();
        let methods = resources.flat_map(|resource| resource["methods"].as_object().unwrap());
        methods.map(|(_, method)| method.clone()).collect()
    }

    #[test]
    fn the_document_describes_what_is_answered_and_nothing_else() {
        let mut answered = BTreeSet::new();
        for url in ["machines", "units", "units/a", "units/a/restart", "state", "state/a"] {
            let route = Route::find(&format!("/fleet/v1/{url}")).unwrap();
            let of_http = ["HEAD", "OPTIONS"];
            for method in methods(&route).allow.split(", ").filter(|m| !of_http.contains(m)) {
                answered.insert(format!("{method} {}", path(&route).unwrap()));
            }
        }
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let described: BTreeSet<String> = described()
            .iter()
            .map(|method| format!("{} {}", text(&method["httpMethod"]), text(&method["path"])))
            .collect();
        assert_eq!(described, answered);
    }

    #[test]
    fn every_path_that_is_described_is_a_resource() {
        for method in described() {
            let described = method["path"].as_str().unwrap();
            let url = format!("/fleet/v1/{}", described.replace("{unitName}", "a.service"));
            let route = Route::find(&url).unwrap_or_else(|| panic!("{url} is nothing"));
            assert_eq!(path(&route), Some(described));
        }
    }

    #[test]
    fn every_schema_that_is_named_is_there() {
        fn names(value: &Value, found: &mut BTreeSet<String>) {
            match value {
                Value::Object(members) => {
                    found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    members.values().for_each(|member| names(member, found));
                }
                Value::Array(items) => items.iter().for_each(|item| names(item, found)),
                _ => {}
            }
        }
        let (document, mut named) = (document(), BTreeSet::new());
        names(&document, &mut named);
        for name in named {
            assert_eq!(document["schemas"][&name]["id"], *name);
        }
    }

    /// Checks that a schema has the members of an entity in which nothing is empty.
    fn has_members<T: Entity>(schema: &str, entity: &T) {
        let emitted: Value = serde_json::from_str(&to_json(entity)).unwrap();
        let members = |value: &Value| -> BTreeSet<String> {
            value.as_object().unwrap().keys().cloned().collect()
        };
        let document = document();
        assert_eq!(members(&document["schemas"][schema]["properties"]), members(&emitted));
    }

    #[test]
    fn schemas_have_the_members_that_are_emitted() {
        let text = || "x".to_owned();
        let machine =
            PendingMachine { machine_id: text(), message: text(), reason: text(), refused: true };
        let pending = Pending { machines: vec![machine.clone()], message: text(), reason: text() };
        has_members("PendingMachine", &machine);
        has_members("Pending", &pending);
        has_members("RestartAsked", &RestartAsked { machines: vec![text()] });
        has_members("RestartPending", &RestartPending { pending: vec![text()] });
        let unit = Unit {
            current_state: text(),
            desired_state: text(),
            machine_id: text(),
            name: text(),
            options: vec![UnitOption::default()],
            pending,
        };
        let option = UnitOption { name: text(), section: text(), value: text() };
        has_members("UnitOption", &option);
        let machine = Machine {
            id: text(),
            metadata: [(text(), text())].into(),
            primary_ip: text(),
            standing: text(),
        };
        let start = UnitStart { at: 1, failure: text(), settled: true };
        has_members("UnitStart", &start);
        let state = UnitState {
            hash: text(),
            machine_id: text(),
            name: text(),
            start,
            systemd_active_state: text(),
            systemd_load_state: text(),
            systemd_sub_state: text(),
        };
        has_members("Machine", &machine);
        has_members("UnitState", &state);
        has_members("Unit", &unit);
        let next = text;
        has_members("UnitPage", &UnitPage { next_page_token: next(), units: vec![unit] });
        has_members(
            "UnitStatePage",
            &UnitStatePage { next_page_token: next(), states: vec![state] },
        );
        has_members(
            "MachinePage",
            &MachinePage { machines: vec![machine], next_page_token: next() },
        );
        let value = MetadataValue(text());
        has_members("MetadataOp", &MetadataOp { op: text(), path: text(), value });
    }
}
