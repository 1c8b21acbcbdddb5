//! Fleet's unit files on this machine: the marker of a unit that is fleet's (`units.md` 7.2).
//!
//! Files are replaced whole, by rename. Nothing is synced to disk: the folder is below `/run` and
//! doesn't outlive the machine's boot. Everything here blocks, briefly.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ffi::OsString,
    fs::{self, DirBuilder, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use fleet_agent::manager::{Listed, ManagerError, runs_once};
use fleet_core::{UnitFile, UnitHash, UnitName};
use tracing::{error, info, warn};

/// Files being written. No unit has such a name: it has a type.
const TEMPORARY: (&str, &str) = (".fleet-", ".tmp");
/// A file that was changed so lately may change again without a trace: the clock of the file
/// system ticks every 4 ms on many kernels.
const SETTLED: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What the files were when they were last read.
    known: BTreeMap<UnitName, Known>,
    /// Units whose file is there, but which systemd wasn't told of.
    unfinished: BTreeSet<UnitName>,
    /// Entries that were complained about.
    warned: HashSet<OsString>,
    /// The other names that files give their units, each with the content that does.
    aliases: BTreeMap<UnitName, (UnitHash, BTreeSet<String>)>,
    /// The time given to the file written last.
    last_write: Option<SystemTime>,
}

#[derive(Clone, Debug)]
struct Known {
    /// `None` when even that can't be had.
    stamp: Option<Stamp>,
    /// `None` when it is no file that may be read, or doesn't lex.
    content: Option<Content>,
    /// Whether it must be read again even if the stamp stays the same.
    fresh: bool,
}

/// What matters of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Content {
    hash: UnitHash,
    once: bool,
}

/// What changes when a file does: inode, length, times of change and modification.
type Stamp = (u64, u64, (i64, i64), (i64, i64));

