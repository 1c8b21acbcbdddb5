//! What goes wrong.

use std::{sync::Arc, time::Duration};

use fleet_core::UnitName;
use fleet_store::MemoryStore;
use tokio::{
    sync::mpsc,
    time::{self, Instant},
};

use crate::{
    fleetd::{Signal, TTL},
    life::Side,
    machine::{Machine, Network, Systemd},
    sometimes::Rare,
    world::World,
};

/// Something that goes wrong. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A machine's way to the store is like that for a while.
    Network(usize, Network, u64),
    /// A machine's systemd is like that for a while.
    Systemd(usize, Systemd, u64),
    /// A fleetd is killed.
    Kill(usize),
    /// A fleetd is killed at one of its next calls.
    DieAt(usize, u32, Side),
    /// A fleetd is killed at one of the next calls that tell systemd to do something.
    DieTelling(usize, u32, Side),
    /// A fleetd is killed over the next file that it writes.
    Tear(usize),
    /// A fleetd is stopped for a while (SIGSTOP).
    Freeze(usize, u64),
    /// A fleetd is told something.
    Signal(usize, Signal),
    /// A machine has no power for a while.
    Power(usize, u64),
    /// Somebody reloads a machine's systemd.
    DaemonReload(usize),
    /// A machine's clock is set ahead by so many seconds, or back.
    Clock(usize, i64),
    /// A machine's configuration gives it the role, or takes it away, and its fleetd is told to read it.
    Configure(usize, bool),
    /// A machine has no room on its disk for a while.
    Full(usize, u64),
    /// A machine has a unit of its own of that name for a while.
    Own(usize, UnitName, u64),
    /// What is written to the store from now on is lost in a while: it is restored from a backup.
    StoreIsRestored(u64),
    /// All that the store has is lost.
    StoreIsLost,
    /// The store's process is stopped for a while. Leases go on running out.
    StoreFreezes(u64),
    /// The store can't be had for a while: it has no leader. After that leases have their full time.
    StoreIsDown(u64),
    /// All leases end at once.
    LeasesEnd,
    /// The store is compacted.
    Compact,
}

/// Brings faults about.
#[derive(Clone, Debug)]
pub struct Breaker {
    world: World,
    signals: Vec<mpsc::Sender<Signal>>,
}

impl Breaker {
    /// One for a world whose fleetds are told by these.
    #[must_use]
    pub fn new(world: World, signals: Vec<mpsc::Sender<Signal>>) -> Self {
        Self { world, signals }
    }

    /// Brings it about, and lets it be over in time.
    pub async fn bring_about(self, fault: Fault) {
        self.world.trace.note("**", format_args!("{fault:?}"));
        let pause = |millis| time::sleep(Duration::from_millis(millis));
        match fault {
            Fault::Network(machine, network, millis) => {
                let machine = self.troubled(machine);
                machine.network.set(network);
                pause(millis).await;
                machine.network.set(Network::Calm);
                machine.is_troubled();
            }
            Fault::Systemd(machine, systemd, millis) => {
                let machine = self.troubled(machine);
                machine.set_systemd(systemd);
                pause(millis).await;
                machine.set_systemd(Systemd::Calm);
                machine.is_troubled();
            }
            Fault::Kill(machine) => {
                if let Some(life) = self.troubled(machine).life() {
                    life.end();
                }
            }
            Fault::DieAt(machine, call, side) => {
                if let Some(life) = self.troubled(machine).life() {
                    life.die_at(call, side, false);
                }
            }
            Fault::DieTelling(machine, call, side) => {
                if let Some(life) = self.troubled(machine).life() {
                    life.die_at(call, side, true);
                }
            }
            Fault::Tear(machine) => self.troubled(machine).tear_next_file(),
            Fault::Freeze(machine, millis) => {
                let machine = self.troubled(machine);
                let Some(life) = machine.life() else { return };
                life.freeze(true);
                pause(millis).await;
                life.freeze(false);
                machine.is_troubled();
                if Duration::from_millis(millis) > TTL && !life.is_over() {
                    self.world.sometimes.reached(Rare::FrozenBeyondTtl);
                }
            }
            Fault::Signal(machine, signal) => {
                self.troubled(machine);
                let _ = self.signals[machine].try_send(signal);
            }
            Fault::Power(machine, millis) => {
                let machine = self.troubled(machine);
                machine.lose_power();
                self.world.truth().boots(&machine.id);
                pause(millis).await;
                machine.power.set(true);
                machine.is_troubled();
            }
            Fault::DaemonReload(machine) => self.troubled(machine).fake().reload(),
            Fault::Clock(machine, seconds) => {
                let machine = self.troubled(machine);
                machine.set_clock(machine.clock() + seconds);
            }
            Fault::Configure(machine, has_role) => {
                self.troubled(machine).configure(has_role);
                let _ = self.signals[machine].try_send(Signal::Reload);
            }
            Fault::Full(machine, millis) => {
                let machine = self.troubled(machine);
                machine.set_full(true);
                pause(millis).await;
                machine.set_full(false);
                machine.is_troubled();
            }
            Fault::Own(machine, unit, millis) => {
                let machine = self.troubled(machine);
                machine.have_own(&unit, true);
                pause(millis).await;
                machine.have_own(&unit, false);
                machine.is_troubled();
            }
            Fault::StoreIsRestored(millis) => {
                let (backup, made) = (self.world.store.save(), Instant::now());
                pause(millis).await;
                self.world.restore(backup, made).await;
            }
            Fault::StoreIsLost => {
                self.world.restore(MemoryStore::new().save(), Instant::now()).await;
                self.world.truth().is_lost();
            }
            Fault::StoreFreezes(millis) => {
                self.world.frozen.set(true);
                pause(millis).await;
                self.world.frozen.set(false);
                self.all_are_troubled();
            }
            Fault::StoreIsDown(millis) => {
                self.world.store.set_available(false);
                pause(millis).await;
                self.world.store.set_available(true);
                self.all_are_troubled();
            }
            Fault::LeasesEnd => {
                self.world.store.end_leases();
                self.all_are_troubled();
            }
            Fault::Compact => {
                drop(self.world.truth());
                self.world.compact();
            }
        }
    }

    fn troubled(&self, machine: usize) -> Arc<Machine> {
        let machine = Arc::clone(&self.world.machines[machine]);
        machine.is_troubled();
        machine
    }

    fn all_are_troubled(&self) {
        self.world.machines.iter().for_each(|machine| machine.shares_trouble());
    }
}

/// Ends everything that goes wrong.
pub fn heal(world: &World) {
    world.trace.note("**", "all is well again");
    world.frozen.set(false);
    world.store.set_available(true);
    for machine in &world.machines {
        machine.network.set(Network::Calm);
        if machine.systemd() != Systemd::Calm {
            machine.set_systemd(Systemd::Calm);
        }
        if let Some(life) = machine.life() {
            life.freeze(false);
            life.spare();
        }
        machine.tears();
        machine.set_full(false);
        machine.own().iter().for_each(|unit| machine.have_own(unit, false));
        if !machine.has_power() {
            machine.power.set(true);
        }
        machine.shares_trouble();
    }
}
