//! Fuzzing what is read back from etcd: anybody may have written it, also a fleet of tomorrow.

use fleet_store::Key;
use fleet_testkit::{Fuzz, assert_words};
use serde::{Serialize, de::DeserializeOwned};

use super::*;
use crate::{PublishedState, Trouble, registry::encode};

/// The rest of a key, and behind it the value.
const ENTRIES: [&str; 16] = [
    "unit/a@1.service\n{\"hash\":\"da39a3ee5e6b4b0d3255bfef95601890afd80709\",\"size\":7,\"desiredState\":\"launched\",\
     \"machine\":\"m1\",\"leaving\":true,\"returnTo\":\"m2\",\"global\":true,\"template\":true,\
     \"xFleet\":[[\"MachineMetadata\",\"a=b\"]]}",
    "unit/b.service\n{\"hash\":\"da39a3ee5e6b4b0d3255bfef95601890afd80709\"}",
    "schedule/m1/a.service\n{\"hash\":\"da39a3ee5e6b4b0d3255bfef95601890afd80709\",\"desiredState\":\"loaded\",\
     \"leaving\":true}",
    "global/a.service\n{\"hash\":\"da39a3ee5e6b4b0d3255bfef95601890afd80709\",\"desiredState\":\"inactive\"}",
    "state/a.service,m1\n{\"load\":\"loaded\",\"active\":\"failed\",\"sub\":\"dead\",\
     \"hash\":\"da39a3ee5e6b4b0d3255bfef95601890afd80709\",\"claim\":\"launched\",\
     \"start\":{\"at\":-1,\"settled\":true,\"failure\":\"x\"},\"failure\":\"exit code 1\"}",
    "trouble/a.service,m1\n{\"error\":\"no\",\"refused\":\"da39a3ee5e6b4b0d3255bfef95601890afd80709\"}",
    "obstacle/a.service,m1\n{\"reason\":\"masked\"}",
    "obstacle/a.service,m1\n{}",
    "machine/m1\n{\"publicIP\":\"198.18.0.1\",\"metadata\":{\"a\":\"b\"},\"capabilities\":{\"DISABLE_ENGINE\":false,\
     \"GRPC\":false,\"HANDOVER\":true},\"version\":\"v2\",\"nonce\":\"n\",\"standing\":\"leaving\",\"bootId\":\"b\",\
     \"askedBy\":\"x\"}",
    "machine/m1\n{\"standing\":{\"since\":7}}",
    "metadata/m1/region\neu",
    "restart/m1/a.service\n",
    "leaving/a.service\n{\"machine\":\"m1\"}",
    "lease/engine-leader\n{\"MachineID\":\"m1\",\"Version\":3}",
    "lease/engine-leader\nm1",
    "engine/version\n 3\n",
];
const WORDS: [&str; 32] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "null",
    "true",
    "1",
    "-1",
    "1e999",
    "\"\"",
    "\"x\"",
    "\\u0000",
    "\\ud800",
    "\"hash\":",
    "\"desiredState\":",
    "\"launched\"",
    "\"machine\":",
    "\"xFleet\":",
    "[\"Global\",\"yes\"]",
    "\"standing\":",
    "\"leaving\"",
    "\"unheardOf\":7",
    "\n",
    "unit/",
    "a.service",
    "/",
    ",m1",
    "@",
    "é",
];

#[test]
fn fuzz_entries() {
    Fuzz::new("entries").like(ENTRIES).of_words(WORDS).run(entry);
}

fn entry(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (key, value) = input.split_at(end);
    let keys = Keys::new("/f").unwrap();
    let kv = KeyValue {
        key: format!("/f/{}", String::from_utf8_lossy(key)).into(),
        value: value.get(1..).unwrap_or_default().to_vec(),
        create_revision: Revision(3),
        mod_revision: Revision(5),
        lease: None,
    };
    if let Some(about) = keys.parse(&kv.key) {
        assert_eq!(keys.parse(&key_of(&keys, &about)), Some(about.clone()));
        match about {
            Entry::Unit(_) => record::<UnitRecord>(&kv),
            Entry::Schedule(..) | Entry::Global(_) => record::<Assignment>(&kv),
            Entry::State(..) => record::<PublishedState>(&kv),
            Entry::Machine(_) => record::<MachineRecord>(&kv),
            Entry::Leaving(_) => record::<Leaving>(&kv),
            Entry::Trouble(..) => record::<Trouble>(&kv),
            Entry::Obstacle(..) => record::<HostObstacle>(&kv),
            Entry::Leader => record::<LeaderRecord>(&kv),
            Entry::File(_) | Entry::Metadata(..) | Entry::Restart(..) | Entry::EngineVersion => {}
        }
    }
    // What is there is never taken for what isn't, but for a lease that nobody can have written.
    match Event::of(&keys, &Change::Put(kv)) {
        None | Some(Event::Leader(_) | Event::EngineVersion(_)) => {}
        Some(event) => assert!(!format!("{event:?}").ends_with("None)"), "{event:?}"),
    }
}

fn key_of(keys: &Keys, about: &Entry) -> Key {
    match about {
        Entry::Unit(name) => keys.unit(name.as_str()),
        Entry::File(name) => keys.file(name.as_str()),
        Entry::Schedule(id, name) => keys.schedule(id, name),
        Entry::Global(name) => keys.global(name),
        Entry::State(name, id) => keys.state(name.as_str(), id.as_str()),
        Entry::Machine(id) => keys.machine(id.as_str()),
        Entry::Metadata(id, key) => keys.metadata(id, key),
        Entry::Restart(id, name) => keys.restart(id, name),
        Entry::Leaving(name) => keys.leaving(name.as_str()),
        Entry::Trouble(name, id) => keys.trouble(name.as_str(), id.as_str()),
        Entry::Obstacle(name, id) => keys.obstacle(name.as_str(), id.as_str()),
        Entry::Leader => keys.leader(),
        Entry::EngineVersion => keys.engine_version(),
    }
}

/// What is read is written so that it is read the same, what isn't known is no reason not to, and what
/// can't be read is an error with words.
fn record<T>(kv: &KeyValue)
where
    T: std::fmt::Debug + PartialEq + Serialize + DeserializeOwned,
{
    let read: Versioned<T> = match decode(kv) {
        Ok(read) => read,
        Err(error) => return assert_words(&error.to_string()),
    };
    let of = |value: Vec<u8>| decode::<T>(&KeyValue { value, ..kv.clone() });
    assert_eq!(of(encode(&read.value)).unwrap(), read);
    let written = encode(&read.value);
    let comma = if written == b"{}" { "" } else { "," };
    let more = [format!("{{\"of tomorrow\":[1]{comma}").as_bytes(), &written[1..]].concat();
    assert_eq!(of(more).unwrap(), read);
}
