//! A machine: its service manager, its directory and its network, which outlive its fleetds.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use fleet_agent::fake::FakeManager;
use fleet_api::Api;
use fleet_core::{MachineId, UnitName};
use tokio::time::Instant;

use crate::{life::Life, watched::Watched};

/// How a machine's way to the store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// As it should be.
    #[default]
    Calm,
    /// Nothing gets through.
    Cut,
    /// So many requests in a hundred are lost, as many answers, and some are refused.
    Lossy(u8),
    /// Everything takes up to so many milliseconds.
    Slow(u64),
}

/// How a machine's systemd is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Systemd {
    /// As it should be.
    #[default]
    Calm,
    /// Everything takes up to so many milliseconds.
    Slow(u64),
    /// So many calls in a hundred hang until they are given up; some of them have an effect.
    Hangs(u8),
    /// Its bus can't be reached.
    Gone,
    /// So many signals in a hundred are lost.
    Mute(u8),
}

/// See the module.
pub struct Machine {
    /// Its number.
    pub number: usize,
    /// Its id.
    pub id: MachineId,
    /// Its way to the store.
    pub network: Watched<Network>,
    /// Whether it is switched on.
    pub power: Watched<bool>,
    directory: PathBuf,
    state: Mutex<State>,
    clock: AtomicI64,
    tears: AtomicBool,
}

struct State {
    fake: Arc<FakeManager>,
    life: Option<Arc<Life>>,
    systemd: Systemd,
    boots: u32,
    /// Whether there is no room on its disk.
    full: bool,
    /// Whether its configuration gives it the role.
    has_role: bool,
    /// Units of its own, which have names that fleet uses too.
    own: BTreeSet<UnitName>,
    /// Names that it took from fleet at some time: what runs under them has ended then.
    took: BTreeSet<UnitName>,
    api: Option<Arc<Api>>,
    /// Since when it stops its units to leave.
    purging: Option<Instant>,
    /// When something was last wrong with it, or with all.
    troubled: Instant,
    /// When something was last wrong with it alone.
    failed: Instant,
    /// When its fleetd, or what a reload replaces of it, began last.
    began: Instant,
}

