//! Tells systemd how fleetd is doing (`sd_notify(3)`, `spec/README.md` 8). Outside of systemd there
//! is nobody to tell, and a failure to tell changes nothing: it is worth a DEBUG line.

use sd_notify::NotifyState;
use tracing::debug;

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
