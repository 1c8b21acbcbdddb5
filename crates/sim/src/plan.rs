//! What is done in a run: made from a seed, and made shorter when a run fails.

use fastrand::Rng;
use fleet_core::{JobState, UnitFile, UnitName};

use crate::{
    faults::Fault,
    fleetd::Signal,
    life::Side,
    machine::{Network, Systemd},
};

/// What a run is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What chance begins with.
    pub seed: u64,
    /// How many machines there are.
    pub machines: usize,
    /// What is done in each busy time, after each of which all must come to rest.
    pub episodes: Vec<Vec<Step>>,
}

/// Something that is done at a time, in milliseconds since its episode began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: u64,
    /// What.
    pub what: What,
}

/// Something that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// By a user, over the API of a machine.
    Use(Operation, usize),
    /// By whatever breaks things.
    Break(Fault),
}

/// Something that a user does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Submits a unit, or replaces its content.
    Submit {
        /// The number of the unit.
        unit: usize,
        /// What kind of unit.
        kind: Kind,
        /// Which of its contents.
        variant: u8,
    },
    /// Wants it like that.
    Want(UnitName, JobState),
    /// Destroys it.
    Destroy(UnitName),
    /// Has it restarted.
    Restart(UnitName),
    /// Gives a machine the metadata `role=odd`, or takes it away.
    Metadata(usize, bool),
}

impl Operation {
    /// The unit that it is about.
    #[must_use]
    pub fn unit(&self) -> Option<UnitName> {
        match self {
            Self::Submit { unit, kind, .. } => Some(kind.name(*unit)),
            Self::Want(unit, _) | Self::Destroy(unit) | Self::Restart(unit) => Some(unit.clone()),
            Self::Metadata(..) => None,
        }
    }
}

/// A kind of unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Runs for ever.
    Plain,
    /// Takes seconds to stop.
    SlowStop,
    /// Takes longer to stop than anybody wants to wait.
    HangingStop,
    /// Takes seconds to start.
    SlowStart,
    /// Does something once.
    Once,
    /// Fails.
    Failing,
    /// Fails again and again.
    Looping,
    /// Wants a machine with an even number.
    Even,
    /// Wants a machine that is given the role.
    Role,
    /// Is in the way of others of its kind.
    Single,
    /// Goes where the plain unit of the number before it is.
    Peer,
    /// Pushes off the plain unit of the number before it.
    Replacing,
    /// Runs on every machine.
    Everywhere,
    /// Runs on every machine with an odd number.
    EverywhereOdd,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Plain,
        Self::SlowStop,
        Self::HangingStop,
        Self::SlowStart,
        Self::Once,
        Self::Failing,
        Self::Looping,
        Self::Even,
        Self::Role,
        Self::Single,
        Self::Peer,
        Self::Replacing,
        Self::Everywhere,
        Self::EverywhereOdd,
    ];

    /// The kind of the unit of a number: a plain one comes before each that speaks of one.
    #[must_use]
    pub fn of(unit: usize) -> Self {
        if unit.is_multiple_of(3) { Self::Plain } else { Self::ALL[(unit / 3 * 2 + unit % 3) % 14] }
    }

    /// The kind of a unit, by its name.
    #[must_use]
    pub fn named(unit: &UnitName) -> Option<Self> {
        let (word, _) = unit.as_str().split_once('-')?;
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Whether it never runs for long.
    #[must_use]
    pub fn fails(self) -> bool {
        matches!(self, Self::Failing | Self::Looping)
    }

    fn word(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// The name of the unit of a number.
    #[must_use]
    pub fn name(self, unit: usize) -> UnitName {
        let name = format!("{}-{unit}.service", self.word());
        name.parse().unwrap_or_else(|_| unreachable!("this is a unit's name"))
    }

    /// One of its contents.
    #[must_use]
    pub fn file(self, variant: u8) -> UnitFile {
        let service = match self {
            Self::SlowStop => "ExecStart=/bin/sleep infinity\nExecStop=/bin/sleep 4\n",
            Self::HangingStop => "ExecStart=/bin/sleep infinity\nExecStop=/bin/sleep 25\n",
            Self::SlowStart => "Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sleep 3\n",
            Self::Once => "Type=oneshot\nExecStart=/bin/true\n",
            Self::Failing => "ExecStart=/bin/false\n",
            Self::Looping => "ExecStart=/bin/false\nRestart=always\nRestartSec=5\n",
            _ => "ExecStart=/bin/sleep infinity\n",
        };
        let fleet = match self {
            Self::Even => "MachineMetadata=zone=even\n",
            Self::Role => "MachineMetadata=role=odd\n",
            Self::Single => "Conflicts=single-*.service\n",
            Self::Everywhere => "Global=true\n",
            Self::EverywhereOdd => "Global=true\nMachineMetadata=zone=odd\n",
            _ => "",
        };
        let text = format!(
            "[Service]\n{service}Environment=VARIANT={variant}\n[X-Fleet]\n{fleet}{}",
            self.about_plain()
        );
        UnitFile::parse(text.as_bytes()).unwrap_or_else(|_| unreachable!("this is a unit file"))
    }

    fn about_plain(self) -> &'static str {
        match self {
            Self::Peer => "MachineOf=plain-0.service\n",
            Self::Replacing => "Replaces=plain-3.service\n",
            _ => "",
        }
    }
}

