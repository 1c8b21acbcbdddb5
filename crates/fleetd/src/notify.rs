//! Tells systemd how fleetd is doing (`sd_notify(3)`, `spec/README.md` 8). Outside of systemd there
//! is nobody to tell, and a failure to tell changes nothing: it is worth a DEBUG line.

use sd_notify::NotifyState;
use tracing::debug;

/// fleetd serves its sockets.
pub(crate) fn ready() {
    tell(NotifyState::Ready);
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
    if let Err(error) = sd_notify::notify(&[state]) {
        debug!(%error, "systemd not notified");
    }
}
