//! One fleetd per runtime directory: two would take each other's presence for their own.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use fleet_core::error_text::plain;

/// The runtime directory is this process's for as long as this lives, however it ends.
#[derive(Debug)]
pub(crate) struct InstanceLock {
    _lock: File,
}

/// The runtime directory can't be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstanceLockError {
    #[error("another fleetd is using {}: stop it, or set another runtime_directory", .0.display())]
    Taken(PathBuf),
    #[error("lock {}: {}", .path.display(), plain(.source))]
    Unusable { path: PathBuf, source: io::Error },
}

impl InstanceLock {
    /// Locks `directory`, which is made (mode 0700) where it is missing.
    pub(crate) fn in_directory(directory: &Path) -> Result<Self, InstanceLockError> {
        let path = directory.join("lock");
        let unusable = |source| InstanceLockError::Unusable { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(unusable)?;
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(InstanceLockError::Taken(directory.to_owned())),
            Err(TryLockError::Error(source)) => Err(unusable(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_fleetd_is_refused_until_the_first_has_gone() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("fleet");
        let first = InstanceLock::in_directory(&directory).unwrap();
        let refused = InstanceLock::in_directory(&directory).unwrap_err().to_string();
        assert!(refused.starts_with("another fleetd is using "), "{refused}");
        drop(first);
        InstanceLock::in_directory(&directory).unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let error =
            InstanceLock::in_directory(Path::new("/dev/null/fleet")).unwrap_err().to_string();
        assert_eq!(error, "lock /dev/null/fleet/lock: not a directory");
    }
}
