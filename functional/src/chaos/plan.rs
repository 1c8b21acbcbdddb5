//! What is done to the lab, drawn from a seed: the same seed, the same sequence.

use std::ops::Range;

use fastrand::Rng;

use super::units::Kind;

/// Hosts that a plan is for.
pub(crate) const HOSTS: usize = 5;
/// Members of etcd that a plan is for.
pub(crate) const MEMBERS: usize = 3;
/// Units that are there for long.
const UNITS: usize = 30;
/// How long a busy time may be, in milliseconds.
const LENGTH: Range<u64> = 10_000..22_000;
/// How many things go wrong in it.
const FAULTS: Range<usize> = 5..15;
/// How many things users do in it.
const OPERATIONS: Range<usize> = 10..40;
/// How often a fault is drawn anew because what it is about is broken already.
const TRIES: usize = 8;

/// Something that a user does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Submits a unit, or replaces its content, and wants it like that.
    Submit(String, u8, Desired),
    /// Wants it like that.
    Want(String, Desired),
    /// Destroys it.
    Destroy(String),
    /// Has it restarted.
    Restart(String),
    /// Gives a host the role, or takes it away.
    Role(usize, bool),
}

/// What a user wants a unit to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Desired {
    Inactive,
    Loaded,
    Launched,
}

impl Desired {
    /// As the API writes it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Loaded => "loaded",
            Self::Launched => "launched",
        }
    }
}

/// Which of etcd's members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// That one, counted from 1.
    Member(usize),
    /// The one that leads then.
    Leader,
    /// The one that the fleetd of a host is connected to then.
    UsedBy(usize),
    /// All of them.
    All,
}

/// What becomes of a member of etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    Stop,
    Freeze,
    Kill,
    /// Cut off from the other members, but not from its clients.
    CutOff,
}

/// Something that goes wrong; hosts are counted from 1, times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A host loses power, and boots after a time.
    Power(usize, u64),
    /// A host is cut off from etcd for a time.
    CutOff(usize, u64),
    /// A member of etcd is harmed for a time.
    Etcd(Which, Harm, u64),
    /// A fleetd is killed.
    Kill(usize),
    /// The fleetd that leads then is killed.
    KillLeading,
    /// A fleetd is stopped, and started after a time.
    Stop(usize, u64),
    /// A fleetd is restarted.
    Restart(usize),
    /// A fleetd hangs for a time.
    Freeze(usize, u64),
    /// A fleetd is told to read its configuration again, that often.
    Reload(usize, u8),
    /// A host's systemd reads its units again.
    DaemonReload(usize),
    /// A host's systemd begins anew.
    Reexec(usize),
    /// A host's D-Bus is restarted.
    Bus(usize),
    /// There is no room for unit files for a time.
    FullDisk(usize, u64),
    /// etcd forgets its history.
    Compact,
    /// A member of etcd is defragmented.
    Defragment(usize),
    /// etcd is out of space for a time.
    NoSpace(u64),
    /// Hundreds of units are started in a second, over one host, and destroyed after a time.
    Burst(usize, usize, u64),
}

impl Fault {
    /// The host that it is about, if it is about one.
    pub(crate) fn host(&self) -> Option<usize> {
        match self {
            Self::Power(host, _)
            | Self::CutOff(host, _)
            | Self::Kill(host)
            | Self::Stop(host, _)
            | Self::Restart(host)
            | Self::Freeze(host, _)
            | Self::Reload(host, _)
            | Self::DaemonReload(host)
            | Self::Reexec(host)
            | Self::Bus(host)
            | Self::FullDisk(host, _)
            | Self::Burst(host, ..) => Some(*host),
            Self::Etcd(..)
            | Self::KillLeading
            | Self::Compact
            | Self::Defragment(_)
            | Self::NoSpace(_) => None,
        }
    }
}

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Power,
    CutOff,
    Etcd,
    Kill,
    KillLeading,
    Stop,
    Restart,
    Freeze,
    Reload,
    DaemonReload,
    Reexec,
    Bus,
    FullDisk,
    Compact,
    Defragment,
    NoSpace,
    Burst,
}

