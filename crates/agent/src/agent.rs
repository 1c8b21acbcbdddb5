//! The agent as fleetd sees it: one value that outlives its runs.
//!
//! The supervisor calls [`Agent::register`], then [`Agent::run`] until that ends, and begins
//! again when it ended because presence could not be kept. What the agent knows stays in it, so
//! a restart of the components touches no unit. At shutdown it calls [`Agent::purge`], after
//! `run` has ended, or just drops the agent to leave units and presence alone.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use fleet_core::{Machine, MachineId, UnitName};
use fleet_registry::{Contact, MachineRecord, Presence, Registry};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    UnitManager,
    dump::DumpHandle,
    presence::{Ended, Keeper, PresenceHandle},
    publish::{Publisher, Sources},
    reconciler::Reconciler,
    standing::{StandingHandle, SystemdWatch},
};

/// What an agent needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// This machine.
    pub machine: MachineId,
    /// What it publishes of itself. The agent fills in the nonce, and what it can do itself.
    pub record: MachineRecord,
    /// The address to publish, as it is now, where that isn't configured.
    pub address: Option<watch::Receiver<String>>,
    /// The presence that an agent before this one held in the same process, to be taken over
    /// by a beat, or by a registration where it has another ttl.
    pub presence: Option<Presence>,
    /// What touch with the registry that agent had: a reload is no gap.
    pub contact: Option<Contact>,
    /// How long it may be silent before it counts as gone (`agent_ttl`).
    pub ttl: Duration,
    /// How often the cluster's engine reconciles (`engine_reconcile_interval`): how soon a machine has to
    /// be back after an outage depends on it.
    pub interval: Duration,
    /// Where it keeps what outlives a fleetd but not a boot, such as `/run/fleet`. Made when
    /// missing, with mode 0700.
    pub runtime_dir: PathBuf,
    /// Look at the registry by period only (`fleetd.md` 2.3).
    pub disable_watches: bool,
}

/// Makes this machine run what was decided.
pub struct Agent {
    keeper: Keeper,
    reconciler: Reconciler,
    publisher: Publisher,
    pulse: SystemdWatch,
    standing: StandingHandle,
}

impl Agent {
    /// An agent that does nothing yet.
    #[must_use]
    pub fn new(registry: Registry, manager: Arc<dyn UnitManager>, config: Config) -> Self {
        let Config { machine, mut record, ttl, interval, runtime_dir, .. } = config.clone();
        record.capabilities.handover = true;
        let reconnected = Arc::new(Notify::new());
        let reconciler = Reconciler::new(
            registry.clone(),
            Arc::clone(&manager),
            Machine { id: machine.clone(), metadata: record.metadata.clone() },
            &runtime_dir,
            Arc::clone(&reconnected),
        );
        let reconciler = if config.disable_watches { reconciler.polling() } else { reconciler };
        let keeper = Keeper::new(registry.clone(), machine, record, ttl, interval, &runtime_dir)
            .following(config.address)
            .taking_over(config.presence, config.contact);
        let keeper = if config.disable_watches { keeper.polling() } else { keeper };
        let standing = keeper.standing();
        let pulse =
            SystemdWatch::new(Arc::clone(&manager), standing.clone(), ttl, keeper.handle().contact);
        let reconciler = reconciler.minding(keeper.handle());
        let sources = Sources {
            standings: reconciler.standings(),
            troubles: reconciler.troubles(),
            obstacles: reconciler.obstacles(),
            reloaded: reconciler.reloaded(),
            reconnected,
            refollowed: reconciler.refollowed(),
            presence: keeper.handle(),
        };
        let publisher = Publisher::new(registry, manager, sources, &runtime_dir);
        Self { keeper, reconciler, publisher, pulse, standing }
    }

    /// How the machine stands, for whoever wants to know, or takes it out of the cluster.
    #[must_use]
    pub fn standing(&self) -> StandingHandle {
        self.standing.clone()
    }

    /// The machine's presence, for other components and for telling whether there is one.
    #[must_use]
    pub fn presence(&self) -> PresenceHandle {
        self.keeper.handle()
    }

    /// What shows the agent's state while it runs.
    #[must_use]
    pub fn dump(&self) -> DumpHandle {
        DumpHandle::new(self.reconciler.standings(), self.publisher.board(), self.keeper.handle())
    }

    /// Makes the machine present, trying for ever with growing pauses (`fleetd.md` 3). After a
    /// run that ended with [`Ended::BeatTimedOut`] a beat is enough. `None` when stopped first.
    pub async fn register(&mut self, stop: &CancellationToken) -> Option<Presence> {
        self.keeper.register(stop).await
    }

    /// Runs the components until told to stop or until presence can't be kept. Ends between
    /// passes, units untouched. Presence is kept for as long as a pass takes to end.
    pub async fn run(&mut self, stop: &CancellationToken) -> Ended {
        let (parts, idle) = (stop.child_token(), CancellationToken::new());
        let keep = async {
            let ended = self.keeper.keep(&idle).await;
            parts.cancel();
            ended
        };
        let work = async {
            tokio::join!(
                self.reconciler.run(&parts),
                self.publisher.run(&parts),
                self.pulse.run(&parts)
            );
            idle.cancel();
        };
        let (ended, ()) = tokio::join!(keep, work);
        if stop.is_cancelled() { Ended::Stopped } else { ended }
    }

    /// Stops and unloads every unit here and ends the machine's presence, within bounds and
    /// whatever fails; returns the units that are left. A machine that was never registered has
    /// nothing to purge (`fleetd.md` 8).
    pub async fn purge(&mut self) -> BTreeSet<UnitName> {
        if self.keeper.handle().current.borrow().is_none() {
            return BTreeSet::new();
        }
        self.standing.leave();
        let parts = CancellationToken::new();
        let purge = async {
            let left = self.reconciler.purge().await;
            parts.cancel();
            left
        };
        // Presence is kept meanwhile, whatever fails, so that no unit starts elsewhere before it
        // stopped here.
        let (left, (), ()) =
            tokio::join!(purge, self.keeper.hold(&parts), self.publisher.run(&parts));
        self.leave().await;
        if left.is_empty() {
            info!("all units are gone");
        } else {
            error!(units = ?left, "units are left");
        }
        left
    }

    /// Ends the machine's presence and leaves its units alone: they can't be driven any more
    /// (`fleetd.md` 6).
    pub async fn leave(&self) {
        if let Err(error) = self.keeper.leave().await {
            warn!(%error, "presence not ended, it will expire");
        }
    }
}
