//! Tells why a unit has no machine: what an engine makes of the cluster, wherever it is asked. What
//! that comes to, with all else there is to know of the unit, `fleet_registry::why` says.
//!
//! Where the engine leads it is asked. Elsewhere the cluster is read, judged by the same function
//! and kept for a moment, so that clients that poll cost one reading of the cluster in that time,
//! however many they are; a reading that takes longer than they wait is there for the next.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use fleet_core::{MachineId, Obstacle, UnitName};
use fleet_registry::{
    Event, Model, Registry, RegistryError, Scope,
    why::{Engine, Explain, Explaining, Explanation},
};
use tokio::{sync::watch, task::JoinSet, time};
use tracing::debug;

use crate::{Cluster, EngineHandle, Unit, cluster::Host};

/// For how long a picture of the cluster is kept, and nothing is read after one that failed.
const KEEP: Duration = Duration::from_secs(2);

/// The machines that are there with what keeps each from taking a unit; `None` is nothing.
pub type WhyNot = BTreeMap<MachineId, Option<Obstacle>>;

/// Tells for every present machine what keeps it from taking `unit`, as things are now.
///
/// `None` for a unit that doesn't wait for a machine: it has one, isn't wanted, isn't there, or
/// is a template. A global unit waits for every machine, so all of them answer for it.
#[must_use]
pub fn why_not(cluster: &Cluster, unit: &UnitName) -> Option<WhyNot> {
    let is_global = |unit: &Unit| unit.is_global() && unit.is_wanted();
    let unit = cluster.unit(unit).filter(|unit| unit.waits() || is_global(unit))?;
    let answers = cluster.hosts().iter().map(|(id, Host { machine, residents, standing, .. })| {
        (id.clone(), residents.obstacle_to_coming(unit, machine, *standing, cluster.rings()))
    });
    let unclear = cluster.unclear_machines().keys();
    Some(answers.chain(unclear.map(|id| (id.clone(), Some(Obstacle::Unclear)))).collect())
}

/// See the module.
pub struct Explainer {
    registry: Registry,
    engine: Option<EngineHandle>,
    known: Arc<watch::Sender<Known>>,
    /// The reading that is under way, or whose picture is kept.
    reading: Mutex<JoinSet<()>>,
}

/// What is known of the cluster.
#[derive(Clone, Default)]
enum Known {
    #[default]
    Nothing,
    Reading,
    /// Nothing, as it couldn't be read just now.
    Failed,
    All(Arc<Picture>),
}

impl Known {
    /// Whether whoever waits can have an answer.
    fn is_settled(&self) -> bool {
        !matches!(self, Self::Reading)
    }
}

struct Picture {
    cluster: Cluster,
    engine: Engine,
}

/// Lets somebody else read the cluster once this reading is over, however it ends.
struct Reading(Arc<watch::Sender<Known>>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.send_replace(Known::Nothing);
    }
}

/// Whether anybody leads.
#[derive(Default)]
struct HasLeader(bool);

impl Model for HasLeader {
    fn apply(&mut self, event: Event) {
        if let Event::Leader(leader) = event {
            self.0 = leader.is_some();
        }
    }
}

impl Explainer {
    /// One that asks `engine` when it leads.
    #[must_use]
    pub fn new(registry: Registry, engine: Option<EngineHandle>) -> Self {
        Self { registry, engine, known: Arc::default(), reading: Mutex::default() }
    }

    async fn why(&self, unit: &UnitName) -> Option<Explanation> {
        if let Some(engine) = self.engine.as_ref().filter(|engine| engine.is_leading())
            && let Ok(answer) = engine.why_not(unit.clone()).await
        {
            return answer.map(|machines| Explanation { engine: Engine::Leads, machines });
        }
        let picture = self.picture().await?;
        let machines = why_not(&picture.cluster, unit)?;
        Some(Explanation { engine: picture.engine, machines })
    }

    /// The picture that is kept, or a new one when that is there.
    async fn picture(&self) -> Option<Arc<Picture>> {
        let mut known = self.known.subscribe();
        let is_mine = self.known.send_if_modified(|known| {
            let is_nothing = matches!(known, Known::Nothing);
            if is_nothing {
                *known = Known::Reading;
            }
            is_nothing
        });
        if is_mine {
            let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
            while reading.try_join_next().is_some() {}
            reading.spawn(keep(self.registry.clone(), Reading(Arc::clone(&self.known))));
        }
        let known = known.wait_for(Known::is_settled).await.ok()?;
        match &*known {
            Known::All(picture) => Some(Arc::clone(picture)),
            Known::Nothing | Known::Reading | Known::Failed => None,
        }
    }
}