/// All of them, with how often they are drawn.
const CLASSES: [(Class, u32); 17] = [
    (Class::Power, 3),
    (Class::CutOff, 4),
    (Class::Etcd, 6),
    (Class::Kill, 4),
    (Class::KillLeading, 2),
    (Class::Stop, 2),
    (Class::Restart, 2),
    (Class::Freeze, 4),
    (Class::Reload, 3),
    (Class::DaemonReload, 2),
    (Class::Reexec, 2),
    (Class::Bus, 2),
    (Class::FullDisk, 2),
    (Class::Compact, 2),
    (Class::Defragment, 2),
    (Class::NoSpace, 1),
    (Class::Burst, 1),
];

/// Something that is done, in milliseconds since its round began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step<T> {
    pub(crate) at: u64,
    pub(crate) what: T,
}

/// A busy time, after which all must come to rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    /// What users do, and the host over whose API they try it first.
    pub(crate) operations: Vec<Step<(Operation, usize)>>,
    pub(crate) faults: Vec<Step<Fault>>,
}

impl Round {
    /// Round `number` of the plan that `seed` gives.
    pub(crate) fn of(seed: u64, number: u64) -> Self {
        let mut chance = Rng::with_seed(seed);
        let mut chance = (0..=number).map(|_| chance.fork()).last().unwrap_or_default();
        let length = chance.u64(LENGTH);
        let mut make = Make { chance, length, busy: [0; HOSTS + 1], etcd_busy: 0 };
        Self { operations: make.operations(number == 0), faults: make.faults() }
    }
}

struct Make {
    chance: Rng,
    length: u64,
    /// Until when something is broken at a host.
    busy: [u64; HOSTS + 1],
    etcd_busy: u64,
}

impl Make {
    fn operations(&mut self, is_first: bool) -> Vec<Step<(Operation, usize)>> {
        let mut steps = Vec::new();
        if is_first {
            for unit in 0..UNITS {
                let at = self.chance.u64(0..self.length / 3);
                let name = Kind::of(unit).name(unit);
                let what = (Operation::Submit(name, 0, Desired::Launched), self.host());
                steps.push(Step { at, what });
            }
            for host in (1..=HOSTS).step_by(2) {
                steps.push(Step { at: 0, what: (Operation::Role(host, true), host) });
            }
        }
        for _ in 0..self.chance.usize(OPERATIONS) {
            let at = self.chance.u64(0..self.length);
            let what = (self.operation(), self.host());
            steps.push(Step { at, what });
        }
        steps.sort_by_key(|step| step.at);
        steps
    }

    fn operation(&mut self) -> Operation {
        let unit = self.chance.usize(0..UNITS);
        let name = Kind::of(unit).name(unit);
        match self.chance.u8(0..100) {
            0..30 => Operation::Want(name, Desired::Launched),
            30..40 => Operation::Want(name, Desired::Loaded),
            40..50 => Operation::Want(name, Desired::Inactive),
            50..70 => Operation::Submit(name, self.chance.u8(0..3), Desired::Launched),
            70..80 => Operation::Destroy(name),
            80..95 => Operation::Restart(name),
            _ => Operation::Role(self.host(), self.chance.bool()),
        }
    }

    fn faults(&mut self) -> Vec<Step<Fault>> {
        let count = self.chance.usize(FAULTS);
        let mut times: Vec<u64> = (0..count).map(|_| self.chance.u64(500..self.length)).collect();
        times.sort_unstable();
        let drawn = times.into_iter().filter_map(|at| {
            let what = (0..TRIES).find_map(|_| self.fault(at))?;
            Some(Step { at, what })
        });
        drawn.collect()
    }

    fn host(&mut self) -> usize {
        self.chance.usize(1..=HOSTS)
    }

    /// Shorter or longer than `agent_ttl`.
    fn time(&mut self) -> u64 {
        if self.chance.bool() {
            self.chance.u64(300..6_000)
        } else {
            self.chance.u64(8_000..18_000)
        }
    }

