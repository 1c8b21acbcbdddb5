use fleet_store::Revision;
use serde_json::{Value, json};

use super::*;

fn put(key: &str, value: &Value, lease: Option<i64>) -> KeyValue {
    KeyValue {
        key: format!("{PREFIX}{key}").into(),
        value: value.to_string().into_bytes(),
        create_revision: Revision(1),
        mod_revision: Revision(1),
        lease: lease.map(LeaseId),
    }
}

fn unit(hash: &UnitHash, machine: Option<&str>) -> KeyValue {
    let mut value = json!({ "hash": hash, "desiredState": "launched" });
    if let Some(machine) = machine {
        value["machine"] = json!(machine);
    }
    put("unit/a.service", &value, None)
}

fn state(hash: &UnitHash, active: &str) -> KeyValue {
    let systemd = json!({ "load": "loaded", "active": active, "sub": "running" });
    let systemd: fleet_core::UnitState = serde_json::from_value(systemd).unwrap();
    let state = PublishedState::new(systemd, *hash, JobState::Launched);
    put("state/a.service,m1", &serde_json::to_value(state).unwrap(), Some(1))
}

fn delete(key: &str) -> Change {
    Change::Delete { key: format!("{PREFIX}{key}").into(), revision: Revision(2) }
}

#[test]
fn a_unit_is_active_where_it_is_placed_with_what_is_wanted() {
    let (old, new) = (UnitHash::of(b"old"), UnitHash::of(b"new"));
    let mut seen = Seen::default();
    let counts = |seen: &Seen| (seen.counts().wanted, seen.counts().placed, seen.counts().active);
    seen.put(&unit(&old, None));
    assert_eq!(counts(&seen), (1, 0, 0));
    seen.put(&unit(&old, Some("m1")));
    seen.put(&state(&old, "activating"));
    assert_eq!(counts(&seen), (1, 1, 0));
    seen.put(&state(&old, "active"));
    assert_eq!(counts(&seen), (1, 1, 1));
    seen.put(&unit(&new, Some("m1")));
    assert_eq!(counts(&seen), (1, 1, 0), "its content was replaced");
    seen.put(&state(&new, "active"));
    assert!(seen.is_active("a.service", &new) && !seen.is_active("a.service", &old));
    seen.put(&unit(&new, Some("m2")));
    assert_eq!((counts(&seen), seen.counts().moved), ((1, 1, 0), 1));
    seen.apply(&delete("unit/a.service"));
    seen.apply(&delete("state/a.service,m1"));
    assert_eq!(counts(&seen), (0, 0, 0));
}

#[test]
fn machines_that_go_and_return_are_counted() {
    let mut seen = Seen::default();
    seen.put(&put("machine/m1", &json!({}), Some(1)));
    seen.put(&put("machine/m1", &json!({}), Some(1)));
    assert_eq!((seen.counts().present, seen.counts().anew, seen.counts().gone), (1, 0, 0));
    seen.apply(&delete("machine/m1"));
    assert_eq!((seen.counts().present, seen.counts().gone), (0, 1));
    seen.put(&put("machine/m1", &json!({}), Some(2)));
    assert_eq!((seen.counts().present, seen.counts().anew), (1, 1));
    seen.replace(&[]);
    assert_eq!((seen.counts().present, seen.counts().gone), (0, 2));
}

#[test]
fn what_a_snapshot_shows_has_happened_meanwhile() {
    let hash = UnitHash::of(b"");
    let leader = json!({ "MachineID": "m1", "Version": 1 });
    let mut seen = Seen::default();
    seen.put(&unit(&hash, Some("m1")));
    seen.put(&put("lease/engine-leader", &leader, Some(1)));
    assert_eq!(seen.leader.as_deref(), Some("m1"));
    seen.replace(&[unit(&hash, Some("m2"))]);
    assert_eq!((seen.counts().moved, seen.counts().placed, seen.leader), (1, 1, None));
}
