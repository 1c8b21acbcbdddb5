//! `Match`: which hosts a block is for.

use nix::unistd::{Uid, User};

use super::{HostConfig, HostQuery, pattern, tokens::tokens};

/// Criteria with one argument that aren't evaluated here: they run commands, or speak of what only
/// OpenSSH has.
const FOREIGN: [&str; 7] =
    ["exec", "localnetwork", "tagged", "command", "sessiontype", "version", "address"];

/// The criteria of a block, all of which must hold.
#[derive(Debug)]
pub(super) struct Match(Vec<Criterion>);

#[derive(Debug)]
struct Criterion {
    negated: bool,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    All,
    /// Where the host is, as far as that is known by now.
    Host(Vec<String>),
    /// What the user calls it.
    OriginalHost(Vec<String>),
    /// Who logs in there.
    User(Vec<String>),
    /// Who runs this.
    LocalUser(Vec<String>),
    /// Whether the files are gone through once more, as `final` asks for.
    Final,
    /// The same, without asking for it: names aren't made canonical here.
    Canonical,
    /// One that isn't evaluated here.
    Foreign(String),
}

/// Whether options count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Active {
    Yes,
    No,
    /// Only this criterion would tell.
    Unknown(String),
}

impl Active {
    /// Whether options count in a block like `inner` that is in one like this.
    pub(super) fn and(&self, inner: Self) -> Self {
        match (self, inner) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Unknown(name), _) => Self::Unknown(name.clone()),
            (Self::Yes, inner) => inner,
        }
    }
}

impl Match {
    /// Reads the criteria behind the word `Match`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn parse(words: Vec<String>) -> Result<Self, String> {
        let mut criteria = Vec::new();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let (word, argument) = match word.split_once('=') {
                Some((word, argument)) => (word.to_owned(), Some(argument.to_owned())),
                None => (word, None),
            };
            let negated = word.starts_with('!');
            let name = word.trim_start_matches('!').to_ascii_lowercase();
            let mut argument = || {
                let given = argument.clone().filter(|argument| !argument.is_empty());
                let next = given.or_else(|| words.find(|word| word != "="));
                next.ok_or_else(|| format!("no argument after Match {name}"))
            };
            let kind = match &*name {
                "all" => Kind::All,
                "final" => Kind::Final,
                "canonical" => Kind::Canonical,
                "host" => Kind::Host(list(&argument()?.to_lowercase())),
                "originalhost" => Kind::OriginalHost(list(&argument()?.to_lowercase())),
                "user" => Kind::User(list(&argument()?)),
                "localuser" => Kind::LocalUser(list(&argument()?)),
                _ if FOREIGN.contains(&&*name) => {
                    argument()?;
                    Kind::Foreign(name)
                }
                _ => {
                    // What follows may be its argument.
                    criteria.push(Criterion { negated, kind: Kind::Foreign(name) });
                    break;
                }
            };
            criteria.push(Criterion { negated, kind });
        }
        let is_all = |criterion: &Criterion| matches!(criterion.kind, Kind::All);
        let combines = |criterion: &Criterion| {
            matches!(criterion.kind, Kind::All | Kind::Final | Kind::Canonical)
        };
        if criteria.iter().any(is_all) && !criteria.iter().all(combines) {
            return Err("'all' cannot be combined with other Match attributes".into());
        }
        Ok(Self(criteria))
    }

    /// Whether it asks for the files to be gone through once more.
    pub(super) fn wants_final(&self) -> bool {
        self.0.iter().any(|criterion| matches!(criterion.kind, Kind::Final))
    }

    /// Whether it holds for the host that is asked about, of which `found` is known by now.
    pub(super) fn holds(&self, asked: &HostQuery<'_>, found: &HostConfig) -> Active {
        self.0.iter().fold(Active::Yes, |so_far, criterion| {
            so_far.and(match criterion.kind.holds(asked, found) {
                Ok(holds) if holds != criterion.negated => Active::Yes,
                Ok(_) => Active::No,
                Err(name) => Active::Unknown(name.to_owned()),
            })
        })
    }
}

impl Kind {
    /// Whether it holds, or the name of a criterion that isn't evaluated.
    fn holds(&self, asked: &HostQuery<'_>, found: &HostConfig) -> Result<bool, &str> {
        Ok(match self {
            Self::All => true,
            Self::Final | Self::Canonical => asked.is_final,
            Self::Host(patterns) => {
                let host = match &found.host_name {
                    Some(name) => tokens(name, &[('h', asked.name)]),
                    None => asked.name.to_owned(),
                };
                pattern::any(patterns, &host.to_lowercase())
            }
            Self::OriginalHost(patterns) => pattern::any(patterns, &asked.name.to_lowercase()),
            Self::User(patterns) => {
                let user = asked.user.or(found.user.as_deref());
                pattern::any(patterns, user.unwrap_or(asked.default_user))
            }
            Self::LocalUser(patterns) => {
                let local = User::from_uid(Uid::current()).ok().flatten();
                local.is_some_and(|user| pattern::any(patterns, &user.name))
            }
            Self::Foreign(name) => return Err(name),
        })
    }
}

fn list(patterns: &str) -> Vec<String> {
    patterns.split(',').map(str::to_owned).collect()
}
