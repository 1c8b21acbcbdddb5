//! What must hold after every event.

use std::time::Duration;

use fleet_agent::fake::Event;
use fleet_core::UnitName;
use fleet_store::Store;
use tokio::time::{self, Instant};

use crate::{machine::Machine, sometimes::Rare, truth::Begun, world::World};

/// For how long a machine must have been well before it answers for what runs on it twice: it may
/// notice late that the store is back.
pub const LEARNS: Duration = Duration::from_secs(15);

/// How often what lasts is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// After something has changed in the store.
pub fn after_change(world: &World) {
    let taken = world.truth().take_taken();
    for (unit, id) in taken {
        let machine = world.machines.iter().find(|machine| machine.id == id);
        if let Some(machine) = machine.filter(|it| it.is_well() && it.sound_for() > LEARNS) {
            world.is_broken(format!("{unit} is taken from {machine}, with which nothing is wrong"));
        }
    }
}

/// After a call to a service manager, or as time goes on: judges what that has done since.
pub fn systemd_did(world: &World, machine: &Machine) {
    for (unit, event) in machine.fake().take_events() {
        match event {
            Event::Begun(run, hash) => {
                world.trace.note(machine, format_args!("{unit} runs"));
                let mut truth = world.truth();
                let since = truth.revision();
                let again = !machine.took(&unit) && truth.begins_again(&machine.id, &unit);
                let begun = Begun { run, hash, since, is_excused: machine.is_purging() };
                truth.begun(&machine.id, &unit, begun);
                drop(truth);
                if again {
                    world.is_broken(format!("{unit} begins again on {machine} without a reason"));
                }
                is_single(world, machine, &unit);
            }
            Event::Stopped => {
                world.trace.note(machine, format_args!("{unit} is told to stop"));
                has_reason(world, machine, &unit);
            }
        }
    }
}

/// A restart is carried out once, however often its fleetd dies.
pub fn restarts(world: &World, machine: &Machine, unit: &str) {
    let Ok(unit) = unit.parse::<UnitName>() else { return };
    if world.truth().restarts_twice(&machine.id, &unit) {
        world.is_broken(format!("{unit} is restarted twice on {machine} for one request"));
    }
}

/// No unit that should run is stopped without a reason.
fn has_reason(world: &World, machine: &Machine, unit: &UnitName) {
    if machine.is_purging() {
        return;
    }
    let truth = world.truth();
    let Some(Begun { hash, since, .. }) = truth.run(&machine.id, unit) else { return };
    if truth.reason_to_stop(&machine.id, unit, *hash, *since).is_none() {
        let now = truth.unit_now(unit).cloned();
        drop(truth);
        world.is_broken(format!("{unit} was stopped on {machine} without a reason: {now:?}"));
    }
}

/// A unit that begins here doesn't run on another machine that was present when it came here.
fn is_single(world: &World, machine: &Machine, unit: &UnitName) {
    let truth = world.truth();
    let Some(now) = truth.unit_now(unit).cloned() else { return };
    let Some(record) = now.record.filter(|record| !record.global) else { return };
    let Some(owner) = record.machine else { return };
    let mut found = Vec::new();
    for other in world.machines.iter().filter(|other| other.number != machine.number) {
        if !other.has_power() || !other.runs(unit) {
            continue;
        }
        world.sometimes.reached(Rare::Doubled);
        let without = if machine.id == owner { &**other } else { machine };
        if without.id != owner && truth.was_asked(&without.id, unit) {
            found.push(format!(
                "{unit} begins on {machine} while it runs on {other}, and {without} was present when the \
                 other got it"
            ));
        }
    }
    drop(truth);
    found.into_iter().for_each(|what| world.is_broken(what));
}

/// Looks at what lasts, for as long as the run does.
pub async fn go_on(world: World) {
    loop {
        time::sleep(LOOK).await;
        let is_out = world.frozen.get() || world.store.read(&[], None).await.is_err();
        for machine in &world.machines {
            if is_out {
                machine.shares_trouble();
            }
            if !machine.is_well() {
                machine.is_troubled();
            }
        }
        for machine in world.machines.iter().filter(|machine| machine.has_power()) {
            systemd_did(&world, machine);
        }
        doubles_end(&world);
        for machine in world.machines.iter().filter(|machine| machine.has_power()) {
            is_present(&world, machine);
        }
    }
}

/// Who has units is present, unless something keeps it from that.
fn is_present(world: &World, machine: &Machine) {
    let lives = machine.life().is_some_and(|life| !life.is_over());
    if !lives || machine.calm_for() <= LEARNS || world.truth().presence(&machine.id).is_some() {
        return;
    }
    let fake = machine.fake();
    if let Some(unit) = fake.in_memory().into_iter().find(|unit| machine.runs(unit)) {
        world.is_broken(format!("{machine} isn't present, and {unit} runs there"));
    }
}

/// What runs twice is being stopped where it doesn't belong, once that machine can know.
fn doubles_end(world: &World) {
    let truth = world.truth();
    let mut found = Vec::new();
    for (unit, record) in truth.units().filter(|(_, record)| !record.global) {
        let running: Vec<_> = world
            .machines
            .iter()
            .filter(|machine| machine.has_power() && machine.runs(unit))
            .collect();
        if running.len() < 2 {
            continue;
        }
        for machine in running {
            let is_its = record.machine.as_ref() == Some(&machine.id);
            let stops = machine.fake().state_of(unit).active == "deactivating";
            let knows = machine.calm_for() > LEARNS && truth.presence(&machine.id).is_some();
            if !is_its && !stops && knows && record.machine.is_some() {
                found.push(format!("{unit} goes on on {machine}, and is another's"));
            }
        }
    }
    drop(truth);
    found.into_iter().for_each(|what| world.is_broken(what));
}

/// The time that has passed since, in words for a failure.
#[must_use]
pub fn since(begun: Instant) -> String {
    format!("after {} s", begun.elapsed().as_secs())
}
