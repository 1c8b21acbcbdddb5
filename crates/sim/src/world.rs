//! All that a run consists of.

use std::{
    cell::Cell,
    fmt,
    path::Path,
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use fastrand::Rng;
use fleet_registry::{Keys, Registry};
use fleet_runtime::played::{Played, Playing, Writing, play};
use fleet_store::{Key, MemoryStore, Range, Saved, Store};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    life::{self, Side},
    machine::Machine,
    sometimes::{Rare, Sometimes},
    trace::Trace,
    truth::Truth,
    watched::Watched,
};

/// The seconds from 1970 to the beginning of every run.
const EPOCH: Duration = Duration::from_secs(1_900_000_000);

/// Where the cluster's keys are.
pub const PREFIX: &str = "/fleet";

/// See the module. Clones are the same world.
#[derive(Clone)]
pub struct World(Arc<Inner>);

/// What a world consists of.
pub struct Inner {
    /// The store that all machines share.
    pub store: MemoryStore,
    /// Whether the store's process is stopped.
    pub frozen: Watched<bool>,
    /// The machines, by number.
    pub machines: Vec<Arc<Machine>>,
    /// What happened.
    pub trace: Trace,
    /// What was reached.
    pub sometimes: Sometimes,
    /// What the store has said so far.
    pub truth: Mutex<Truth>,
    /// How often it was compacted.
    pub compactions: AtomicU64,
    /// When it was restored from a backup last.
    restored: Mutex<Option<Instant>>,
    /// When the first of those backups was made.
    backed_up: Mutex<Option<Instant>>,
    chance: Mutex<Rng>,
    broken: Mutex<Vec<String>>,
    late: Mutex<JoinSet<()>>,
}

impl std::ops::Deref for World {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl World {
    /// A world of so many machines, none of which is switched on.
    #[must_use]
    pub fn new(seed: u64, machines: usize, directory: &Path) -> Self {
        // What the code under test draws comes from the thread's generator.
        fastrand::seed(seed);
        let machines = (0..machines).map(|number| Arc::new(Machine::new(number, directory)));
        Self(Arc::new(Inner {
            store: MemoryStore::new(),
            frozen: Watched::new(false),
            machines: machines.collect(),
            trace: Trace::begin(),
            sometimes: Sometimes::default(),
            truth: Mutex::default(),
            compactions: AtomicU64::new(0),
            restored: Mutex::default(),
            backed_up: Mutex::default(),
            chance: Mutex::new(Rng::with_seed(seed ^ 0x5117)),
            broken: Mutex::default(),
            late: Mutex::default(),
        }))
    }

    /// Plays the operating system of its machines to this thread.
    pub fn play(&self) -> Playing {
        play(Rc::new(Host { world: self.clone(), begun: Instant::now(), last: Cell::default() }))
    }

    /// The registry as it is, for who looks at it from outside.
    #[must_use]
    pub fn registry(&self) -> Registry {
        let keys = Keys::new(PREFIX).unwrap_or_else(|_| unreachable!("this is a prefix"));
        Registry::new(Arc::new(self.store.clone()), keys)
    }

    /// Draws something.
    pub fn draw<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.chance.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A pause between both, drawn.
    #[must_use]
    pub fn pause(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.draw(|chance| chance.u64(from..=to)))
    }

    /// Whether something of this probability, in percent, happens.
    #[must_use]
    pub fn happens(&self, percent: u8) -> bool {
        percent > 0 && self.draw(|chance| chance.u8(0..100)) < percent
    }

    /// Something that must never be is.
    pub fn is_broken(&self, what: String) {
        self.trace.note("!!", &what);
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        if broken.len() < 100 {
            broken.push(what);
        }
    }

    /// What was broken so far.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether anything was.
    #[must_use]
    pub fn has_broken(&self) -> bool {
        !self.broken.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// What the store has said up to now.
    pub fn truth(&self) -> MutexGuard<'_, Truth> {
        let mut truth = self.truth.lock().unwrap_or_else(PoisonError::into_inner);
        truth.absorb(&self.store, &self.sometimes);
        truth
    }