/// How large a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Machines.
    pub machines: usize,
    /// Units.
    pub units: usize,
    /// Busy times.
    pub episodes: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self { machines: 5, units: 50, episodes: 3 }
    }
}

/// The kinds of faults that a run may have; each has some of them only, so that the others don't hide
/// what they bring about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A machine's way to the store is cut, loses, or is slow.
    Network,
    /// A systemd is slow, hangs, is gone, or says too little.
    Systemd,
    /// A fleetd is killed.
    Kill,
    /// A fleetd is killed at a call.
    DieAt,
    /// A fleetd is killed over a file.
    Tear,
    /// A fleetd is stopped, and continued.
    Freeze,
    /// A fleetd is told to read its configuration again.
    Reload,
    /// A fleetd is told to end.
    Terminate,
    /// A machine loses power.
    Power,
    /// A clock jumps.
    Clock,
    /// The store is stopped, and continued, or has no leader.
    Store,
    /// All leases end at once.
    Leases,
    /// The store is compacted.
    Compact,
    /// A fleetd's configuration changes.
    Configure,
    /// A disk is full.
    Full,
    /// A machine has units of its own.
    Own,
    /// The store loses what was written last.
    Restore,
    /// The store loses everything. No run draws it by itself: units stop then, until a fleetd knows its
    /// cluster.
    Lose,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Network,
        Self::Systemd,
        Self::Kill,
        Self::DieAt,
        Self::Tear,
        Self::Freeze,
        Self::Reload,
        Self::Terminate,
        Self::Power,
        Self::Clock,
        Self::Store,
        Self::Leases,
        Self::Compact,
        Self::Configure,
        Self::Full,
        Self::Own,
        Self::Restore,
        Self::Lose,
    ];
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn of(seed: u64, size: Size) -> Self {
        let mut chance = Rng::with_seed(seed);
        let classes = Class::ALL.into_iter().filter(|class| *class != Class::Lose);
        let drawn = classes.filter(|_| chance.u8(0..3) == 0).collect();
        Self::make(seed, size, drawn, chance)
    }

    /// The plan of a seed with these faults only.
    #[must_use]
    pub fn with(seed: u64, size: Size, classes: &[Class]) -> Self {
        Self::make(seed, size, classes.to_vec(), Rng::with_seed(seed))
    }

    fn make(seed: u64, size: Size, classes: Vec<Class>, mut chance: Rng) -> Self {
        // How many of the units there are, and of which kinds, differs from run to run too.
        let units = chance.usize(3..=size.units.max(3));
        let make = Make { size, units, classes, chance };
        make.plan(seed)
    }

    /// The number of steps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.episodes.iter().map(Vec::len).sum()
    }

    /// Whether nothing is done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

struct Make {
    size: Size,
    units: usize,
    classes: Vec<Class>,
    chance: Rng,
}

impl Make {
    fn plan(mut self, seed: u64) -> Plan {
        let episodes = (0..self.size.episodes).map(|number| self.episode(number == 0)).collect();
        Plan { seed, machines: self.size.machines, episodes }
    }

