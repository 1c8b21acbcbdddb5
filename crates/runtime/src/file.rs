//! Small files that outlive a fleetd but not a boot of the machine.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
use tempfile::NamedTempFile;
use tracing::warn;

use crate::exhibits::Exhibit;

/// One JSON file, written as a whole. Small and on a file system in memory, so its reads and
/// writes don't count as blocking.
#[derive(Debug)]
pub struct RuntimeFile {
    path: PathBuf,
    /// Whether the last write failed: said once, not every time.
    failing: bool,
}

impl RuntimeFile {
    /// The file `name` in `directory`, which is made when it is first written.
    #[must_use]
    pub fn new(directory: &Path, name: &str) -> Self {
        Self { path: directory.join(name), failing: false }
    }

    /// The same, with a first value where there is no file yet: it has room to grow in when the disk is
    /// full later.
    #[must_use]
    pub fn beginning_with(mut self, value: &impl Serialize) -> Self {
        if !self.path.exists() {
            self.write(value);
        }
        self
    }

    /// What the file says; `None` when there is none. One that can't be understood is reported,
    /// and counts as none.
    #[must_use]
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        let parsed = match fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => Err(error),
        };
        let path = self.path.display();
        parsed.inspect_err(|error| warn!(%path, %error, "runtime file can't be used")).ok()
    }

    /// Replaces the file atomically. A failure is logged, not returned: whoever writes here
    /// gets along without, only a successor knows less.
    pub fn write(&mut self, value: &impl Serialize) {
        let result = self.try_write(value);
        if let (Err(error), false) = (&result, self.failing) {
            let path = self.path.display();
            warn!(%path, %error, "runtime file can't be written, a restart will know less");
        }
        self.failing = result.is_err();
    }

    /// Whether the file is not what was written last.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failing
    }

    fn try_write(&self, value: &impl Serialize) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or_else(|| Path::new("."));
        #[cfg(feature = "testing")]
        if let Some(result) = self.played(directory, value) {
            return result;
        }
        let bytes = serde_json::to_vec(value)?;
        match self.replace(directory, &bytes) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => self.overwrite(&bytes),
            result => result,
        }
    }

    fn replace(&self, directory: &Path, bytes: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let mut file = NamedTempFile::new_in(directory)?; // mode 0600
        file.write_all(bytes)?;
        file.persist(&self.path)?;
        Ok(())
    }

    /// Writes over the file that is there, which has a page of its own to grow in: a successor that
    /// believes what was so before would lose units.
    fn overwrite(&self, bytes: &[u8]) -> io::Result<()> {
        if Exhibit::StaleNotes.is_shown() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut file = OpenOptions::new().write(true).open(&self.path)?;
        file.write_all(bytes)?;
        file.set_len(bytes.len().try_into().map_err(io::Error::other)?)
    }

    /// What becomes of a write that isn't to be; `None` of one that is.
    #[cfg(feature = "testing")]
    fn played(&self, directory: &Path, value: &impl Serialize) -> Option<io::Result<()>> {
        use crate::played::{Writing, with};
        match with(|played| played.writing(&self.path)).unwrap_or(Writing::Whole) {
            Writing::Whole => None,
            Writing::Full => Some(self.overwrite(&serde_json::to_vec(value).ok()?)),
            Writing::Torn => Some(
                fs::create_dir_all(directory)
                    .and_then(|()| fs::write(directory.join(".torn"), "{")),
            ),
            Writing::Nothing => Some(Err(io::ErrorKind::Other.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_rubbish_is_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("below");
        let mut file = RuntimeFile::new(&directory, "numbers");
        assert_eq!(file.read::<Vec<u32>>(), None);
        file.write(&[1, 2]);
        file.write(&[3]);
        assert_eq!(file.read(), Some(vec![3]));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "nothing temporary stays");
        fs::write(directory.join("numbers"), "{").unwrap();
        assert_eq!(file.read::<Vec<u32>>(), None);
    }

    #[test]
    fn where_there_is_no_room_the_file_itself_is_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = RuntimeFile::new(directory.path(), "numbers");
        assert!(file.overwrite(b"[1]").is_err(), "there is none yet");
        file.write(&[1, 2, 3]);
        file.overwrite(b"[4]").unwrap();
        assert_eq!(file.read(), Some(vec![4]));
        file.overwrite(b"[5,6,7,8]").unwrap();
        assert_eq!(file.read(), Some(vec![5, 6, 7, 8]));
    }

    #[test]
    fn a_directory_that_can_not_be_made_is_no_panic() {
        let mut file = RuntimeFile::new(Path::new("/proc/nowhere"), "numbers");
        file.write(&[1]);
        assert_eq!(file.read::<Vec<u32>>(), None);
    }
}
