//! How mirrors follow a store that takes its time.

mod common;

use std::time::Duration;

use fleet_core::{JobState::Launched, Pauses};
use fleet_registry::{Event, Followed, Mirror, Model, Scope};
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

#[tokio::test(start_paused = true)]
async fn an_outage_is_followed_through_with_growing_pauses() {
    const PAUSES: Pauses = Pauses::between(Duration::from_millis(100), Duration::from_secs(1));
    let world = World::new();
    let mut mirror: Mirror<Count> =
        Mirror::new(world.registry.clone(), Scope::Cluster).pausing(PAUSES);
    assert_eq!(mirror.follow().await, Followed::Anew);
    world.create("a.service", "[Service]\nExecStart=/a\n", Launched).await;
    assert_eq!((mirror.follow().await, mirror.model().0), (Followed::Changed, 1));

    world.store.set_available(false);
    let lost = Instant::now();
    assert_eq!(mirror.follow().await, Followed::Lost);
    assert!(!mirror.is_current() && mirror.model().0 == 1, "what was known is known still");
    assert_eq!(lost.elapsed(), Duration::ZERO, "it is told at once");
    for earlier in 0..8 {
        let began = Instant::now();
        // Who waits for other things as well neither tries more often nor waits for longer.
        let at_a_time = PAUSES.after(earlier) / 5;
        while let Err(_elapsed) = time::timeout(at_a_time, mirror.follow()).await {}
        let (paused, all) = (began.elapsed(), PAUSES.after(earlier));
        assert!(paused >= all / 2 && paused <= all + all / 20, "{earlier}: {paused:?}");
        assert!(!mirror.is_current());
    }

    world.store.set_available(true);
    assert_eq!((mirror.follow().await, mirror.is_current()), (Followed::Anew, true));
    world.create("b.service", "[Service]\nExecStart=/b\n", Launched).await;
    let began = Instant::now();
    assert_eq!((mirror.follow().await, mirror.model().0), (Followed::Changed, 2));
    assert_eq!(began.elapsed(), Duration::ZERO);
}
