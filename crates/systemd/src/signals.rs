//! What systemd tells by itself: whose state changed, which jobs ended.
//!
//! The session's task puts in, the agent's loop takes out. Signals of units that aren't fleet's
//! are dropped by their object path, before anything else is read.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fleet_agent::manager::{Changed, Job, JobResult};
use fleet_core::UnitName;
use tokio::{sync::Notify, time};
use zbus::{Message, message};

use crate::{
    interfaces::{BUS, MANAGER, PROPERTIES, SYSTEMD},
    jobs::{Epoch, Jobs, parse_result},
    object_path,
};

/// How long signals are gathered: a start makes about six, within this time.
const GATHER: Duration = Duration::from_millis(3);

#[derive(Debug, Default)]
pub(crate) struct Signals {
    state: Mutex<State>,
    news: Notify,
    job_expected: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Fleet's units, by object path.
    followed: HashMap<String, UnitName>,
    changed: BTreeSet<UnitName>,
    reloaded: bool,
    all_changed: bool,
    jobs: Jobs,
}

/// What the task that reads signals should do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Go on reading.
    Continue,
    /// systemd left the bus, and with it our subscription.
    SystemdLeft,
}

impl Signals {
    /// Takes in one message from the bus.
    pub(crate) fn take_in(&self, message: &Message) -> Verdict {
        if message.message_type() != message::Type::Signal {
            return Verdict::Continue;
        }
        let header = message.header();
        let interface = header.interface().map_or("", |interface| interface.as_str());
        let member = header.member().map_or("", |member| member.as_str());
        match (interface, member) {
            (PROPERTIES, "PropertiesChanged") => {
                self.property_changed(header.path().map_or("", |path| path.as_str()));
            }
            (MANAGER, "JobRemoved") => self.job_removed(message),
            (MANAGER, "Reloading") => self.reloading(message),
            (BUS, "NameOwnerChanged") => return owner_changed(message),
            _ => {}
        }
        Verdict::Continue
    }

    fn property_changed(&self, path: &str) {
        let mut state = self.lock();
        if let Some(name) = state.followed.get(path).cloned() {
            state.changed.insert(name);
            self.news.notify_one();
        }
    }

    fn job_removed(&self, message: &Message) {
        type Body<'a> = (u32, zbus::ObjectPath<'a>, &'a str, &'a str);
        let body = message.body();
        match body.deserialize::<Body<'_>>() {
            Ok((id, _, _, result)) => self.job_ended(id, parse_result(result)),
            Err(error) => tracing::warn!(%error, "signal of a job that ended can't be read"),
        }
    }

    /// systemd said that a job ended.
    pub(crate) fn job_ended(&self, id: u32, result: JobResult) {
        self.lock().jobs.ended(id, result);
    }

    /// `true` when a reload begins, `false` when it has ended. Load states have no signal.
    fn reloading(&self, message: &Message) {
        if let Ok(false) = message.body().deserialize::<bool>() {
            self.lock().reloaded = true;
            self.news.notify_one();
        }
    }

    /// Signals of exactly these units are told from now on.
    pub(crate) fn follow_only<'a>(&self, units: impl Iterator<Item = &'a UnitName>) {
        let followed = units.map(|unit| (object_path::of_unit(unit.as_str()), unit.clone()));
        self.lock().followed = followed.collect();
    }

    /// Signals of this unit are told too.
    pub(crate) fn follow(&self, unit: &UnitName) {
        self.lock().followed.insert(object_path::of_unit(unit.as_str()), unit.clone());
    }

    /// Signals of this unit are no longer told.
    pub(crate) fn unfollow(&self, unit: &UnitName) {
        let mut state = self.lock();
        state.followed.remove(&object_path::of_unit(unit.as_str()));
        state.changed.remove(unit);
    }

    /// The connection broke.
    pub(crate) fn lose(&self) {
        self.lock().jobs.lose();
    }

    /// The connection is back; nobody knows what happened meanwhile.
    pub(crate) fn restored(&self) {
        self.lock().all_changed = true;
        self.news.notify_one();
    }

    /// Waits for a change, and a little longer for what comes with it. Cancel-safe: what was
    /// told stays until it is returned.
    pub(crate) async fn changed(&self) -> Changed {
        while !self.lock().has_news() {
            self.news.notified().await;
        }
        time::sleep(GATHER).await;
        self.lock().take_news()
    }

    /// A call that queues a job begins.
    pub(crate) fn expect_job(&self) -> ExpectedJob<'_> {
        let epoch = self.lock().jobs.expect();
        self.job_expected.notify_one();
        ExpectedJob { signals: self, epoch }
    }

    /// Waits until another job has been expected. Cancel-safe; for one caller.
    pub(crate) async fn job_expected(&self) {
        self.job_expected.notified().await;
    }

    /// Whether anybody waits for the end of a job.
    pub(crate) fn awaits_jobs(&self) -> bool {
        self.lock().jobs.are_awaited()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete in itself, so a panic leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_news(&self) -> bool {
        self.all_changed || self.reloaded || !self.changed.is_empty()
    }

    /// The news that holds all others.
    fn take_news(&mut self) -> Changed {
        let units = std::mem::take(&mut self.changed);
        let reloaded = std::mem::take(&mut self.reloaded);
        match std::mem::take(&mut self.all_changed) {
            true => Changed::All,
            false if reloaded => Changed::Reloaded,
            false => Changed::Units(units),
        }
    }
}

fn owner_changed(message: &Message) -> Verdict {
    match message.body().deserialize::<(&str, &str, &str)>() {
        // One that only comes, after a bus that was there before it, gets our subscription then:
        // dbus-daemon keeps it until it can be delivered.
        Ok((SYSTEMD, old, _)) if !old.is_empty() => Verdict::SystemdLeft,
        _ => Verdict::Continue,
    }
}

/// A call under way that will have queued a job.
pub(crate) struct ExpectedJob<'a> {
    signals: &'a Signals,
    epoch: Epoch,
}

impl ExpectedJob<'_> {
    /// The job that the call queued.
    pub(crate) fn is(self, id: u32) -> Job {
        self.signals.lock().jobs.register(self.epoch, id)
    }
}

impl Drop for ExpectedJob<'_> {
    fn drop(&mut self) {
        self.signals.lock().jobs.settle();
    }
}

#[cfg(test)]
mod tests;