impl Explain for Explainer {
    fn explain<'a>(&'a self, unit: &'a UnitName) -> Explaining<'a> {
        Box::pin(self.why(unit))
    }
}

/// Reads the cluster, and forgets it after a while.
async fn keep(registry: Registry, reading: Reading) {
    let found = match read(&registry).await {
        Ok(picture) => Known::All(Arc::new(picture)),
        Err(error) => {
            debug!(%error, "can't tell why a unit has no machine");
            Known::Failed
        }
    };
    reading.0.send_replace(found);
    time::sleep(KEEP).await;
}

async fn read(registry: &Registry) -> Result<Picture, RegistryError> {
    let led: HasLeader = registry.picture(&Scope::Lead).await?;
    let engine = if led.0 { Engine::Leads } else { Engine::Missing };
    Ok(Picture { cluster: registry.picture(&Scope::Cluster).await?, engine })
}

#[cfg(test)]
mod tests {
    use fleet_core::{JobState, UnitFile, eligibility::Refusal};
    use fleet_registry::{Capabilities, Keys, LeaderRecord, MachineRecord};
    use fleet_store::MemoryStore;

    use super::*;

    const TTL: Duration = Duration::from_secs(3600);

    fn registry(store: &MemoryStore) -> Registry {
        Registry::new(Arc::new(store.clone()), Keys::new("/f").unwrap())
    }

    async fn register(registry: &Registry, id: &str, disk: &str) {
        let record = MachineRecord {
            public_ip: String::new(),
            metadata: BTreeMap::from([("disk".to_owned(), disk.to_owned())]),
            capabilities: Capabilities::default(),
            version: String::new(),
            nonce: id.to_owned(),
            ..MachineRecord::default()
        };
        registry.register(&id.parse().unwrap(), &record, TTL).await.unwrap();
    }

    async fn create(registry: &Registry, name: &str) {
        let text = b"[Service]\nExecStart=/bin/true\n[X-Fleet]\nMachineMetadata=disk=ssd\n";
        let (name, file) = (name.parse().unwrap(), UnitFile::parse(text).unwrap());
        registry.create_unit(&name, &file, JobState::Launched).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_lead_reads_the_cluster_once_in_a_while() {
        let store = MemoryStore::new();
        let registry = registry(&store);
        register(&registry, "m1", "hdd").await;
        create(&registry, "a.service").await;
        let explainer = Explainer::new(registry.clone(), None);
        let unit: UnitName = "a.service".parse().unwrap();
        let refused = ("m1".parse().unwrap(), Some(Obstacle::Refused(Refusal::Metadata)));
        let machines = BTreeMap::from([refused]);
        let mut expected = Explanation { engine: Engine::Missing, machines };
        assert_eq!(explainer.explain(&unit).await, Some(expected.clone()));

        register(&registry, "m2", "ssd").await;
        let me = LeaderRecord { machine: "m2".parse().unwrap(), version: 1 };
        registry.acquire_lead(&me, TTL).await.unwrap();
        time::sleep(KEEP / 2).await;
        assert_eq!(explainer.explain(&unit).await, Some(expected.clone()), "it is kept");
        time::sleep(KEEP).await;
        expected.engine = Engine::Leads;
        expected.machines.insert("m2".parse().unwrap(), None);
        assert_eq!(explainer.explain(&unit).await, Some(expected), "and not for long");
        let unknown = "unknown.service".parse().unwrap();
        assert_eq!(explainer.explain(&unknown).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reading_that_dies_ends_nobody_elses() {
        let store = MemoryStore::new();
        let registry = registry(&store);
        create(&registry, "a.service").await;
        let explainer = Explainer::new(registry, None);
        let unit: UnitName = "a.service".parse().unwrap();
        store.set_read_delay(Duration::from_secs(60));
        let asked = time::timeout(Duration::from_secs(1), explainer.explain(&unit));
        assert!(asked.await.is_err());
        store.set_read_delay(Duration::ZERO);
        explainer.reading.lock().unwrap().abort_all();
        let waiting = time::timeout(Duration::from_secs(1), explainer.explain(&unit));
        assert_eq!(waiting.await.expect("nobody waits for it any more"), None);
        assert!(explainer.explain(&unit).await.is_some(), "it is read again");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_reading_that_failed_there_is_another() {
        let store = MemoryStore::new();
        let registry = registry(&store);
        create(&registry, "a.service").await;
        let explainer = Explainer::new(registry, None);
        let unit: UnitName = "a.service".parse().unwrap();
        store.set_available(false);
        assert_eq!(explainer.explain(&unit).await, None);
        store.set_available(true);
        assert_eq!(explainer.explain(&unit).await, None, "it isn't asked again at once");
        time::sleep(2 * KEEP).await;
        assert!(explainer.explain(&unit).await.is_some());
    }
}
