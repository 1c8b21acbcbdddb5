//! What stays through reloads: the API's sockets, and the look at who and where this machine is.

use std::time::Duration;

use fleet_api::{Listener, Switch, serve};
use tokio::{runtime::Handle, sync::watch, task::JoinSet, time};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::Fatal;
use crate::{address, app::Base, identity::Pinned};

/// How often the machine's id and address are looked at (`fleetd.md` 5).
const REFRESH: Duration = Duration::from_secs(60);

/// Starts the tasks, which end when they fail or are told to; the API where `users` runs.
pub(super) fn start(
    base: &Base,
    listeners: Vec<Listener>,
    switch: &Switch,
    stop: &CancellationToken,
    users: &Handle,
) -> JoinSet<Fatal> {
    let mut tasks = JoinSet::new();
    let serving = serve(listeners, switch.clone(), stop.clone());
    let api = async move {
        serving.await;
        Fatal::Ended("the API")
    };
    tasks.spawn_on(api, users);
    let (pinned, address) = (Pinned::new(base.machine.clone()), base.address.clone());
    tasks.spawn(refresh(pinned, address, address::primary));
    tasks
}

/// Follows the machine's address, and notices another id. Never ends.
async fn refresh(
    mut pinned: Pinned,
    address: watch::Sender<String>,
    detect: impl Fn() -> String,
) -> Fatal {
    loop {
        time::sleep(REFRESH).await;
        pinned.check();
        let now = detect();
        address.send_if_modified(|address| {
            let has_changed = *address != now;
            if has_changed {
                info!("the primary address is {now:?} now, it was {address:?}");
                address.clone_from(&now);
            }
            has_changed
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn another_address_is_told_within_a_minute_and_the_same_is_not() {
        let detected = Arc::new(Mutex::new("198.18.0.1".to_owned()));
        let (address, mut followed) = watch::channel("198.18.0.1".to_owned());
        let detect = {
            let detected = Arc::clone(&detected);
            move || detected.lock().unwrap().clone()
        };
        let pinned = Pinned::new("m1".parse().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(refresh(pinned, address, detect));
        time::sleep(REFRESH * 3).await;
        assert!(!followed.has_changed().unwrap());
        *detected.lock().unwrap() = "198.18.0.2".to_owned();
        let told = time::timeout(REFRESH * 2, followed.changed()).await;
        told.unwrap().unwrap();
        assert_eq!(*followed.borrow(), "198.18.0.2");
    }
}
