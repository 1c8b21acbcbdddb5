//! The cluster of a run: its processes, what is expected of it, and what it has cost so far.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use fleet_testkit::EtcdServer;
use tempfile::TempDir;
use tokio::{
    task::block_in_place,
    time::{self, Instant},
};

use super::{
    child::Child,
    host,
    observer::{Counts, Observer},
    options::Options,
    role::{Ask, Setup, Told},
    submit::Api,
    usage::{EtcdCounts, Used},
    workload::Workload,
};

/// How etcd runs, apart from where: with its own default timing, and room for a long history.
const ETCD: [&str; 3] =
    ["--heartbeat-interval=100", "--election-timeout=1000", "--quota-backend-bytes=8589934592"];

/// The pause between two looks at whether all are there.
const LOOK: Duration = Duration::from_millis(50);

/// How often etcd is asked for its metrics before that is given up.
const METRICS: usize = 50;

/// See the module.
pub(super) struct Cluster {
    pub(super) options: Options,
    pub(super) workload: Workload,
    pub(super) observer: Observer,
    pub(super) agents: Child,
    /// Machines that have power.
    pub(super) alive: BTreeSet<usize>,
    /// The units that should run, each in this version.
    pub(super) units: BTreeMap<usize, usize>,
    /// The number of the next unit.
    next: usize,
    /// The machine with an engine, and its process. The last one is asked.
    controls: Vec<(usize, Child)>,
    etcd: EtcdServer,
    /// What processes that have ended had used.
    retired: Readings,
    setup: Setup,
    program: PathBuf,
    _folder: TempDir,
}

/// What everything has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Readings {
    pub(super) engine: Used,
    pub(super) agents: Used,
    pub(super) etcd: Used,
    pub(super) counts: EtcdCounts,
    pub(super) told: Told,
    pub(super) seen: Counts,
}

impl Cluster {
    /// Starts etcd, the machine with the engine and the API, and the process of the other agents,
    /// which are off.
    pub(super) async fn start(options: Options, program: &Path) -> Result<Self, String> {
        let folder = folder().map_err(|error| format!("no folder: {error}"))?;
        let etcd = block_in_place(|| EtcdServer::start_with("http", &ETCD));
        let workload = Workload { seed: options.seed, machines: options.machines };
        let setup = Setup {
            endpoint: etcd.endpoint(),
            folder: folder.path().to_owned(),
            seed: options.seed,
            machines: options.machines,
            ttl: options.ttl,
            leader: 0,
        };
        let store = host::store(&setup.endpoint).map_err(|error| error.to_string())?;
        let agents = start(program, "scale-agents", &setup)?;
        let mut cluster = Self {
            observer: Observer::start(store),
            agents,
            alive: BTreeSet::new(),
            units: BTreeMap::new(),
            next: 0,
            controls: Vec::new(),
            etcd,
            retired: Readings::default(),
            setup,
            program: program.to_owned(),
            _folder: folder,
            options,
            workload,
        };
        cluster.add_control(0).await?;
        Ok(cluster)
    }

    /// Starts another machine with an engine and an API, and waits until it is there.
    pub(super) async fn add_control(&mut self, number: usize) -> Result<(), String> {
        self.setup.leader = number;
        let child = start(&self.program, "scale-control", &self.setup)?;
        self.controls.push((number, child));
        self.alive.insert(number);
        let id = self.workload.machine(number).id;
        let is_there = |seen: &super::observer::Seen| seen.machines.contains(id.as_str());
        self.observer.wait_until(self.patience(), "registered", is_there).await?;
        Ok(())
    }

    /// Kills the machine with an engine that was there first.
    pub(super) async fn kill_control(&mut self) -> Result<(), String> {
        let (number, mut child) = self.controls.remove(0);
        add(&mut self.retired.engine, used(&child));
        let told: Told = child.ask(&Ask::Told).await?;
        self.retired.told.starts += told.starts;
        self.retired.told.stops += told.stops;
        self.alive.remove(&number);
        child.kill().await
    }

