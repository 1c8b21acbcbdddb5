//! Which machine this is (`fleetd.md` 5).

use std::path::Path;

use fleet_core::{MachineId, error_text::plain};
use tracing::{error, warn};

/// Where the machine's id is (machine-id(5)).
pub(crate) const MACHINE_ID: &str = "/etc/machine-id";

/// Where the machine's name is (proc_sys_kernel(5)).
const HOSTNAME: &str = "/proc/sys/kernel/hostname";

/// What this machine is called by itself, in lower case: its name, that without its domain, and the
/// name that multicast DNS gives it.
pub(crate) fn names() -> Vec<String> {
    std::fs::read_to_string(HOSTNAME).map(|name| names_of(&name)).unwrap_or_default()
}

fn names_of(hostname: &str) -> Vec<String> {
    let full = hostname.trim().to_ascii_lowercase();
    let (short, _) = full.split_once('.').unwrap_or((&full, ""));
    // What a machine is called that has no name.
    if matches!(short, "" | "(none)") {
        return Vec::new();
    }
    let mut names = vec![full.clone(), short.to_owned(), format!("{short}.local")];
    names.dedup();
    names
}

/// Whether this process runs as root: `/proc/self` belongs to the effective user.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// The machine has no usable id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unable to determine local machine ID")]
pub(crate) struct NoMachineId;

/// The id of this machine, which `file` says. It is pinned for the life of the process.
pub(crate) fn machine_id(file: &Path) -> Result<MachineId, NoMachineId> {
    read(file).map_err(|reason| {
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
        self.note(read(Path::new(MACHINE_ID)));
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

fn read(file: &Path) -> Result<MachineId, String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("open {}: {}", file.display(), plain(&error)))?;
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
    fn a_machine_has_the_names_it_gives_itself() {
        for (hostname, expected) in [
            ("Core-01.example.com\n", &["core-01.example.com", "core-01", "core-01.local"][..]),
            ("h1\n", &["h1", "h1.local"]),
            ("(none)\n", &[]),
            ("", &[]),
        ] {
            assert_eq!(names_of(hostname), expected, "{hostname:?}");
        }
    }

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
    fn fleetd_starts_with_a_real_machine_id_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("machine-id");
        assert_eq!(machine_id(&file), Err(NoMachineId), "there is none");
        let missing = format!("open {}: no such file or directory", file.display());
        assert_eq!(read(&file), Err(missing));
        let id = "3d1219c7c4c5404aaa1f6d2a48adfda4";
        std::fs::write(&file, format!("{id}\n")).unwrap();
        assert_eq!(machine_id(&file).unwrap().as_str(), id);
        let bad = |text: &str| format!("{text:?} is not 32 lower-case hex digits (machine-id(5))");
        for (text, reason) in [
            ("", "found empty machineID".to_owned()),
            (" \n", "found empty machineID".to_owned()),
            ("uninitialized\n", bad("uninitialized")),
            ("a/b c", bad("a/b c")),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(machine_id(&file), Err(NoMachineId), "{text:?}");
            assert_eq!(read(&file), Err(reason));
        }
    }
}