    fn class(&mut self) -> Class {
        let all = CLASSES.iter().map(|(_, weight)| weight).sum();
        let mut drawn = self.chance.u32(0..all);
        for (class, weight) in CLASSES {
            match drawn.checked_sub(weight) {
                Some(rest) => drawn = rest,
                None => return class,
            }
        }
        Class::Kill
    }

    /// One that can be at that time: `None` where what was drawn is broken already.
    fn fault(&mut self, at: u64) -> Option<Fault> {
        let (class, host, time) = (self.class(), self.host(), self.time());
        let lasts = match class {
            Class::KillLeading => return Some(Fault::KillLeading),
            Class::Etcd | Class::NoSpace | Class::Defragment | Class::Compact => {
                return self.of_etcd(class, host, at, time);
            }
            Class::Power | Class::Stop => time + 6_000,
            Class::CutOff | Class::Freeze | Class::FullDisk => time + 500,
            Class::Restart => 6_000,
            _ => 500,
        };
        let busy = self.busy.get_mut(host)?;
        if *busy > at {
            return None;
        }
        *busy = at + lasts;
        Some(match class {
            Class::Power => Fault::Power(host, time),
            Class::CutOff => Fault::CutOff(host, time),
            Class::Kill => Fault::Kill(host),
            Class::Stop => Fault::Stop(host, time),
            Class::Restart => Fault::Restart(host),
            Class::Freeze => Fault::Freeze(host, time),
            Class::Reload => Fault::Reload(host, self.chance.u8(1..5)),
            Class::DaemonReload => Fault::DaemonReload(host),
            Class::Reexec => Fault::Reexec(host),
            Class::Bus => Fault::Bus(host),
            Class::FullDisk => Fault::FullDisk(host, time),
            _ => Fault::Burst(host, self.chance.usize(100..300), time),
        })
    }

    fn of_etcd(&mut self, class: Class, host: usize, at: u64, time: u64) -> Option<Fault> {
        // Two at once, sometimes: that is an etcd without a leader.
        if self.etcd_busy > at && self.chance.u8(0..4) > 0 {
            return None;
        }
        let member = self.chance.usize(1..=MEMBERS);
        Some(match class {
            Class::Compact => Fault::Compact,
            Class::Defragment => Fault::Defragment(member),
            Class::NoSpace => Fault::NoSpace(time),
            _ => {
                self.etcd_busy = at + time + 1_000;
                let which = match self.chance.u8(0..10) {
                    0..3 => Which::Member(member),
                    3..6 => Which::Leader,
                    6..9 => Which::UsedBy(host),
                    _ => Which::All,
                };
                let harm = match self.chance.u8(0..4) {
                    0 => Harm::Stop,
                    1 => Harm::Freeze,
                    2 => Harm::Kill,
                    _ => Harm::CutOff,
                };
                Fault::Etcd(which, harm, time)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_rounds_and_another_gives_others() {
        assert_eq!(Round::of(7, 2), Round::of(7, 2));
        assert_ne!(Round::of(7, 2), Round::of(7, 3));
        assert_ne!(Round::of(7, 2), Round::of(8, 2));
    }

    /// What `tests/chaos.rs` relies on.
    #[test]
    fn nobody_asks_for_more_about_the_first_unit_with_the_seed_of_the_story() {
        let is_named = |step: &Step<(Operation, usize)>| {
            format!("{:?}", step.what).contains("c-plain-0.service")
        };
        let operations = Round::of(0, 0).operations;
        assert_eq!(operations.into_iter().filter(is_named).count(), 1);
    }

    #[test]
    fn every_fault_is_drawn_and_none_at_a_host_where_another_lasts() {
        let rounds: Vec<Round> = (0..200).map(|seed| Round::of(seed, 0)).collect();
        let told = format!("{rounds:?}");
        for (class, _) in CLASSES {
            assert!(told.contains(&format!("what: {class:?}")), "{class:?} is never drawn");
        }
        for round in &rounds {
            let mut until = [0; HOSTS + 1];
            for Step { at, what } in &round.faults {
                if let Fault::CutOff(host, time) | Fault::Freeze(host, time) = what {
                    assert!(until[*host] <= *at, "{round:?}");
                    until[*host] = at + time;
                }
            }
        }
    }
}