impl Directory {
    /// Makes the directory if need be, and clears away what an earlier fleetd left half written.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        let directory = Self { path, state: Mutex::default() };
        directory.create()?;
        for entry in fs::read_dir(&directory.path)?.flatten() {
            if is_temporary(&entry.file_name().to_string_lossy()) {
                let _ = fs::remove_file(entry.path()); // the next start tries again
            }
        }
        Ok(directory)
    }

    fn create(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o755).create(&self.path)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The other names that the listed units have by their files. Reads only what is new.
    pub(crate) fn aliases(&self) -> BTreeMap<UnitName, BTreeSet<String>> {
        let mut state = self.lock();
        let State { known, aliases, .. } = &mut *state;
        aliases.retain(|unit, _| known.contains_key(unit));
        let of = |(unit, Known { content, .. }): (&UnitName, &Known)| {
            let hash = content.map(|content| content.hash);
            let known = aliases.get(unit).filter(|(of, _)| Some(*of) == hash);
            let names = match (known, hash) {
                (Some((_, names)), _) => names.clone(),
                (None, Some(hash)) => {
                    let names = read_aliases(&self.path_of(unit), unit);
                    aliases.insert(unit.clone(), (hash, names.clone()));
                    names
                }
                (None, None) => BTreeSet::new(),
            };
            (unit.clone(), names)
        };
        known.iter().map(of).collect()
    }

    /// The other names that a unit has by its file, as it is now.
    pub(crate) fn aliases_of(&self, unit: &UnitName) -> BTreeSet<String> {
        read_aliases(&self.path_of(unit), unit)
    }

    /// The file of a unit.
    pub(crate) fn path_of(&self, unit: &UnitName) -> PathBuf {
        self.path.join(unit.as_str())
    }

    /// Whether the unit has a file.
    pub(crate) fn has(&self, unit: &UnitName) -> bool {
        self.path_of(unit).exists()
    }

    /// Whether systemd may log less of the unit than of others: `LogLevelMax=` is for that too.
    pub(crate) fn may_be_quiet(&self, unit: &UnitName) -> bool {
        let text = fs::read(self.path_of(unit)).unwrap_or_default();
        String::from_utf8_lossy(&text).contains("LogLevelMax")
    }

    /// The units that have a file. An error when one can't be read just now and nothing is known of
    /// it.
    pub(crate) fn list(&self) -> Result<BTreeMap<UnitName, Listed>, ManagerError> {
        let before = self.lock().known.clone();
        let known = self.look_through(&before, read)?;
        let mut state = self.lock();
        state.known = known;
        let listed = state.known.iter().map(|(unit, Known { content, .. })| {
            let finished = !state.unfinished.contains(unit);
            let hash = content.map(|content| content.hash);
            let once = content.is_some_and(|content| content.once);
            (unit.clone(), Listed { hash, finished, once })
        });
        Ok(listed.collect())
    }

    fn look_through(
        &self,
        before: &BTreeMap<UnitName, Known>,
        read: impl Fn(&Path) -> io::Result<Content>,
    ) -> Result<BTreeMap<UnitName, Known>, ManagerError> {
        let entries = self.entries().map_err(|source| file_error(&self.path, source))?;
        let mut known = BTreeMap::new();
        for entry in entries {
            let entry = entry.map_err(|source| file_error(&self.path, source))?;
            let name = entry.file_name();
            match name.to_str().and_then(|name| name.parse::<UnitName>().ok()) {
                Some(unit) => {
                    let path = entry.path();
                    let now = look(&path, before.get(&unit), &read);
                    let now = now.map_err(|source| file_error(&path, source))?;
                    known.extend(now.map(|now| (unit, now)));
                }
                None => self.warn_once(name),
            }
        }
        Ok(known)
    }

    /// What is in the directory. One that somebody removed is made again, empty: what should be
    /// here is then written anew.
    fn entries(&self) -> io::Result<fs::ReadDir> {
        match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                warn!("units directory {} is gone, making it again", self.path.display());
                self.create()?;
                fs::read_dir(&self.path)
            }
            entries => entries,
        }
    }

    fn warn_once(&self, name: OsString) {
        let text = name.to_string_lossy().into_owned();
        if !is_temporary(&text) && self.lock().warned.insert(name) {
            warn!("Found unrecognized file in {}/{text}, ignoring", self.path.display());
        }
    }

    /// Puts a unit's file in place, unless it is there already.
    pub(crate) fn write(&self, unit: &UnitName, file: &UnitFile) -> Result<(), ManagerError> {
        let path = self.path_of(unit);
        let text = file.to_text();
        let old = fs::metadata(&path).ok().filter(fs::Metadata::is_file);
        if old.is_some() && fs::read(&path).is_ok_and(|old| old == text.as_bytes()) {
            return Ok(());
        }
        info!("Writing systemd unit {unit} ({}b)", text.len());
        let time = self.next_time(old.and_then(|old| old.modified().ok()));
        self.replace(&path, &text, time).map_err(|source| file_error(&path, source))
    }

    fn replace(&self, path: &Path, text: &str, time: SystemTime) -> io::Result<()> {
        self.create()?;
        let mut file = tempfile::Builder::new()
            .prefix(TEMPORARY.0)
            .suffix(TEMPORARY.1)
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(&self.path)?;
        file.write_all(text.as_bytes())?;
        file.as_file().set_modified(time)?;
        file.persist(path)?;
        Ok(())
    }

    /// systemd knows that a file changed by its time of modification being later, to the
    /// microsecond. So each file is given a later time than the one it replaces, and than any
    /// other of ours, whatever the clock does.
    fn next_time(&self, replaced: Option<SystemTime>) -> SystemTime {
        let mut state = self.lock();
        let last = replaced.max(state.last_write).map(|last| last + Duration::from_micros(2));
        let time = last.map_or_else(SystemTime::now, |last| last.max(SystemTime::now()));
        state.last_write = Some(time);
        time
    }

    /// The unit was loaded, or must be loaded again: until then it is listed as unfinished.
    pub(crate) fn set_finished(&self, unit: &UnitName, finished: bool) {
        let unfinished = &mut self.lock().unfinished;
        if finished {
            unfinished.remove(unit);
        } else {
            unfinished.insert(unit.clone());
        }
    }

    /// Removes a unit's file. One that isn't there is removed already.
    pub(crate) fn remove(&self, unit: &UnitName) -> Result<(), ManagerError> {
        let path = self.path_of(unit);
        self.lock().unfinished.remove(unit);
        let removed = match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir(&path),
            _ => fs::remove_file(&path),
        };
        match removed {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(file_error(&path, source))
            }
            _ => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic leaves it whole; at worst files are read again.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a file is now, or nothing if it has gone since it was listed. When that can't be told, what
