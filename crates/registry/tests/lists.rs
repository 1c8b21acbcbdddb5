//! Lists page by page, and mirrors.

mod common;

use std::{collections::BTreeMap, time::Duration};

use common::*;
use fleet_core::{
    JobState::{Inactive, Launched},
    MachineId, UnitName,
};
use fleet_registry::{Event, MetadataChange, Mirror, Model, Scope, StateFilter};
use fleet_store::{Key, Op, Store, Txn};
use tokio::time::Instant;

#[tokio::test]
async fn pages_of_units_show_each_once_in_order() {
    let world = World::new();
    for n in 0..7 {
        world.create(&format!("u{n}.service"), SLEEP, Inactive).await;
    }
    let mut names = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = world.registry.units_page(after.as_deref(), 3).await.unwrap();
        assert!(page.items.len() <= 3);
        names.extend(page.items.into_iter().map(|unit| unit.name.to_string()));
        // What comes and goes meanwhile neither repeats nor hides the others.
        let extra = format!("a{}.service", names.len());
        world.create(&extra, SLEEP, Inactive).await;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let expected: Vec<String> = (0..7).map(|n| format!("u{n}.service")).collect();
    assert_eq!(names, expected);
    let exact = world.registry.units_page(None, 10).await.unwrap();
    assert_eq!((exact.items.len(), exact.next), (10, None), "a full last page has no successor");
}

#[tokio::test]
async fn a_corrupt_unit_is_left_out_of_the_list() {
    let world = World::new();
    world.create("a.service", SLEEP, Inactive).await;
    world.create("b.service", SLEEP, Inactive).await;
    let garbage = Op::Put { key: Key::from("/f/unit/a.service"), value: b"?".into(), lease: None };
    let gone = Op::Delete(Key::from("/f/file/b.service"));
    world.store.commit(Txn { compare: vec![], then: vec![garbage, gone] }).await.unwrap();
    world.create("c.service", SLEEP, Inactive).await;
    let page = world.registry.units_page(None, 10).await.unwrap();
    let names: Vec<_> = page.items.iter().map(|unit| unit.name.as_str()).collect();
    assert_eq!(names, ["c.service"]);
}

#[tokio::test]
async fn states_are_filtered_before_they_are_paged() {
    let world = World::new();
    let machines = [world.register("m1").await, world.register("m2").await];
    for n in 0..5 {
        for presence in &machines {
            world.publish(presence, &format!("u{n}.service"), Launched).await;
        }
    }
    let list = async |of: Option<&str>, machine: Option<&str>, limit| {
        let filter = StateFilter { unit: of.map(unit), machine: machine.map(str::to_owned) };
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = world.registry.states_page(&filter, after.as_deref(), limit).await.unwrap();
            found.extend(page.items.iter().map(|view| format!("{}@{}", view.unit, view.machine)));
            after = page.next;
            if after.is_none() {
                return found;
            }
        }
    };
    assert_eq!(list(None, None, 3).await.len(), 10);
    assert_eq!(list(None, Some("m2"), 2).await.len(), 5);
    assert_eq!(list(Some("u1.service"), None, 1).await, ["u1.service@m1", "u1.service@m2"]);
    assert_eq!(list(Some("u1.service"), Some("m2"), 1).await, ["u1.service@m2"]);
    assert_eq!(list(Some("u1.socket"), None, 9).await, [""; 0]);
}

#[tokio::test]
async fn machines_come_with_their_own_metadata_only() {
    let world = World::new();
    for id in ["m1", "m2", "m3"] {
        world.register(id).await;
        let change = fleet_registry::MetadataChange {
            machine: machine(id),
            key: "is".to_owned(),
            value: id.to_owned(),
        };
        world.registry.change_metadata(&[change]).await.unwrap();
    }
    let page = world.registry.machines_page(Some("m1"), 1).await.unwrap();
    let expected = BTreeMap::from([("is", "m2"), ("region", "eu")]);
    let found = &page.items[0];
    assert_eq!(found.id, machine("m2"));
    assert!(found.metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())).eq(expected));
    assert_eq!(page.next.as_deref(), Some("m2"));
}

/// What a machine is told, by unit, and how many events it took.
#[derive(Default)]
struct Orders {
    units: BTreeMap<UnitName, String>,
    present: Option<MachineId>,
}

