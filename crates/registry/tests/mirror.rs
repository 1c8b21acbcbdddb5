//! How mirrors follow a store that takes its time.

mod common;

use std::time::Duration;

use fleet_core::JobState::Launched;
use fleet_registry::{Event, Mirror, Model, Scope};
use tokio::time::{self, Instant};

use crate::common::World;

/// How long a read takes.
const READ: Duration = Duration::from_secs(3);

/// The number of units there are.
#[derive(Debug, Default)]
struct Count(usize);

impl Model for Count {
    fn apply(&mut self, event: Event) {
        match event {
            Event::Unit(_, Some(_)) => self.0 += 1,
            Event::Unit(_, None) => self.0 -= 1,
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reading_goes_on_while_its_owner_does_other_things() {
    for period in [None, Some(Duration::from_secs(1))] {
        let world = World::new();
        world.create("a.service", "[Service]\nExecStart=/a\n", Launched).await;
        world.store.set_read_delay(READ);
        let mut mirror: Mirror<Count> =
            Mirror::new(world.registry.clone(), Scope::Cluster).every(period);
        for units in 1..=3 {
            let asked = Instant::now();
            let patience = Duration::from_secs(1); // at a time
            while time::timeout(patience, mirror.changed()).await.is_err() {
                assert!(asked.elapsed() < READ * 3, "{period:?} {units}");
            }
            assert!(mirror.is_current());
            assert_eq!(mirror.model().0, units, "{period:?}");
            let name = format!("b{units}.service");
            world.create(&name, "[Service]\nExecStart=/b\n", Launched).await;
        }
    }
}