    /// Compacts the store: what was before now can't be watched any more.
    pub fn compact(&self) {
        self.compactions.fetch_add(1, Ordering::Relaxed);
        self.store.compact(self.store.revision());
    }

    /// Restores the store from a backup made at that time: what was written since is lost, and nobody is
    /// blamed for that.
    pub async fn restore(&self, backup: Saved, made: Instant) {
        self.backed_up.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(made);
        // What was said until now has been taken in.
        drop(self.truth());
        self.store.restore(backup);
        self.store.set_available(true);
        let all = Range::prefix(&Key::from(format!("{PREFIX}/")));
        let Ok(snapshot) = self.store.read(&[all], None).await else { return };
        let found = snapshot.ranges.into_iter().flat_map(|range| range.kvs);
        let mut truth = self.truth.lock().unwrap_or_else(PoisonError::into_inner);
        truth.is_restored(snapshot.revision, found, &self.sometimes);
        drop(truth);
        self.sometimes.reached(Rare::Restored);
        *self.restored.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.machines.iter().for_each(|machine| machine.shares_trouble());
    }

    /// Whether a machine's fleetd doesn't know of all that was withdrawn there after a backup was made
    /// that the store was restored from: another one did it.
    #[must_use]
    pub fn knows_too_little(&self, machine: &Machine) -> bool {
        let backed_up = *self.backed_up.lock().unwrap_or_else(PoisonError::into_inner);
        backed_up.is_some_and(|made| machine.began() >= made)
    }

    /// Whether what was known then may have been lost since.
    #[must_use]
    pub fn has_lost(&self, since: Instant) -> bool {
        self.restored
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some_and(|restored| restored >= since)
    }

    /// Lets something happen that nobody waits for any more.
    pub fn later(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.late.lock().unwrap_or_else(PoisonError::into_inner).spawn(work);
    }

    /// Waits while the store's process is stopped.
    pub async fn thawed(&self) {
        self.frozen.wait_until(|frozen| !frozen).await;
    }

    /// Ends everything that runs in it.
    pub fn end(&self) {
        // What answers requests holds the world that holds it.
        self.machines.iter().for_each(|machine| machine.set_api(None));
        self.late.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        // They hold the world.
        self.machines.iter().for_each(|machine| machine.set_api(None));
    }
}

/// The operating system of whichever machine is at work.
struct Host {
    world: World,
    begun: Instant,
    last: Cell<Duration>,
}

impl Played for Host {
    fn since_1970(&self) -> Duration {
        let jumped = life::current().map_or(0, |number| self.world.machines[number].clock());
        let now = EPOCH + self.since_boot();
        if jumped < 0 {
            now.saturating_sub(Duration::from_secs(jumped.unsigned_abs()))
        } else {
            now + Duration::from_secs(jumped.unsigned_abs())
        }
    }

    fn since_boot(&self) -> Duration {
        // Moments of one journal differ, as those of real ones do.
        let now = self.begun.elapsed().max(self.last.get() + Duration::from_micros(1));
        self.last.set(now);
        now
    }

    fn boot_id(&self) -> String {
        life::current().map(|number| self.world.machines[number].boot_id()).unwrap_or_default()
    }

    fn writing(&self, path: &Path) -> Writing {
        let Some(machine) = self.world.machines.iter().find(|it| path.starts_with(it.directory()))
        else {
            return Writing::Whole;
        };
        match machine.life() {
            Some(life) if life.is_over() => Writing::Nothing,
            Some(life) if machine.tears() => {
                self.world.trace.note(machine, "dies over a file");
                self.world.sometimes.reached(Rare::TornFile);
                life.end();
                Writing::Torn
            }
            _ if machine.is_full() => Writing::Full,
            _ => Writing::Whole,
        }
    }
}

/// On which side of telling systemd a fleetd died.
pub(crate) fn died(world: &World, machine: &Machine, what: &str, changes: bool, side: Side) {
    world.trace.note(machine, format_args!("dies {side:?} {what}"));
    match side {
        Side::After if changes => world.sometimes.reached(Rare::DiesAfterTelling),
        Side::Before if changes => world.sometimes.reached(Rare::DiesBeforeTelling),
        _ => {}
    }
}