/// it was: not to know what a unit is, is no reason to stop it.
fn look(
    path: &Path,
    before: Option<&Known>,
    read: impl Fn(&Path) -> io::Result<Content>,
) -> io::Result<Option<Known>> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // A link that leads nowhere is known for what it is.
        Ok(link) if link.is_symlink() => fs::metadata(path).map_err(|error| unusable(&error)),
        metadata => metadata,
    };
    let stamp = metadata.as_ref().ok().map(stamp);
    let same = before.filter(|before| before.stamp == stamp);
    if let Some(same) = same.filter(|same| !same.fresh) {
        return Ok(Some(same.clone()));
    }
    let content = match metadata.and_then(|metadata| content_of(path, &metadata, read)) {
        Err(error) if is_about_the_file(&error) => {
            if same.is_none_or(|same| same.content.is_some()) {
                error!(%error, "unit file {} can't be used", path.display());
            }
            None
        }
        Err(error) => {
            let Some(before) = before.filter(|before| before.content.is_some()) else {
                return Err(error);
            };
            warn!(%error, "unit file {} can't be read just now", path.display());
            return Ok(Some(Known { fresh: true, ..before.clone() }));
        }
        Ok(content) => Some(content),
    };
    let fresh = stamp.is_some_and(|stamp| !is_settled(stamp));
    Ok(Some(Known { stamp, content, fresh }))
}

fn content_of(
    path: &Path,
    metadata: &fs::Metadata,
    read: impl Fn(&Path) -> io::Result<Content>,
) -> io::Result<Content> {
    if !metadata.is_file() {
        return Err(unusable(&"not a regular file")); // reading a pipe would hang
    }
    read(path)
}

fn read(path: &Path) -> io::Result<Content> {
    let file = UnitFile::parse_stored(&fs::read(path)?).map_err(|error| unusable(&error))?;
    Ok(Content { hash: file.hash(), once: runs_once(&file) })
}

/// The names that a file gives its unit besides its own. One that can't be read gives none.
fn read_aliases(path: &Path, unit: &UnitName) -> BTreeSet<String> {
    let is_file = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    let text = is_file.then(|| fs::read(path).ok()).flatten();
    let file = text.and_then(|text| UnitFile::parse_stored(&text).ok());
    file.map(|file| file.aliases(unit)).unwrap_or_default()
}

/// Says what is wrong with a file itself.
fn unusable(why: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_string())
}

/// Whether an error tells what the file is. Others tell of this moment: no descriptor is free, or
/// no memory.
fn is_about_the_file(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::PermissionDenied)
}

fn stamp(metadata: &fs::Metadata) -> Stamp {
    (
        metadata.ino(),
        metadata.size(),
        (metadata.ctime(), metadata.ctime_nsec()),
        (metadata.mtime(), metadata.mtime_nsec()),
    )
}

fn is_settled((_, _, (seconds, nanoseconds), _): Stamp) -> bool {
    let changed =
        Duration::new(u64::try_from(seconds).unwrap_or(0), u32::try_from(nanoseconds).unwrap_or(0));
    let age = (SystemTime::UNIX_EPOCH + changed).elapsed();
    age.is_ok_and(|age| age > SETTLED)
}

fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1)
}

pub(crate) fn file_error(path: &Path, source: io::Error) -> ManagerError {
    ManagerError::File { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests;