    /// Kills etcd.
    pub(super) fn kill_etcd(&mut self) {
        if let Some(pid) = self.etcd.pid() {
            add(&mut self.retired.etcd, Used::by(pid));
        }
        block_in_place(|| self.etcd.kill());
    }

    /// Starts etcd again.
    pub(super) fn start_etcd(&mut self) {
        block_in_place(|| self.etcd.start_again());
    }

    /// What answers requests.
    pub(super) fn api(&self) -> Api {
        Api::at(self.setup.socket())
    }

    /// For how long a part may wait for something.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_secs(self.options.patience)
    }

    /// The number of a unit that there hasn't been yet.
    pub(super) fn new_unit(&mut self) -> usize {
        self.next += 1;
        self.next - 1
    }

    /// The number of a unit that there hasn't been yet and that nothing hangs on.
    pub(super) fn new_plain_unit(&mut self) -> usize {
        loop {
            let unit = self.new_unit();
            if self.workload.is_plain(unit) {
                return unit;
            }
        }
    }

    /// Some of the units that nothing hangs on.
    pub(super) fn plain_units(&self, number: usize) -> Vec<usize> {
        let units = self.units.keys().copied();
        units.filter(|unit| self.workload.is_plain(*unit)).take(number).collect()
    }

    /// What runs, and on which machine.
    pub(super) async fn running(&mut self) -> Result<Vec<(String, usize)>, String> {
        let mut all: Vec<(String, usize)> = self.agents.ask(&Ask::Running).await?;
        for (_, control) in &mut self.controls {
            all.extend(control.ask::<Vec<(String, usize)>>(&Ask::Running).await?);
        }
        Ok(all)
    }

    /// Waits until the beats of all machines succeed; says when that was.
    pub(super) async fn in_touch(&mut self) -> Result<Instant, String> {
        let until = Instant::now() + self.patience();
        loop {
            let mut number: usize = self.agents.ask(&Ask::InTouch).await?;
            for (_, control) in &mut self.controls {
                number += control.ask::<usize>(&Ask::InTouch).await?;
            }
            match Instant::now() {
                now if number == self.alive.len() => return Ok(now),
                now if now > until => return Err(format!("{number} machines are in touch")),
                _ => time::sleep(LOOK).await,
            }
        }
    }

    /// What everything has used so far.
    pub(super) async fn read(&mut self) -> Result<Readings, String> {
        let mut now = self.retired;
        for (_, control) in &mut self.controls {
            add(&mut now.engine, used(control));
        }
        add(&mut now.agents, used(&self.agents));
        add(&mut now.etcd, self.etcd.pid().map(Used::by).unwrap_or_default());
        let page = block_in_place(|| (0..METRICS).find_map(|_| self.etcd.metrics()));
        now.seen = self.observer.counts();
        now.counts = EtcdCounts::of(&page.ok_or("etcd doesn't tell its metrics")?);
        let controls = self.controls.iter_mut().map(|(_, control)| control);
        for child in controls.chain([&mut self.agents]) {
            let told: Told = child.ask(&Ask::Told).await?;
            now.told.starts += told.starts;
            now.told.stops += told.stops;
        }
        Ok(now)
    }
}

/// Where agents keep what real ones keep in /run: in memory, where that is possible.
fn folder() -> io::Result<TempDir> {
    let named = |at: &Path| tempfile::Builder::new().prefix("fleet-scale").tempdir_in(at);
    named(Path::new("/dev/shm")).or_else(|_| named(&std::env::temp_dir()))
}

fn start(program: &Path, role: &str, setup: &Setup) -> Result<Child, String> {
    Child::start(program, role, setup).map_err(|error| format!("can't start {role}: {error}"))
}

fn used(child: &Child) -> Used {
    child.pid().map(Used::by).unwrap_or_default()
}

fn add(sum: &mut Used, more: Used) {
    sum.cpu += more.cpu;
    sum.ran += more.ran;
    sum.wakes += more.wakes;
    sum.peak = sum.peak.max(more.peak);
    sum.resident = more.resident;
}
