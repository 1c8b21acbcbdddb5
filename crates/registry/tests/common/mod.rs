//! What the registry's tests share.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use fleet_core::{JobState, MachineId, UnitFile, UnitName, UnitState};
use fleet_registry::{
    Keys, LeaderRecord, Leadership, MachineRecord, Presence, PublishedState, Registry, Trouble,
    Unit,
};
use fleet_store::{Key, MemoryStore, Range, Store};

pub const TTL: Duration = Duration::from_secs(10);

pub struct World {
    pub store: MemoryStore,
    pub registry: Registry,
}

impl World {
    pub fn new() -> Self {
        let store = MemoryStore::new();
        let registry = Registry::new(Arc::new(store.clone()), Keys::new("/f").unwrap());
        Self { store, registry }
    }

    /// The text under a key, if there is one.
    pub async fn text(&self, key: &str) -> Option<String> {
        let range = Range::key(Key::from(key));
        let kvs = self.store.read(&[range], None).await.unwrap().ranges.remove(0).kvs;
        kvs.into_iter().next().map(|kv| String::from_utf8(kv.value).unwrap())
    }

    /// All keys there are.
    pub async fn keys(&self) -> Vec<String> {
        let range = Range::prefix(&Key::from("/f/"));
        let kvs = self.store.read(&[range], None).await.unwrap().ranges.remove(0).kvs;
        kvs.iter().map(|kv| kv.key.to_string()).collect()
    }

    pub async fn register(&self, id: &str) -> Presence {
        self.registry.register(&machine(id), &record(id), TTL).await.unwrap()
    }

    pub async fn lead(&self) -> Leadership {
        let me = LeaderRecord { machine: machine("m1"), version: 1 };
        self.registry.acquire_lead(&me, TTL).await.unwrap().expect("nobody else leads")
    }

    pub async fn unit(&self, name: &str) -> Unit {
        self.registry.unit(&unit(name)).await.unwrap().expect("the unit exists")
    }

    pub async fn create(&self, name: &str, text: &str, desired: JobState) -> Unit {
        self.registry.create_unit(&unit(name), &file(text), desired).await.unwrap();
        self.unit(name).await
    }

    pub async fn publish(&self, presence: &Presence, name: &str, claim: JobState) {
        let state = published(claim);
        let states = BTreeMap::from([(unit(name), Some(state))]);
        self.registry.publish(presence, &states).await.unwrap();
    }

    pub async fn say_trouble(&self, presence: &Presence, name: &str, error: &str) {
        let troubles = BTreeMap::from([(
            unit(name),
            Some(Trouble { error: error.to_owned(), ..Trouble::default() }),
        )]);
        self.registry.publish(presence, &troubles).await.unwrap();
    }
}

pub fn unit(name: &str) -> UnitName {
    name.parse().unwrap()
}

pub fn machine(id: &str) -> MachineId {
    id.parse().unwrap()
}

pub fn file(text: &str) -> UnitFile {
    UnitFile::parse(text.as_bytes()).unwrap()
}

pub fn record(nonce: &str) -> MachineRecord {
    MachineRecord {
        public_ip: "198.18.0.1".to_owned(),
        metadata: BTreeMap::from([("region".to_owned(), "eu".to_owned())]),
        capabilities: fleet_registry::Capabilities::default(),
        version: "v2".to_owned(),
        nonce: nonce.to_owned(),
        ..MachineRecord::default()
    }
}

pub fn published(claim: JobState) -> PublishedState {
    let systemd =
        UnitState { load: "loaded".into(), active: "active".into(), sub: "running".into() };
    PublishedState::new(systemd, file(SLEEP).hash(), claim)
}

pub const SLEEP: &str = "[Service]\nExecStart=/bin/sleep 100\n";
pub const GLOBAL: &str = "[Service]\nExecStart=/bin/sleep 100\n\n[X-Fleet]\nGlobal=true\n";
