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

/// The id of this machine. It is read once and pinned for the life of the process.
pub(crate) fn machine_id() -> Result<MachineId, NoMachineId> {
    let read = std::fs::read_to_string(Path::new(MACHINE_ID));
    parse(read).map_err(|reason| {
        error!("Error retrieving machineID: {reason}");
        warn!("Unable to refresh machine state");
        NoMachineId
    })
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
