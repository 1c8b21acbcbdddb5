//! Tells systemd how fleetd is doing (`sd_notify(3)`, `spec/README.md` 8). Outside of systemd there
//! is nobody to tell, and a failure to tell changes nothing: it is worth a DEBUG line.

use std::{convert::Infallible, time::Duration};

use sd_notify::NotifyState;
use tokio::time;
use tracing::debug;

/// For how much longer a fleetd that stops asks for patience, each time, and how often. What is
/// between them is for a busy machine.
const EXTENSION: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));

/// fleetd serves its sockets.
pub(crate) fn ready() {
    tell(NotifyState::Ready);
}

/// fleetd reads its configuration again; [`ready`] ends that.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "no monotonic time"),
    }
}

/// fleetd is shutting down.
pub(crate) fn stopping() {
    tell(NotifyState::Stopping);
}

/// fleetd is still shutting down: units take their time. systemd ends it neither within its
/// `TimeoutStopSec=` nor later, for as long as this runs.
pub(crate) async fn still_stopping() -> Infallible {
    let (extension, period) = EXTENSION;
    let mut ticks = time::interval(period); // the first is at once
    loop {
        ticks.tick().await;
        let micros = u32::try_from(extension.as_micros()).unwrap_or(u32::MAX);
        tell(NotifyState::ExtendTimeoutUsec(micros));
    }
}

/// What fleetd is doing, in words.
pub(crate) fn status(text: &str) {
    tell(NotifyState::Status(text));
}

fn tell(state: NotifyState<'_>) {
    send(&[state]);
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "systemd not notified");
    }
}
