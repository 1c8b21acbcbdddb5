//! Changes that come between looking a unit up and writing it (`api.md` 4.4, last row).

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use fleet_core::{JobState, UnitFile};
use fleet_registry::{Keys, Registry};
use fleet_store::{MemoryStore, Outcome, Store, StoreError, Txn};
use fleet_testkit::{Behind, Between};
use tokio::task::JoinSet;

use crate::{
    harness::{LONG, SLEEP, SLEEP_OPTIONS, Server, settings, unit},
    store::Keeper,
};

/// A store in which somebody else is always a bit faster, as often as they like: they create
/// `r.service`, and from then on they change its state.
struct FakeRival {
    store: MemoryStore,
    rival: Registry,
    times: AtomicUsize,
}

impl FakeRival {
    async fn meddle(&self) {
        let name = unit("r.service");
        match self.rival.unit(&name).await.unwrap() {
            None => {
                let file = UnitFile::parse(SLEEP.as_bytes()).unwrap();
                self.rival.create_unit(&name, &file, JobState::Loaded).await.unwrap();
            }
            Some(seen) => {
                let state = match seen.record.value.desired_state {
                    JobState::Loaded => JobState::Inactive,
                    _ => JobState::Loaded,
                };
                self.rival.set_desired_state(&seen, state).await.unwrap();
            }
        }
    }
}

#[async_trait]
impl Between for FakeRival {
    fn store(&self) -> &MemoryStore {
        &self.store
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome, StoreError> {
        let less = |times: usize| times.checked_sub(1);
        if self.times.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
            self.meddle().await;
        }
        self.store.commit(txn).await
    }
}

/// A server whose first `times` writes come too late, and which goes on trying for `time`.
fn with_rival_for(times: usize, time: Duration) -> Server {
    let store = MemoryStore::new();
    let rival = Registry::new(Arc::new(store.clone()), Keys::new(&crate::store::prefix()).unwrap());
    let store_with_rival = FakeRival { store: store.clone(), rival, times: times.into() };
    let mut settings = settings(100);
    settings.limits.store_time = time;
    Server::start_on((store, Keeper), Arc::new(Behind(store_with_rival)), settings)
}

fn with_rival(times: usize) -> Server {
    with_rival_for(times, LONG)
}

#[tokio::test]
async fn what_changed_meanwhile_is_looked_at_again() {
    let launched = format!(r#"{{"desiredState":"launched","options":{SLEEP_OPTIONS}}}"#);
    let stateless = format!(r#"{{"options":{SLEEP_OPTIONS}}}"#);
    let other = r#"{"options":[{"section":"Service","name":"ExecStart","value":"/bin/true"}]}"#;
    // What would create the unit meets one with the same content, or with another.
    for times in [1, 2, 20] {
        let server = with_rival(times);
        assert_eq!(server.put("r.service", &launched).await.status, 204);
        let found = server.registry.unit(&unit("r.service")).await.unwrap().unwrap();
        assert_eq!(found.record.value.desired_state, JobState::Launched);

        let server = with_rival(times);
        let missing = "must provide DesiredState to update existing unit";
        server.put("r.service", &stateless).await.assert_error(409, missing);

        let server = with_rival(times);
        assert_eq!(server.put("r.service", other).await.status, 201);
        let found = server.registry.unit(&unit("r.service")).await.unwrap().unwrap();
        assert!(found.file.to_text().contains("/bin/true"));
    }
}

#[tokio::test]
async fn a_unit_that_keeps_changing_is_destroyed_in_the_end() {
    let server = with_rival(20);
    server.create("r.service", SLEEP, JobState::Loaded).await;
    assert_eq!(server.call("DELETE", "/fleet/v1/units/r.service").await.status, 204);
}

#[tokio::test]
async fn many_that_change_one_unit_all_get_their_turn() {
    let server = Arc::new(Server::start());
    let mut clients = JoinSet::new();
    for client in 0..12 {
        let server = Arc::clone(&server);
        clients.spawn(async move {
            let options =
                format!(r#"{{"options":[{{"section":"S","name":"A","value":"{client}"}}]}}"#);
            for _ in 0..5 {
                let (put, delete) = tokio::join!(
                    server.put("r.service", &options),
                    server.call("DELETE", "/fleet/v1/units/r.service")
                );
                // An update that says no state is refused when the unit is there already as sent.
                assert!(matches!(put.status, 201) || put.body.contains("DesiredState"), "{put:?}");
                assert!(matches!(delete.status, 204 | 404), "{delete:?}");
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn a_unit_that_never_stays_the_same_is_a_conflict() {
    let server = with_rival_for(usize::MAX, Duration::from_millis(50));
    let body = format!(r#"{{"desiredState":"launched","options":{SLEEP_OPTIONS}}}"#);
    let conflict = "unit r.service has changed meanwhile";
    server.put("r.service", &body).await.assert_error(409, conflict);
}
