//! Keeps this machine present in the registry (`cluster.md` 6, `fleetd.md` 7).
//!
//! ```text
//!            register: growing pauses                   keep: a beat every third of the ttl
//! absent ──────────────────────────────────▶ present ──┬── lease lost ──▶ registers anew
//!                                                ▲     └── a third of the ttl without success
//!                                                └──────── register: a beat is enough ◀──┘
//! ```
//!
//! Two calls, made one after the other by the one who supervises: [`Keeper::register`] until the
//! machine is present, then [`Keeper::keep`] until told to stop or until the registry is out of
//! reach for too long. A machine that leaves calls [`Keeper::hold`] instead: it gives up nothing until
//! its last unit is gone.

use std::{mem, path::Path, sync::Arc, time::Duration};

use fastrand::Rng;
use fleet_core::{Complaint, MachineId, MachineStanding, Pauses, jittered};
use fleet_registry::{
    Contact, Instance, MachineRecord, Presence, Registry, RegistryError, longest_pause_to_return,
};
use fleet_runtime::{RuntimeFile, exhibits::Exhibit};
use tokio::{
    sync::{Notify, watch},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::standing::StandingHandle;

mod earlier;

/// The pauses between attempts to register (`fleetd.md` 3).
const PAUSES: Pauses = Pauses::between(Duration::from_secs(1), Duration::from_secs(60));

/// By how much of a pause a beat may come earlier.
const BEAT_JITTER: f64 = 0.125;

/// Why presence is kept no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop.
    Stopped,
    /// No beat has succeeded for a third of the ttl: the heartbeat monitor's case.
    BeatTimedOut,
}

/// What others need of presence.
#[derive(Clone, Debug)]
pub struct PresenceHandle {
    /// The presence to publish under; `None` before the first registration. It stays what it
    /// was while the registry is out of reach.
    pub current: watch::Receiver<Option<Presence>>,
    /// For how long presence has been kept without a gap: it wasn't registered anew, and no two
    /// beats were further apart than two thirds of the ttl. `None` before the first registration.
    pub contact: watch::Receiver<Option<Contact>>,
    /// Why the machine couldn't be registered so far; `None` once it is.
    pub obstacle: watch::Receiver<Option<String>>,
    published: watch::Receiver<Option<MachineRecord>>,
    doubted: Arc<Notify>,
}

impl PresenceHandle {
    /// Reports that the machine's lease seems to be gone, or its entry to be another: if so, the machine
    /// registers anew.
    pub fn check(&self) {
        self.doubted.notify_one();
    }

    /// Reports what the machine's entry is, whatever its lease: where that isn't what was published the
    /// entry is written once more, and where it is gone the machine registers anew.
    pub(crate) fn entry_is(&self, entry: Option<&MachineRecord>) {
        let published = self.published.borrow();
        if published.as_ref().is_none_or(|published| entry != Some(published)) {
            self.check();
        }
    }
}

#[derive(Debug)]
pub(crate) struct Keeper {
    registry: Registry,
    machine: MachineId,
    record: MachineRecord,
    address: Option<watch::Receiver<String>>,
    /// What the registry has of us, as far as we know.
    published: watch::Sender<Option<MachineRecord>>,
    ttl: Duration,
    /// The longest pause of a machine that may have units here, and while the registry is out of reach.
    pause_to_return: Duration,
    chance: Rng,
    /// The presence held has a lease of another ttl: a beat isn't enough.
    outdated: bool,
    current: watch::Sender<Option<Presence>>,
    contact: watch::Sender<Option<Contact>>,
    obstacle: watch::Sender<Option<String>>,
    standing: StandingHandle,
    /// The nonce of an entry with this machine's id and address that turned out not to be of an
    /// earlier boot.
    rival: Option<String>,
    /// Nothing may be watched.
    polls: bool,
    /// Whether a fleetd of this boot, this one or another, may have been present before.
    returns: bool,
    handle: PresenceHandle,
}

/// How the machine came to be present.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Present {
    Registered,
    Beaten,
}

impl Keeper {
    /// One that wants `ttl` for `machine`, in a cluster that reconciles every `interval`; the nonce in `record` is replaced by the one that is
    /// kept in `runtime_dir`.
    pub(crate) fn new(
        registry: Registry,
        machine: MachineId,
        record: MachineRecord,
        ttl: Duration,
        interval: Duration,
        runtime_dir: &Path,
    ) -> Self {
        let (nonce, returns) = nonce(runtime_dir);
        let record = MachineRecord { nonce, ..record };
        let current = watch::Sender::new(None);
        let contact = watch::Sender::new(None);
        let obstacle = watch::Sender::new(None);
        let published = watch::Sender::new(None);
        let handle = PresenceHandle {
            current: current.subscribe(),
            contact: contact.subscribe(),
            obstacle: obstacle.subscribe(),
            published: published.subscribe(),
            doubted: Arc::default(),
        };
        Self {
            registry,
            machine,
            record,
            address: None,
            published,
            ttl,
            pause_to_return: longest_pause_to_return(interval),
            chance: Rng::new(),
            outdated: false,
            current,
            contact,
            obstacle,
            standing: StandingHandle::default(),
            rival: None,
            polls: false,
            returns,
            handle,
        }
    }