impl Model for Orders {
    fn apply(&mut self, event: Event) {
        match event {
            Event::Schedule(_, name, Some(order)) | Event::Global(name, Some(order)) => {
                self.units.insert(name, order.unwrap().desired_state.to_string());
            }
            Event::Schedule(_, name, None) | Event::Global(name, None) => {
                self.units.remove(&name);
            }
            Event::Machine(id, entry) => self.present = entry.map(|_| id),
            Event::Metadata(..) => {}
            other => panic!("not in scope: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_mirror_follows_its_part_through_outage_and_compaction() {
    let world = World::new();
    let presence = world.register("m1").await;
    world.register("m2").await;
    world.create("a.service", GLOBAL, Launched).await;
    let mut mirror: Mirror<Orders> =
        Mirror::new(world.registry.clone(), Scope::Machine(machine("m1")));
    assert!(!mirror.is_current());
    mirror.changed().await.unwrap();
    assert!(mirror.is_current() && mirror.model().present == Some(machine("m1")));
    assert_eq!(mirror.model().units.len(), 1);

    // Not of this machine's business: wakes nobody.
    world.create("other.service", SLEEP, Launched).await;
    let seen = world.unit("a.service").await;
    world.registry.set_desired_state(&seen, Inactive).await.unwrap();
    mirror.changed().await.unwrap();
    assert_eq!(mirror.model().units[&unit("a.service")], "inactive");

    world.store.set_available(false);
    assert!(mirror.changed().await.is_err());
    assert!(!mirror.is_current());
    assert_eq!(mirror.model().units.len(), 1, "what was known last stays");
    assert!(mirror.changed().await.is_err());
    world.store.set_available(true);
    world.registry.destroy_unit(&unit("a.service")).await.unwrap();
    mirror.changed().await.unwrap();
    assert!(mirror.is_current() && mirror.model().units.is_empty());
    world.registry.leave(&presence).await.unwrap();
    mirror.changed().await.unwrap();
    assert_eq!(mirror.model().present, None);
}

#[tokio::test(start_paused = true)]
async fn a_mirror_that_watches_nothing_reads_anew_every_period() {
    let world = World::new();
    let period = Duration::from_secs(5);
    let mut mirror: Mirror<Orders> =
        Mirror::new(world.registry.clone(), Scope::Machine(machine("m1"))).every(Some(period));
    let start = Instant::now();
    mirror.changed().await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO, "the first picture is there at once");
    world.create("a.service", GLOBAL, Launched).await;
    mirror.changed().await.unwrap();
    assert_eq!(start.elapsed(), period);
    assert_eq!(mirror.model().units.len(), 1);

    // It may be dropped while it waits and still keeps its period.
    let cut_short = tokio::time::timeout(period / 2, mirror.changed()).await;
    assert!(cut_short.is_err() && mirror.is_current());
    world.store.set_available(false);
    mirror.changed().await.unwrap_err();
    assert_eq!(start.elapsed(), period * 2);
    assert!(!mirror.is_current(), "what can't be read may have changed");
    world.store.set_available(true);
    world.registry.destroy_unit(&unit("a.service")).await.unwrap();
    mirror.changed().await.unwrap();
    assert!(mirror.is_current() && mirror.model().units.is_empty(), "what has gone is gone");
}

#[tokio::test]
async fn states_come_in_the_order_of_names_also_where_one_continues_the_other() {
    let world = World::new();
    let mut expected = Vec::new();
    // `-` and `.` sort before `/`, and before all letters.
    for name in ["a.service", "a.service-x.service", "a.service.service", "a@1.service"] {
        for id in ["m1", "m2"] {
            let presence = world.register(id).await;
            world.publish(&presence, name, Launched).await;
            expected.push((name.to_owned(), id.to_owned()));
        }
    }
    assert!(expected.is_sorted());
    for limit in [1, 3, 100] {
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let all = StateFilter::default();
            let page = world.registry.states_page(&all, after.as_deref(), limit).await.unwrap();
            let rows = page.items.into_iter();
            found.extend(rows.map(|row| (row.unit.to_string(), row.machine.to_string())));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(found, expected, "{limit}");
    }
    let of_one = StateFilter { unit: Some(unit("a.service")), machine: None };
    let page = world.registry.states_page(&of_one, None, 10).await.unwrap();
    assert_eq!(page.items.len(), 2, "and of no other unit");
}

#[tokio::test]
async fn machines_have_their_metadata_also_where_one_id_continues_the_other() {
    let world = World::new();
    let ids = ["m", "m-1", "m.2", "m0"];
    let mut changes = Vec::new();
    for id in ids {
        world.register(id).await;
        let (key, value) = ("of".to_owned(), id.to_owned());
        changes.push(MetadataChange { machine: machine(id), key, value });
    }
    world.registry.change_metadata(&changes).await.unwrap();
    for limit in [1, 2, 3, 10] {
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = world.registry.machines_page(after.as_deref(), limit).await.unwrap();
            found.extend(page.items.into_iter().map(|mut row| row.metadata.remove("of")));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(found, ids.map(|id| Some(id.to_owned())), "{limit}");
    }
}