impl Machine {
    pub(crate) fn new(number: usize, directory: &Path) -> Self {
        let id = format!("{number:x}").repeat(32);
        Self {
            number,
            id: id.parse().unwrap_or_else(|_| unreachable!("this is an id")),
            network: Watched::new(Network::Calm),
            power: Watched::new(false),
            directory: directory.join(format!("m{number}")),
            state: Mutex::new(State {
                fake: Arc::new(FakeManager::new()),
                life: None,
                systemd: Systemd::Calm,
                boots: 0,
                full: false,
                has_role: false,
                own: BTreeSet::new(),
                took: BTreeSet::new(),
                api: None,
                purging: None,
                troubled: Instant::now(),
                failed: Instant::now(),
                began: Instant::now(),
            }),
            clock: AtomicI64::new(0),
            tears: AtomicBool::new(false),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its service manager, in this boot.
    #[must_use]
    pub fn fake(&self) -> Arc<FakeManager> {
        Arc::clone(&self.state().fake)
    }

    /// What outlives a fleetd but not a boot.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The fleetd that runs, or ran last.
    #[must_use]
    pub fn life(&self) -> Option<Arc<Life>> {
        self.state().life.clone()
    }

    /// A fleetd begins.
    pub fn begin_life(&self) -> Arc<Life> {
        let life = Arc::new(Life::new(self.number));
        let mut state = self.state();
        state.life = Some(Arc::clone(&life));
        state.purging = None;
        life
    }

    /// How its systemd is.
    #[must_use]
    pub fn systemd(&self) -> Systemd {
        self.state().systemd
    }

    /// Its systemd is like that from now on.
    pub fn set_systemd(&self, systemd: Systemd) {
        let fake = {
            let mut state = self.state();
            state.systemd = systemd;
            Arc::clone(&state.fake)
        };
        fake.set_available(systemd != Systemd::Gone);
    }

    /// The power fails: all that is in memory is lost, its runtime directory too.
    pub fn lose_power(&self) {
        let mut state = self.state();
        if let Some(life) = &state.life {
            life.end();
        }
        state.fake = Arc::new(FakeManager::new());
        state.own.iter().for_each(|unit| state.fake.have_own(unit, Some("active")));
        state.systemd = Systemd::Calm;
        state.boots += 1;
        state.purging = None;
        drop(state);
        self.power.set(false);
        // It may not be there yet.
        let _ = fs::remove_dir_all(&self.directory);
    }

    /// Whether there is no room on its disk.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.state().full
    }

    /// There is no room on its disk from now on, or there is again.
    pub fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    /// Its configuration gives it the role `odd` from now on, or doesn't.
    pub fn configure(&self, has_role: bool) {
        self.state().has_role = has_role;
    }

    /// The metadata that its configuration gives it.
    #[must_use]
    pub fn configured(&self) -> BTreeMap<String, String> {
        let zone = if self.number.is_multiple_of(2) { "even" } else { "odd" };
        let mut metadata = BTreeMap::from([("zone".to_owned(), zone.to_owned())]);
        if self.state().has_role {
            metadata.insert("role".to_owned(), "odd".to_owned());
        }
        metadata
    }

    /// It has a unit of its own of this name from now on, which runs, or has none any more. What fleet
    /// had running under that name is the host's as well from then on; nobody takes what is on its way.
    pub fn have_own(&self, unit: &UnitName, has: bool) {
        let mut state = self.state();
        let is_on_its_way = state.fake.state_of(unit).active.ends_with("ing");
        if has && is_on_its_way {
            return;
        }
        let changes = if has { state.own.insert(unit.clone()) } else { state.own.remove(unit) };
        if changes {
            state.took.insert(unit.clone());
            state.fake.have_own(unit, has.then_some("active"));
            state.fake.set_state(unit, "inactive", "dead");
        }
    }

    /// Its own units whose names fleet uses too.
    #[must_use]
    pub fn own(&self) -> BTreeSet<UnitName> {
        self.state().own.clone()
    }

    /// Whether it ever took this name from fleet.
    #[must_use]
    pub fn took(&self, unit: &UnitName) -> bool {
        self.state().took.contains(unit)
    }

    /// Whether a unit of fleet's runs here, or is on its way up or down.
    #[must_use]
    pub fn runs(&self, unit: &UnitName) -> bool {
        let state = self.state();
        let active = state.fake.state_of(unit).active;
        !state.own.contains(unit) && !matches!(active.as_str(), "inactive" | "failed")
    }

    /// Whether it is switched on.
    #[must_use]
    pub fn has_power(&self) -> bool {
        self.power.get()
    }

    /// What answers requests here, if anything does.
    #[must_use]
    pub fn api(&self) -> Option<Arc<Api>> {
        self.state().api.clone()
    }

    /// This answers requests from now on, or nothing does.
    pub fn set_api(&self, api: Option<Arc<Api>>) {
        self.state().api = api;
    }

    /// The id of this boot.
    #[must_use]
    pub fn boot_id(&self) -> String {
        format!("{:08x}-{:08x}", self.number, self.state().boots)
    }

    /// It stops its units to leave, from now on.
    pub fn begin_purge(&self) {
        self.state().purging = Some(Instant::now());
    }

    /// Whether it does.
    #[must_use]
    pub fn is_purging(&self) -> bool {
        self.state().purging.is_some()
    }

    /// Whether nothing is wrong with its network, its systemd and its fleetd.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.life().is_some_and(|life| life.is_running())
            && self.network.get() == Network::Calm
            && self.systemd() == Systemd::Calm
    }

    /// Something is wrong with it, or was until now.
    pub fn is_troubled(&self) {
        let mut state = self.state();
        (state.troubled, state.failed) = (Instant::now(), Instant::now());
    }

    /// Something is wrong with all, or was until now.
    pub fn shares_trouble(&self) {
        self.state().troubled = Instant::now();
    }

    /// Its fleetd, or what a reload replaces of it, begins.
    pub fn begins(&self) {
        self.state().began = Instant::now();
    }

    /// When that was last.
    #[must_use]
    pub fn began(&self) -> Instant {
        self.state().began
    }

    /// For how long nothing was wrong with it alone.
    #[must_use]
    pub fn sound_for(&self) -> Duration {
        self.state().failed.elapsed()
    }

    /// For how long nothing was wrong with it.
    #[must_use]
    pub fn calm_for(&self) -> Duration {
        self.state().troubled.elapsed()
    }

    /// By how many seconds its clock is wrong.
    #[must_use]
    pub fn clock(&self) -> i64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// Its clock is wrong by so many seconds from now on.
    pub fn set_clock(&self, seconds: i64) {
        self.clock.store(seconds, Ordering::Relaxed);
    }

    /// Lets its fleetd die over the next file that it writes.
    pub fn tear_next_file(&self) {
        self.tears.store(true, Ordering::Relaxed);
    }

    /// Whether it is to die over this one.
    pub(crate) fn tears(&self) -> bool {
        self.tears.swap(false, Ordering::Relaxed)
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("m{}", self.number))
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}", self.number)
    }
}
