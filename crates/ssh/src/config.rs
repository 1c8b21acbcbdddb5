//! `~/.ssh/config`: what of it counts.
//!
//! Our own reader: the crates for it apply what stands below `Match` to the host before, refuse
//! files over values that don't concern us (`AddKeysToAgent confirm`), or let a later value win.
//! The rules are those of ssh_config(5): for each option the first value wins, but identity files
//! add up; `Host` takes patterns, a negated one that matches excludes the block; options below an
//! `Include` count within the block it stands in. Of `Match` only `all` is known; other blocks are
//! passed over with one warning, unknown options silently.

mod line;
mod pattern;

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use fleet_core::error_text::plain;

use crate::{host_key::Checking, known_hosts::expand};
use line::Line;

/// Files within files, as in OpenSSH.
const DEEPEST: usize = 16;
/// A file longer than this is no configuration.
const LONGEST: u64 = 1024 * 1024;

/// The user's SSH configuration.
#[derive(Debug, Default)]
pub struct UserConfig {
    items: Vec<Item>,
}

/// A configuration that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct BadConfig {
    path: String,
    reason: String,
}

/// What a host is given by the configuration. `None` and empty lists leave it to the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostConfig {
    pub(crate) host_name: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) user: Option<String>,
    /// As written; `none` counts.
    pub(crate) identity_files: Vec<String>,
    pub(crate) identities_only: Option<bool>,
    pub(crate) identity_agent: Option<String>,
    /// The jump hosts, the nearest first; empty for `none`.
    pub(crate) proxy_jump: Option<Vec<String>>,
    /// Where the `ProxyCommand` is, which we don't run. Of it and `ProxyJump` the first counts.
    pub(crate) proxy_command: Option<String>,
    pub(crate) known_hosts: Option<Vec<String>>,
    pub(crate) checking: Option<Checking>,
}

#[derive(Debug)]
enum Item {
    /// A block for hosts that match; an empty list matches none.
    Host(Vec<String>),
    /// An option.
    Set(Setting),
    /// Files.
    Include(Vec<Vec<Self>>),
}

/// An option that counts, checked.
#[derive(Clone, Debug)]
enum Setting {
    HostName(String),
    Port(u16),
    User(String),
    IdentityFile(String),
    IdentitiesOnly(bool),
    IdentityAgent(String),
    ProxyJump(Vec<String>),
    /// Where it is, unless it is `none`.
    ProxyCommand(Option<String>),
    KnownHosts(Vec<String>),
    Checking(Checking),
}

/// The reading of a file and those it includes.
struct Reader<'a> {
    home: Option<&'a str>,
    depth: usize,
    match_ignored: bool,
}

impl UserConfig {
    /// Reads `~/.ssh/config`, `~` being `home`. Without one there is nothing in it.
    ///
    /// # Errors
    /// A file that can't be read, that others may write, or with a value that makes no sense.
    pub fn load(home: Option<&str>) -> Result<Self, BadConfig> {
        let path = expand("~/.ssh/config", home);
        let mut reader = Reader { home, depth: 0, match_ignored: false };
        let items = reader.file(&path)?;
        if reader.match_ignored {
            tracing::warn!(path = %path.display(), "Match blocks are ignored");
        }
        Ok(Self { items })
    }

    /// What is said about `host`, as the user calls it.
    pub(crate) fn host(&self, host: &str) -> HostConfig {
        let mut found = HostConfig::default();
        collect(&self.items, host, true, &mut found);
        found
    }
}

fn collect(items: &[Item], host: &str, within: bool, found: &mut HostConfig) {
    let mut active = within;
    for item in items {
        match item {
            Item::Host(patterns) => active = within && pattern::any(patterns, host),
            Item::Set(setting) if active => found.add(setting.clone()),
            Item::Set(_) => {}
            Item::Include(files) => {
                for file in files {
                    collect(file, host, active, found);
                }
            }
        }
    }
}

impl HostConfig {
    fn add(&mut self, setting: Setting) {
        fn first<T>(slot: &mut Option<T>, value: T) {
            slot.get_or_insert(value);
        }
        match setting {
            Setting::HostName(value) => first(&mut self.host_name, value),
            Setting::Port(value) => first(&mut self.port, value),
            Setting::User(value) => first(&mut self.user, value),
            Setting::IdentitiesOnly(value) => first(&mut self.identities_only, value),
            Setting::IdentityAgent(value) => first(&mut self.identity_agent, value),
            Setting::ProxyJump(value) => first(&mut self.proxy_jump, value),
            Setting::ProxyCommand(place) => {
                if self.proxy_jump.is_none() {
                    self.proxy_command = place;
                }
                first(&mut self.proxy_jump, Vec::new());
            }
            Setting::KnownHosts(value) => first(&mut self.known_hosts, value),
            Setting::Checking(value) => first(&mut self.checking, value),
            Setting::IdentityFile(value) => {
                if !self.identity_files.contains(&value) {
                    self.identity_files.push(value);
                }
            }
        }
    }
}

