//! The reading of a file and those it includes.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use fleet_core::error_text::plain;
use nix::fcntl::OFlag;

use super::{
    BadConfig, Item,
    criteria::Match,
    line::{self, Line},
    pattern,
    setting::Setting,
};
use crate::known_hosts::expand;

/// Files within files, as in OpenSSH.
const DEEPEST: usize = 16;
/// A file longer than this is no configuration.
const LONGEST: u64 = 1024 * 1024;

/// Whose file it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The user's, whom nobody else may speak for.
    User,
    /// The system's.
    System,
}

/// The reading of a file and those it includes.
pub(super) struct Reader<'a> {
    home: Option<&'a str>,
    owner: Owner,
    /// Where names of included files begin.
    folder: PathBuf,
    depth: usize,
}

/// What is wrong with a line.
pub(super) enum Fault {
    /// The line itself.
    Here(String),
    /// A file it includes.
    Included(BadConfig),
}

impl From<String> for Fault {
    fn from(reason: String) -> Self {
        Self::Here(reason)
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(home: Option<&'a str>, owner: Owner, folder: PathBuf) -> Self {
        Self { home, owner, folder, depth: 0 }
    }

    /// Reads a file; one that isn't there is empty.
    pub(super) fn file(&mut self, path: &Path) -> Result<Vec<Item>, BadConfig> {
        let bad = |reason: String| BadConfig { path: path.display().to_string(), reason };
        if self.depth > DEEPEST {
            return Err(bad("too many files include each other".into()));
        }
        let text = match read(path, self.owner) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) if self.owner == Owner::System => {
                tracing::warn!(path = %path.display(), error = plain(&error), "can't read");
                return Ok(Vec::new());
            }
            Err(error) => return Err(bad(plain(&error))),
        };
        let mut items = Vec::new();
        for (index, text) in text.lines().enumerate() {
            let number = index + 1;
            let place = format!("{}: line {number}", path.display());
            let item = line::split(text)
                .and_then(|line| line.map_or(Ok(None), |line| self.item(&line, place)))
                .map_err(|fault| match fault {
                    Fault::Here(reason) => bad(format!("line {number}: {reason}")),
                    Fault::Included(bad) => bad,
                })?;
            items.extend(item);
        }
        Ok(items)
    }

    fn item(&mut self, line: &Line, place: String) -> Result<Option<Item>, Fault> {
        match &*line.keyword {
            "host" => Ok(Some(Item::Host(line.words()?))),
            "match" => Ok(Some(Item::Match(Match::parse(line.words()?)?))),
            "include" => self.include(&line.words()?).map(|files| Some(Item::Include(files))),
            _ => {
                let setting = Setting::parse(line, &place)?;
                Ok(setting.map(|setting| Item::Set { setting, place }))
            }
        }
    }

    fn include(&mut self, names: &[String]) -> Result<Vec<Vec<Item>>, Fault> {
        let mut files = Vec::new();
        self.depth += 1;
        for name in names {
            if name.contains('[') {
                // Taken for a file that isn't there, it would be skipped.
                return Err(format!("include of {name}: only * and ? are known").into());
            }
            if self.owner == Owner::System && name.starts_with('~') {
                return Err(format!("bad include path {name}").into());
            }
            let path = match expand(name, self.home) {
                path if path.is_absolute() => path,
                path => self.folder.join(path),
            };
            for path in pattern::files(&path) {
                files.push(self.file(&path).map_err(Fault::Included)?);
            }
        }
        self.depth -= 1;
        Ok(files)
    }
}

/// Reads a file that never ends later than it is now. The user's only its owner, who is this user
/// or root, may write, as OpenSSH wants it.
fn read(path: &Path, owner: Owner) -> io::Result<String> {
    let file = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let owners = [0, rustix::process::getuid().as_raw()];
    let is_mine = metadata.mode() & 0o022 == 0 && owners.contains(&metadata.uid());
    if owner == Owner::User && !is_mine {
        return Err(io::Error::other("bad owner or permissions"));
    }
    let mut bytes = Vec::new();
    if file.take(LONGEST + 1).read_to_end(&mut bytes)? as u64 > LONGEST {
        return Err(io::Error::other("too long for a configuration"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