    fn episode(&mut self, is_first: bool) -> Vec<Step> {
        let length = self.chance.u64(5_000..40_000);
        let mut steps = Vec::new();
        if is_first {
            for unit in 0..self.units {
                let at = self.chance.u64(0..length / 2);
                let kind = Kind::of(unit);
                steps.push(self.using(at, Operation::Submit { unit, kind, variant: 0 }));
                let later = at + self.chance.u64(0..3_000);
                steps.push(self.using(later, Operation::Want(kind.name(unit), JobState::Launched)));
            }
        }
        let operations = self.chance.usize(0..=self.units);
        for _ in 0..operations {
            let at = self.chance.u64(0..length);
            let operation = self.operation();
            steps.push(self.using(at, operation));
        }
        let faults = if self.classes.is_empty() { 0 } else { self.chance.usize(0..12) };
        for _ in 0..faults {
            let at = self.chance.u64(0..length);
            let class = self.classes[self.chance.usize(0..self.classes.len())];
            let fault = self.fault(class);
            steps.push(Step { at, what: What::Break(fault) });
        }
        steps.sort_by_key(|step| step.at);
        steps
    }

    fn using(&mut self, at: u64, operation: Operation) -> Step {
        Step { at, what: What::Use(operation, self.machine()) }
    }

    fn machine(&mut self) -> usize {
        self.chance.usize(0..self.size.machines)
    }

    fn operation(&mut self) -> Operation {
        let unit = self.chance.usize(0..self.units);
        let kind = Kind::of(unit);
        let name = kind.name(unit);
        match self.chance.u8(0..100) {
            0..30 => Operation::Want(name, JobState::Launched),
            30..40 => Operation::Want(name, JobState::Loaded),
            40..55 => Operation::Want(name, JobState::Inactive),
            55..70 => Operation::Submit { unit, kind, variant: self.chance.u8(0..3) },
            70..80 => Operation::Destroy(name),
            80..95 => Operation::Restart(name),
            _ => Operation::Metadata(self.machine(), self.chance.bool()),
        }
    }

    fn time(&mut self) -> u64 {
        match self.chance.u8(0..3) {
            0 => self.chance.u64(10..1_000),
            1 => self.chance.u64(1_000..8_000),
            _ => self.chance.u64(8_000..20_000),
        }
    }

    fn fault(&mut self, class: Class) -> Fault {
        let (machine, time) = (self.machine(), self.time());
        match class {
            Class::Network => {
                let network = match self.chance.u8(0..3) {
                    0 => Network::Cut,
                    1 => Network::Lossy(self.chance.u8(1..40)),
                    _ => Network::Slow(self.chance.u64(10..1_500)),
                };
                Fault::Network(machine, network, time)
            }
            Class::Systemd => {
                // Its bus is restarted, or it executes itself anew, which is the same to others.
                let restart = self.chance.u64(1..600);
                let systemd = match self.chance.u8(0..6) {
                    4 => return Fault::Systemd(machine, Systemd::Gone, restart),
                    5 => return Fault::DaemonReload(machine),
                    0 => Systemd::Slow(self.chance.u64(10..4_000)),
                    1 => Systemd::Hangs(self.chance.u8(1..50)),
                    2 => Systemd::Gone,
                    _ => Systemd::Mute(self.chance.u8(1..80)),
                };
                Fault::Systemd(machine, systemd, time)
            }
            Class::Kill => Fault::Kill(machine),
            Class::DieAt => {
                let side = if self.chance.bool() { Side::Before } else { Side::After };
                match self.chance.bool() {
                    true => Fault::DieTelling(machine, self.chance.u32(0..4), side),
                    false => Fault::DieAt(machine, self.chance.u32(0..30), side),
                }
            }
            Class::Tear => Fault::Tear(machine),
            Class::Freeze => Fault::Freeze(machine, time),
            Class::Reload => Fault::Signal(machine, Signal::Reload),
            Class::Terminate => {
                Fault::Signal(machine, Signal::Terminate { purge: self.chance.bool() })
            }
            Class::Power => Fault::Power(machine, time),
            Class::Clock => Fault::Clock(machine, self.chance.i64(-4_000..4_000)),
            Class::Store if self.chance.bool() => Fault::StoreFreezes(time),
            Class::Store => Fault::StoreIsDown(time),
            Class::Leases => Fault::LeasesEnd,
            Class::Compact => Fault::Compact,
            Class::Configure => Fault::Configure(machine, self.chance.bool()),
            Class::Full => Fault::Full(machine, time),
            Class::Own => {
                let unit = self.chance.usize(0..self.units);
                Fault::Own(machine, Kind::of(unit).name(unit), time)
            }
            Class::Restore => Fault::StoreIsRestored(time),
            Class::Lose => Fault::StoreIsLost,
        }
    }
}
