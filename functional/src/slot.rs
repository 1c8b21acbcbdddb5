//! Slots: what lets several labs stand side by side.
//!
//! A lab holds one slot. From its number come the lab's address block, the names of its
//! containers and its cgroup, so no two labs share any of them. `/run/fleet-lab/<number>` says
//! who holds a slot; it is read and written under a lock. A holder that no longer runs, killed
//! before it could clean up, has lost the slot, and whoever takes it next clears what it left.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};

use crate::process::Process;
use crate::sandbox::checked;

const REGISTER: &str = "/run/fleet-lab";
/// One /24 each out of 198.18.0.0/15, which is set aside for tests of networks (RFC 2544).
const SLOTS: u8 = 200;

/// A slot that this lab holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(u8);

impl Slot {
    /// Takes the first free slot. `start` makes the lab in it, given the slot and the lab's
    /// folder, which is `folder` or else named after the slot, and returns the lab with the
    /// process whose end frees the slot again.
    ///
    /// # Errors
    /// When all slots are taken, `folder` belongs to a lab that runs, or `start` fails.
    pub(crate) fn claim<T>(
        folder: Option<&Path>,
        start: impl FnOnce(Self, &Path) -> Result<(T, Process)>,
    ) -> Result<T> {
        let _lock = lock()?;
        let free = (0..SLOTS).map(Self).find(|slot| slot.holder().is_none());
        let slot = free.with_context(|| format!("all {SLOTS} slots are taken ({REGISTER})"))?;
        let folder = folder.map_or_else(|| slot.default_folder(), Path::to_path_buf);
        slot.clear(&folder)?;
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let (lab, holder) = start(slot, &folder)?;
        fs::write(slot.file(), format!("{holder}\n{}\n", folder.display()))?;
        Ok(lab)
    }

    /// Takes hold of the slot numbered `number`, as a lab's record has it.
    #[must_use]
    pub(crate) fn open(number: u8) -> Self {
        Self(number)
    }

    /// Returns its number.
    #[must_use]
    pub(crate) fn number(self) -> u8 {
        self.0
    }

    /// Returns the address in its block that ends in `last`.
    #[must_use]
    pub(crate) fn address(self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.0, last)
    }

    /// Returns the name of its cgroup, below the root of the v2 tree.
    #[must_use]
    pub(crate) fn cgroup(self) -> String {
        format!("fleet-lab-{}", self.0)
    }

    /// Frees the slot and removes `folder` and the cgroups. Everything in it has ended.
    ///
    /// # Errors
    /// When something can't be removed.
    pub(crate) fn release(self, folder: &Path) -> Result<()> {
        let _lock = lock()?;
        self.remove_cgroups()?;
        remove_tree(folder)?;
        fs::remove_file(self.file())?;
        Ok(())
    }

    fn file(self) -> PathBuf {
        Path::new(REGISTER).join(self.0.to_string())
    }

    fn default_folder(self) -> PathBuf {
        PathBuf::from(format!("/var/tmp/fleet-lab-slot{}", self.0))
    }

    /// Returns who holds it, and the folder, unless that process has ended.
    fn holder(self) -> Option<(Process, PathBuf)> {
        let text = fs::read_to_string(self.file()).ok()?;
        let (process, folder) = text.trim_end().split_once('\n')?;
        let process: Process = process.parse().ok()?;
        process.is_alive().then(|| (process, PathBuf::from(folder)))
    }

    /// Clears what an earlier holder, or an earlier lab in `folder`, has left behind.
    fn clear(self, folder: &Path) -> Result<()> {
        let taken = (0..SLOTS).filter_map(|n| Self(n).holder()).find(|(_, f)| f == folder);
        if let Some((holder, _)) = taken {
            bail!("a lab runs in {} (process {})", folder.display(), holder.id());
        }
        if self.file().exists() {
            self.remove_cgroups()?;
            remove_tree(&self.default_folder())?;
        }
        remove_tree(folder)
    }

    fn remove_cgroups(self) -> Result<()> {
        // A mount namespace of its own, since the machine may have the v2 tree anywhere or not
        // at all. The find fails while a cgroup is in use; that is worth knowing.
        let script = "mount -t cgroup2 none /sys/fs/cgroup && cd /sys/fs/cgroup &&
            if [ -d \"$1\" ]; then find \"$1\" -depth -type d -exec rmdir {} +; fi";
        let args = ["--mount", "sh", "-c", script, "lab", &self.cgroup()];
        checked(Command::new("unshare").args(args))
    }
}

fn lock() -> Result<Flock<File>> {
    fs::create_dir_all(REGISTER).context("the lab needs root")?;
    let file = File::create(Path::new(REGISTER).join("lock"))?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| errno)
        .with_context(|| format!("cannot lock {REGISTER}/lock"))
}

/// Removes a lab's folder, if there is one. Only folders that a lab made hold its record.
fn remove_tree(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let empty = fs::read_dir(folder)?.next().is_none();
    if !empty && !folder.join(crate::lab::RECORD).exists() {
        bail!("{} is there and is no lab's folder", folder.display());
    }
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_addresses_and_names_of_its_own() {
        assert_eq!(Slot(7).address(11).to_string(), "198.18.7.11");
        assert_ne!(Slot(7).cgroup(), Slot(8).cgroup());
    }

    #[test]
    fn a_folder_that_no_lab_made_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("precious");
        fs::write(&file, "").unwrap();
        assert!(remove_tree(folder.path()).is_err());
        assert!(file.exists());
    }
}