    /// One that publishes `address` as it changes.
    pub(crate) fn following(self, address: Option<watch::Receiver<String>>) -> Self {
        Self { address, ..self }
    }

    /// One that goes on with the `presence` of a predecessor in this process, if there was one.
    /// Where that has another ttl the machine is registered anew, by its nonce; until then it is
    /// present by what it had. The predecessor's `contact` with the registry goes on as well: a
    /// reload is no gap.
    pub(crate) fn taking_over(self, presence: Option<Presence>, contact: Option<Contact>) -> Self {
        let outdated = presence.as_ref().is_some_and(|held| held.ttl != self.ttl);
        self.current.send_replace(presence);
        self.contact.send_replace(contact);
        Self { outdated, ..self }
    }

    /// One that watches nothing.
    pub(crate) fn polling(self) -> Self {
        Self { polls: true, ..self }
    }

    /// What it publishes of how the machine stands.
    pub(crate) fn standing(&self) -> StandingHandle {
        self.standing.clone()
    }

    pub(crate) fn handle(&self) -> PresenceHandle {
        self.handle.clone()
    }

    /// Makes the machine present, trying for ever. Where it is present already, a beat will do.
    /// `None` when told to stop first.
    pub(crate) async fn register(&mut self, stop: &CancellationToken) -> Option<Presence> {
        let mut backoff = PAUSES.begin();
        loop {
            let result = tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                result = self.attempt() => result,
            };
            let result = match result {
                Err(RegistryError::EarlierEntry(entry)) => {
                    self.obstacle
                        .send_replace(Some(RegistryError::EarlierEntry(entry.clone()).to_string()));
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => return None,
                        result = self.outlive(*entry) => result.transpose(),
                    }
                }
                result => Some(result),
            };
            let Some(result) = result else { continue };
            let pause = match result {
                Ok(how) => {
                    self.obstacle.send_replace(None);
                    match how {
                        Present::Registered => info!("hrt.Register() success"),
                        Present::Beaten => info!("hrt.Beat() success"),
                    }
                    return self.current.borrow().clone();
                }
                Err(error) => {
                    if let RegistryError::DuplicateMachine { id, address } = &error {
                        error!(machine = %id, %address, "another machine has this machine's id");
                    }
                    backoff.limit(self.longest_pause(&error));
                    let pause = backoff.pause();
                    let seconds = pause.as_secs();
                    warn!("Server register machine failed: {error}, retrying in {seconds} sec.");
                    self.obstacle.send_replace(Some(error.to_string()));
                    pause
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                // After an outage others try as well.
                () = time::sleep(jittered(pause, &mut self.chance)) => {}
            }
        }
    }

    fn longest_pause(&self, error: &RegistryError) -> Duration {
        match error {
            RegistryError::DuplicateMachine { .. } => PAUSES.longest(),
            RegistryError::EarlierEntry(_) => self.pause_to_return,
            error if self.returns || error.is_unavailable() => self.pause_to_return,
            _ => PAUSES.longest(),
        }
    }

    /// Keeps the machine present until told to stop, or until that fails for too long.
    pub(crate) async fn keep(&mut self, stop: &CancellationToken) -> Ended {
        let mut news = self.news();
        loop {
            let third = self.granted() / 3;
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ended::Stopped,
                () = self.beat_is_due(&mut news) => {}
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ended::Stopped,
                result = time::timeout(third, self.refresh()) => {
                    if result.is_err() {
                        return Ended::BeatTimedOut;
                    }
                }
            }
        }
    }

    /// Keeps the machine present until told to stop, whatever fails: what hangs on its presence is
    /// still here. An attempt that is under way is ended, so that nobody is left behind by it.
    pub(crate) async fn hold(&mut self, stop: &CancellationToken) {
        let mut news = self.news();
        let mut complaint = Complaint::default();
        loop {
            let pause = match self.attempt().await {
                Ok(how) => {
                    if how == Present::Registered || complaint.is_over() {
                        info!("presence is kept while units stop");
                    }
                    None
                }
                Err(error) => {
                    if Exhibit::PresenceNotHeld.is_shown() {
                        return stop.cancelled().await;
                    }
                    if complaint.is_news(&error) {
                        warn!(%error, "presence not refreshed while units stop, will retry");
                    }
                    Some(self.granted() / 12)
                }
            };
            let next = async {
                match pause {
                    Some(pause) => time::sleep(pause).await,
                    None => self.beat_is_due(&mut news).await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = next => {}
            }
        }
    }

    /// What may change of what is published.
    fn news(&self) -> EntrySources {
        EntrySources { address: self.address.clone(), standing: self.standing.follow() }
    }

    /// Waits for the next beat, or for a reason to make it now. Cancel-safe.
    async fn beat_is_due(&mut self, news: &mut EntrySources) {
        // Machines that came at the same moment don't stay in step.
        let third = self.granted().mul_f64((1.0 - self.chance.f64() * BEAT_JITTER) / 3.0);
        tokio::select! {
            biased;
            // The next beat looks at the entry, not at the lease alone.
            () = self.handle.doubted.notified() => drop(self.published.send_replace(None)),
            () = changed(&mut news.address) => {}
            Ok(()) = news.standing.changed() => {}
            () = time::sleep(third) => {}
        }
    }

    /// Tries to beat until it works.
    async fn refresh(&mut self) {
        let pause = self.granted() / 12;
        let mut complaint = Complaint::default();
        loop {
            match self.attempt().await {
                Ok(Present::Registered) => {
                    info!("hrt.Register() success");
                    return;
                }
                Ok(Present::Beaten) => return,
                Err(error) => {
                    if complaint.is_news(&error) {
                        warn!(%error, "presence not refreshed, will retry");
                    }
                }
            }
            time::sleep(jittered(pause, &mut self.chance)).await;
        }
    }

    /// One beat, or one registration where there is nothing to beat for.
    async fn attempt(&mut self) -> Result<Present, RegistryError> {
        if let Some(address) = &self.address {
            self.record.public_ip = address.borrow().clone();
        }
        self.record.standing = self.standing.now();
        let held = self.current.borrow().clone().filter(|_| !self.outdated);
        if let Some(presence) = held {
            match self.beat(&presence).await {
                Ok(()) => {
                    self.note(Present::Beaten);
                    return Ok(Present::Beaten);
                }
                Err(RegistryError::PresenceLost(_)) => {
                    warn!("the machine's lease or entry is gone, registering anew");
                }
                Err(error) => return Err(error),
            }
        }
        match self.registry.register(&self.machine, &self.record, self.ttl).await {
            Ok(presence) => Ok(self.registered(presence)),
            Err(RegistryError::EarlierEntry(entry))
                if self.rival.as_ref() == Some(&entry.record.nonce) =>
            {
                let (id, address) = (self.machine.clone(), entry.record.public_ip);
                Err(RegistryError::DuplicateMachine { id, address })
            }
            Err(error) => Err(error),
        }
    }

    fn registered(&mut self, presence: Presence) -> Present {
        self.published.send_replace(Some(self.record.clone()));
        // Another lease in the place of one that lives leaves no gap.
        let kept = mem::take(&mut self.outdated)
            && self.current.borrow().as_ref().is_some_and(|held| held.created == presence.created);
        self.returns = true;
        self.rival = None;
        self.current.send_replace(Some(presence));
        self.note(if kept { Present::Beaten } else { Present::Registered });
        Present::Registered
    }

    /// Renews the lease, and what it carries where that has changed.
    async fn beat(&mut self, presence: &Presence) -> Result<(), RegistryError> {
        self.registry.beat(presence).await?;
        let is_current = self.published.borrow().as_ref() == Some(&self.record);
        if !is_current {
            self.registry.update_machine(presence, &self.record).await?;
            self.published.send_replace(Some(self.record.clone()));
        }
        Ok(())
    }

    /// Remembers a success, and whether there was a gap before it.
    fn note(&self, how: Present) {
        let now = Instant::now();
        let until = now + self.granted() * 2 / 3;
        self.contact.send_modify(|contact| {
            let unbroken = contact.filter(|held| how == Present::Beaten && held.lasts(now));
            *contact = Some(match unbroken {
                Some(held) => Contact { until, ..held },
                None => Contact { since: now, until, after_gap: contact.is_some() },
            });
        });
    }

    /// Ends the machine's presence, and with it what it published.
    pub(crate) async fn leave(&self) -> Result<(), RegistryError> {
        let Some(presence) = self.current.send_replace(None) else { return Ok(()) };
        self.registry.leave(&presence).await
    }

    fn granted(&self) -> Duration {
        self.current.borrow().as_ref().map_or(self.ttl, |presence| presence.ttl)
    }
}

/// What may change of what a machine publishes.
struct EntrySources {
    address: Option<watch::Receiver<String>>,
    standing: watch::Receiver<MachineStanding>,
}

/// Waits for another address; for ever where there is none to come.
async fn changed(address: &mut Option<watch::Receiver<String>>) {
    if let Some(followed) = address
        && followed.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// What tells this machine from another with the same id: drawn once per boot. And whether that
/// was done before.
fn nonce(runtime_dir: &Path) -> (String, bool) {
    let mut file = RuntimeFile::new(runtime_dir, "nonce");
    if let Some(Instance { nonce }) = file.read() {
        return (nonce, true);
    }
    let nonce = format!("{:032x}", fastrand::u128(..));
    file.write(&Instance { nonce: nonce.clone() });
    (nonce, false)
}