impl Reader<'_> {
    /// Reads a file; one that isn't there is empty.
    fn file(&mut self, path: &Path) -> Result<Vec<Item>, BadConfig> {
        let bad = |reason: String| BadConfig { path: path.display().to_string(), reason };
        if self.depth > DEEPEST {
            return Err(bad("too many files include each other".into()));
        }
        let text = match read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(bad(plain(&error))),
        };
        let mut items = Vec::new();
        for (index, text) in text.lines().enumerate() {
            let number = index + 1;
            let place = format!("{}: line {number}", path.display());
            let item = line::split(text)
                .and_then(|line| line.map_or(Ok(None), |line| self.item(line, place)))
                .map_err(|fault| match fault {
                    Fault::Here(reason) => bad(format!("line {number}: {reason}")),
                    Fault::Included(bad) => bad,
                })?;
            items.extend(item);
        }
        Ok(items)
    }

    fn item(&mut self, line: Line, place: String) -> Result<Option<Item>, Fault> {
        match &*line.keyword {
            "host" => Ok(Some(Item::Host(line.words()?))),
            "match" => {
                let words = line.words()?;
                let all = matches!(&*words, [word] if word.eq_ignore_ascii_case("all"));
                self.match_ignored |= !all;
                Ok(Some(Item::Host(if all { vec!["*".into()] } else { Vec::new() })))
            }
            "include" => self.include(&line.words()?).map(|files| Some(Item::Include(files))),
            _ => Ok(setting(&line, place)?.map(Item::Set)),
        }
    }

    fn include(&mut self, names: &[String]) -> Result<Vec<Vec<Item>>, Fault> {
        let mut files = Vec::new();
        self.depth += 1;
        for name in names {
            let path = match expand(name, self.home) {
                path if path.is_absolute() => path,
                path => expand("~/.ssh", self.home).join(path),
            };
            for path in pattern::files(&path) {
                files.push(self.file(&path).map_err(Fault::Included)?);
            }
        }
        self.depth -= 1;
        Ok(files)
    }
}

/// What is wrong with a line.
enum Fault {
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

/// The option of the line at `place`, if it counts.
fn setting(line: &Line, place: String) -> Result<Option<Setting>, String> {
    let yes_or_no = |word: String| match &*word.to_ascii_lowercase() {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(format!("{word} is neither yes nor no")),
    };
    Ok(Some(match &*line.keyword {
        "hostname" => Setting::HostName(line.word()?),
        "port" => {
            let word = line.word()?;
            let port = word.parse().ok().filter(|port| *port > 0);
            Setting::Port(port.ok_or_else(|| format!("{word} is no port"))?)
        }
        "user" => Setting::User(line.word()?),
        "identityfile" => Setting::IdentityFile(line.word()?),
        "identitiesonly" => Setting::IdentitiesOnly(yes_or_no(line.word()?)?),
        "identityagent" => Setting::IdentityAgent(line.word()?),
        "proxyjump" => Setting::ProxyJump(jumps(&line.rest)),
        "proxycommand" => {
            let is_none = line.rest.eq_ignore_ascii_case("none");
            Setting::ProxyCommand((!is_none).then_some(place))
        }
        "userknownhostsfile" => Setting::KnownHosts(line.words()?),
        "stricthostkeychecking" => Setting::Checking(checking(&line.word()?)?),
        _ => return Ok(None),
    }))
}

fn checking(word: &str) -> Result<Checking, String> {
    match &*word.to_ascii_lowercase() {
        "yes" | "true" => Ok(Checking::KnownOnly),
        "accept-new" => Ok(Checking::AcceptNew),
        "no" | "false" | "off" => Ok(Checking::Warn),
        "ask" => Ok(Checking::Ask),
        _ => Err(format!("unknown StrictHostKeyChecking {word}")),
    }
}

fn jumps(rest: &str) -> Vec<String> {
    if rest.eq_ignore_ascii_case("none") {
        return Vec::new();
    }
    rest.split(',').map(|hop| hop.trim().to_owned()).filter(|hop| !hop.is_empty()).collect()
}

/// Reads a file that only its owner, who is this user or root, may write, as OpenSSH wants it.
fn read(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let owners = [0, rustix::process::getuid().as_raw()];
    if metadata.mode() & 0o022 != 0 || !owners.contains(&metadata.uid()) {
        return Err(io::Error::other("bad owner or permissions"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
