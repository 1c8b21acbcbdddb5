//! The two stores side by side.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use etcd_client::Client;
use fleet_etcd::{EtcdConfig, EtcdStore};
use fleet_net::Certificates;
use fleet_store::{Key, MemoryStore, Op, Revision};
use fleet_testkit::EtcdServer;
use proptest::test_runner::TestCaseError;

use crate::{
    side::{Compacter, Known, Side, put},
    step::{BACK, Step},
};

pub(crate) struct Both {
    etcd: Side,
    memory: Side,
    store: MemoryStore,
    known: Known,
    _server: EtcdServer,
}

impl Both {
    pub(crate) async fn start() -> Self {
        let server = EtcdServer::start();
        let config = EtcdConfig {
            endpoints: vec![server.endpoint()],
            login: None,
            tls: Certificates::default(),
            request_timeout: Duration::from_secs(10),
        };
        let etcd = Arc::new(EtcdStore::connect(config).unwrap());
        let client = Client::connect([server.endpoint()], None).await.unwrap();
        let memory = MemoryStore::new();
        let etcd = Side::new(etcd, Compacter::Etcd(Box::new(client.kv_client())));
        // So that the first sequence can look back as far as the others.
        for _ in 0..=BACK {
            etcd.advance().await;
        }
        Self {
            etcd,
            memory: Side::new(Arc::new(memory.clone()), Compacter::Memory(memory.clone())),
            store: memory,
            known: Known { newest: Revision(1), compacted: Revision(0) },
            _server: server,
        }
    }

    /// Takes all `steps` on both sides, from nothing on.
    pub(crate) async fn take_all(&mut self, steps: &[Step]) -> Result<(), TestCaseError> {
        self.begin().await;
        for (number, step) in steps.iter().enumerate() {
            let taken = match step {
                Step::Compact(when) => self.compact(self.known.revision(*when)).await,
                Step::Settle => self.settle().await,
                step => self.take(step).await,
            };
            taken.map_err(|why| TestCaseError::fail(format!("step {number}, {step:?}: {why}")))?;
        }
        self.finish().await.map_err(|why| TestCaseError::fail(format!("at the end: {why}")))
    }

    /// Clears away what the sequence before left, and brings the revisions level.
    async fn begin(&mut self) {
        let Self { etcd, memory, known, .. } = self;
        let (mut of_etcd, mut of_memory) = (etcd.clear().await, memory.clear().await);
        while of_etcd != of_memory {
            if of_etcd < of_memory {
                of_etcd = etcd.advance().await;
            } else {
                of_memory = memory.advance().await;
            }
        }
        etcd.compact(of_etcd).await;
        memory.compact(of_etcd).await;
        *known = Known { newest: of_etcd, compacted: of_etcd };
    }

    async fn take(&mut self, step: &Step) -> Result<(), String> {
        let Self { etcd, memory, known, .. } = self;
        same(&etcd.take(step, *known).await, &memory.take(step, *known).await)?;
        self.known.newest = self.store.revision();
        Ok(())
    }

    async fn compact(&mut self, revision: Revision) -> Result<(), String> {
        // A watch that is behind is ended by it or not, as chance will have it.
        self.settle().await?;
        if self.known.compacted < revision && revision <= self.known.newest {
            self.etcd.compact(revision).await;
            self.memory.compact(revision).await;
            self.known.compacted = revision;
        }
        Ok(())
    }

    /// Lets all watches tell what there is to tell, and compares it.
    async fn settle(&mut self) -> Result<(), String> {
        let Self { etcd, memory, known, .. } = self;
        let Some(latest) = memory.watches.iter().map(|watch| watch.from).max() else {
            return Ok(());
        };
        let keys: BTreeSet<Key> =
            memory.watches.iter().flat_map(|watch| watch.keys().cloned()).collect();
        let puts: Vec<Op> = keys.iter().map(put).collect();
        // A watch from a later revision on tells nothing before.
        loop {
            let outcomes = (
                etcd.commit(vec![], puts.clone()).await.map_err(|error| error.to_string())?,
                memory.commit(vec![], puts.clone()).await.map_err(|error| error.to_string())?,
            );
            same(&format!("{:?}", outcomes.0), &format!("{:?}", outcomes.1))?;
            known.newest = outcomes.1.revision;
            if known.newest >= latest {
                break;
            }
        }
        for (name, side) in [("memory", &mut *memory), ("etcd", &mut *etcd)] {
            for watch in &mut side.watches {
                watch.listen_until(known.newest).await.map_err(|why| format!("{name}: {why}"))?;
            }
        }
        same(&etcd.told(), &memory.told())
    }

    /// Compares all that is there, and what the watches told.
    async fn finish(&mut self) -> Result<(), String> {
        same(&self.etcd.everything().await, &self.memory.everything().await)?;
        self.settle().await
    }
}

fn same(etcd: &str, memory: &str) -> Result<(), String> {
    if etcd == memory { Ok(()) } else { Err(format!("\n  etcd:   {etcd}\n  memory: {memory}")) }
}
