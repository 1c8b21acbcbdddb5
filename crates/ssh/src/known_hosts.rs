//! The files of known hosts (`ssh.md` 4.1 to 4.4).
//!
//! Files are only ever appended to, so no line is lost or rewritten, whoever wrote it. The
//! library's own helpers go by other rules and aren't used.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use fleet_core::error_text::plain;
use russh::keys::ssh_key::public::KeyData;
use tokio::task;

mod append;
#[cfg(test)]
pub(crate) mod fixture;
mod home;
mod line;
mod name;
mod pattern;

pub(crate) use home::expand;
pub(crate) use line::{Entry, Kind};
pub(crate) use name::Names;
use pattern::Hosts;

/// The files that hosts are looked for in. New ones go to the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownHosts {
    /// Paths, `~` expanded.
    pub files: Vec<PathBuf>,
}

/// A file that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("can't read known hosts {}: {}", path.display(), plain(cause))]
pub struct KnownHostsError {
    path: PathBuf,
    cause: io::Error,
}

/// What the files say, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    lines: Vec<KnownLine>,
}

/// A line that says something, and where it is.
#[derive(Clone, Debug)]
pub(crate) struct KnownLine {
    /// The file.
    pub(crate) path: PathBuf,
    /// The line, counted from one.
    pub(crate) number: usize,
    /// What it says.
    pub(crate) entry: Entry,
}

impl KnownHosts {
    /// The same as [`Self::load`], while other work goes on: a file may be a pipe, or on a disk that
    /// is far away.
    pub(crate) async fn read(&self) -> Result<Known, KnownHostsError> {
        let files = self.clone();
        let reading = task::spawn_blocking(move || files.load()).await;
        reading.unwrap_or_else(|stopped| {
            let (path, cause) = (self.first().to_owned(), io::Error::other(stopped));
            Err(KnownHostsError { path, cause })
        })
    }

    /// Reads all files. Lines that say nothing are warned about, once in a process each.
    ///
    /// # Errors
    /// A file that is there and can't be read.
    fn load(&self) -> Result<Known, KnownHostsError> {
        let mut known = Known::default();
        for path in &self.files {
            match fs::read(path) {
                Ok(bytes) => known.read(path, &bytes).iter().for_each(|text| warn_once(text)),
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
                Err(cause) => return Err(KnownHostsError { path: path.clone(), cause }),
            }
        }
        Ok(known)
    }

    /// Appends a line for `name` to the first file.
    ///
    /// # Errors
    /// No file, or one that can't be written.
    pub(crate) fn add(&self, name: &str, key: &KeyData) -> io::Result<()> {
        append::append(self.first(), name, key)
    }

    /// Returns the file that new hosts go to; empty if there is none.
    pub(crate) fn first(&self) -> &Path {
        self.files.first().map_or_else(|| Path::new(""), PathBuf::as_path)
    }
}

impl Known {
    /// Adds the lines of the file `path`, which holds `bytes`. Returns what is wrong with it.
    fn read(&mut self, path: &Path, bytes: &[u8]) -> Vec<String> {
        let mut warnings = Vec::new();
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let number = index + 1;
            match line::parse(line) {
                Ok(None) => {}
                Ok(Some(entry)) => {
                    self.lines.push(KnownLine { path: path.to_owned(), number, entry });
                }
                Err(problem) => {
                    warnings.push(format!("{}:{number} - {problem}", path.display()));
                }
            }
        }
        warnings
    }

    /// Returns the lines of `kind` that speak of the host with `names`, in their order.
    pub(crate) fn about<'a>(
        &'a self,
        kind: Kind,
        names: &'a Names,
    ) -> impl Iterator<Item = &'a KnownLine> {
        let speaks = move |hosts: &Hosts| match kind {
            Kind::Key => hosts.matches(&names.keys),
            Kind::Authority => hosts.matches(&names.authorities),
            Kind::Revoked => hosts.may_mean(&names.revoked, &names.keys),
        };
        self.lines
            .iter()
            .filter(move |found| found.entry.kind == kind && speaks(&found.entry.hosts))
    }
}

/// Warns, unless this process did already: the files are read for each host on the way.
pub(crate) fn warn_once(text: &str) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned()) {
        tracing::warn!("{text}");
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
