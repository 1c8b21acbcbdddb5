//! Which machine this is (`fleetd.md` 5).

use std::{io, path::Path};

use fleet_core::MachineId;
use tracing::{error, warn};

const MACHINE_ID: &str = "/etc/machine-id";

/// Whether this process runs as root: `/proc/self` belongs to the effective user.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// The machine has no usable id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unable to determine local machine ID")]
pub(crate) struct NoMachineId;

/// The id of this machine. It is pinned for the life of the process.
pub(crate) fn machine_id() -> Result<MachineId, NoMachineId> {
    read().map_err(|reason| {
        report(&reason);
        NoMachineId
    })
}

/// Tells when the machine's id is no longer what it was, which changes nothing until fleetd is
/// started anew.
pub(crate) struct Pinned {
    id: MachineId,
    /// What was read last.
    seen: Result<MachineId, String>,
}

impl Pinned {
    /// Pins `id`.
    pub(crate) fn new(id: MachineId) -> Self {
        Self { seen: Ok(id.clone()), id }
    }

    /// Looks at the file again.
    pub(crate) fn check(&mut self) {
        self.note(read());
    }

    /// Takes in what was read, and whether that was news.
    fn note(&mut self, now: Result<MachineId, String>) -> bool {
        let is_news = now != self.seen;
        match &now {
            Err(reason) if is_news => report(reason),
            Ok(other) if is_news && *other != self.id => {
                let id = &self.id;
                warn!("{MACHINE_ID} says {other} now; going on as {id} until fleetd is restarted");
            }
            Ok(_) | Err(_) => {}
        }
        self.seen = now;
        is_news
    }
}

fn report(reason: &str) {
    error!("Error retrieving machineID: {reason}");
    warn!("Unable to refresh machine state");
}

fn read() -> Result<MachineId, String> {
    parse(std::fs::read_to_string(Path::new(MACHINE_ID)))
}

fn parse(read: io::Result<String>) -> Result<MachineId, String> {
    let text =
        read.map_err(|error| format!("open {MACHINE_ID}: {}", crate::config::plain(&error)))?;
    let id = text.trim();
    if id.is_empty() {
        return Err("found empty machineID".to_owned());
    }
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if id.len() != 32 || !id.chars().all(hex) {
        return Err(format!("{id:?} is not 32 lower-case hex digits (machine-id(5))"));
    }
    id.parse().map_err(|error: fleet_core::InvalidMachineId| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_id_that_changes_is_told_once_and_not_followed() {
        let id = |text: &str| -> MachineId { text.parse().unwrap() };
        let mut pinned = Pinned::new(id("a"));
        let failure = || Err("found empty machineID".to_owned());
        for (now, is_news) in [
            (Ok(id("a")), false),
            (Ok(id("b")), true),
            (Ok(id("b")), false),
            (failure(), true),
            (failure(), false),
            (Ok(id("a")), true),
        ] {
            assert_eq!(pinned.note(now.clone()), is_news, "{now:?}");
            assert_eq!(pinned.id, id("a"));
        }
    }

    #[test]
    fn only_a_real_machine_id_is_taken() {
        let id = "3d1219c7c4c5404aaa1f6d2a48adfda4";
        assert_eq!(parse(Ok(format!("{id}\n"))).unwrap().as_str(), id);
        for (text, reason) in [
            (" \n", "found empty machineID"),
            (
                "uninitialized\n",
                "\"uninitialized\" is not 32 lower-case hex digits (machine-id(5))",
            ),
            ("a/b c", "\"a/b c\" is not 32 lower-case hex digits (machine-id(5))"),
        ] {
            assert_eq!(parse(Ok(text.to_owned())).unwrap_err(), reason);
        }
        let missing = parse(Err(io::ErrorKind::NotFound.into())).unwrap_err();
        assert!(missing.starts_with("open /etc/machine-id: "), "{missing}");
    }
}
