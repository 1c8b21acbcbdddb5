//! `~/.ssh/config` and the system's `ssh_config`: what of them counts.
//!
//! Our own reader: the crates for it apply what stands below `Match` to the host before, refuse
//! files over values that don't concern us (`AddKeysToAgent confirm`), or let a later value win.
//! The rules are those of ssh_config(5): for each option the first value wins, but identity files
//! add up; the user's file comes before the system's; `Host` takes patterns, a negated one that
//! matches excludes the block; options below an `Include` count within the block it stands in; a
//! `Match final` has all of it gone through twice. Criteria of `Match` that aren't evaluated leave
//! open whether a block is meant: what protects in it, or leads elsewhere, is refused by name, the
//! rest skipped. Unknown options are passed over silently.

use std::path::Path;

use crate::known_hosts::{expand, warn_once};

mod criteria;
mod host;
mod line;
pub(crate) mod pattern;
mod reader;
mod setting;
mod tokens;

use criteria::{Active, Match};
pub(crate) use host::{HostConfig, Undecided};
use reader::{Fault, Owner, Reader};
use setting::Setting;
pub(crate) use tokens::tokens;

/// The user's SSH configuration, and the system's behind it.
#[derive(Debug, Default)]
pub struct UserConfig {
    items: Vec<Item>,
    /// Whether it is gone through twice.
    is_twice: bool,
}

/// A configuration that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct BadConfig {
    path: String,
    reason: String,
}

/// The host that is asked about.
pub(crate) struct HostQuery<'a> {
    /// What the user calls it.
    pub(crate) name: &'a str,
    /// Who logs in there, if that isn't for the configuration to say.
    pub(crate) user: Option<&'a str>,
    /// Who does if it doesn't say.
    pub(crate) default_user: &'a str,
    /// Whether the files are gone through for the second time.
    is_final: bool,
}

impl<'a> HostQuery<'a> {
    pub(crate) fn new(name: &'a str, user: Option<&'a str>, default_user: &'a str) -> Self {
        Self { name, user, default_user, is_final: false }
    }
}

#[derive(Debug)]
enum Item {
    /// A block for hosts that match.
    Host(Vec<String>),
    /// A block for what the criteria say.
    Match(Match),
    /// An option.
    Set {
        setting: Setting,
        /// File and line.
        place: String,
    },
    /// Files.
    Include(Vec<Vec<Self>>),
}

impl UserConfig {
    /// The system's file.
    pub const SYSTEM: &str = "/etc/ssh/ssh_config";

    /// Reads `~/.ssh/config`, `~` being `home`, and then the `system`'s. Without them there is
    /// nothing in it. Of a file of the system's that can't be read a warning tells.
    ///
    /// # Errors
    /// A file of the user's that can't be read, or that others may write, or a value that makes no
    /// sense.
    pub fn load(home: Option<&str>, system: Option<&Path>) -> Result<Self, BadConfig> {
        let path = expand("~/.ssh/config", home);
        let mut items = Reader::new(home, Owner::User, expand("~/.ssh", home)).file(&path)?;
        if let Some(path) = system {
            let folder = path.parent().unwrap_or_else(|| Path::new("/")).to_owned();
            let system = Reader::new(home, Owner::System, folder).file(path)?;
            // As an included file it is in no block of the user's.
            items = vec![Item::Include(vec![items, system])];
        }
        let is_twice = wants_final(&items);
        Ok(Self { items, is_twice })
    }

    /// What is said about a host.
    pub(crate) fn host(&self, asked: &HostQuery<'_>) -> HostConfig {
        let mut found = HostConfig::default();
        collect(&self.items, asked, asked.name, &Active::Yes, &mut found);
        if self.is_twice {
            // Blocks now go by where the host is, and that is settled.
            let host = found.host_name.as_deref().unwrap_or("%h");
            let host = tokens(host, &[('h', asked.name)]).to_lowercase();
            found.host_name = Some(host.replace('%', "%%"));
            let again = HostQuery { is_final: true, ..*asked };
            collect(&self.items, &again, &host, &Active::Yes, &mut found);
        }
        found
    }
}

fn wants_final(items: &[Item]) -> bool {
    items.iter().any(|item| match item {
        Item::Match(criteria) => criteria.wants_final(),
        Item::Include(files) => files.iter().any(|file| wants_final(file)),
        Item::Host(_) | Item::Set { .. } => false,
    })
}

/// Collects what is said about the host that is asked about; blocks for hosts go by `host`.
fn collect(
    items: &[Item],
    asked: &HostQuery<'_>,
    host: &str,
    within: &Active,
    found: &mut HostConfig,
) {
    let mut active = within.clone();
    for item in items {
        match item {
            Item::Host(patterns) if pattern::any(patterns, host) => active = within.clone(),
            Item::Host(_) => active = Active::No,
            Item::Match(criteria) => active = within.and(criteria.holds(asked, found)),
            Item::Set { setting, place } => match &active {
                Active::Yes => found.add(setting.clone(), place),
                Active::No => {}
                Active::Unknown(_) if found.has(setting) => {}
                Active::Unknown(criterion) if setting.is_login() => {
                    let option = setting.name();
                    warn_once(&format!(
                        "{place}: {option} is skipped: Match {criterion} is not evaluated"
                    ));
                }
                Active::Unknown(criterion) => found.doubt(setting, place, criterion),
            },
            Item::Include(files) => {
                for file in files {
                    collect(file, asked, host, &active, found);
                }
            }
        }
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
