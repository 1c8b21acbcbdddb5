//! Which hosts a line speaks of (`ssh.md` 4.3).

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// The hosts of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hosts {
    /// Patterns, separated by commas.
    Patterns(Vec<Pattern>),
    /// One name, hashed so that the file doesn't tell it.
    Hashed {
        /// The key of the HMAC.
        salt: Vec<u8>,
        /// The HMAC-SHA1 of the name.
        hash: Vec<u8>,
    },
}

/// A name with wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// Whether it began with `!`.
    negated: bool,
    text: Vec<u8>,
}

impl Hosts {
    /// Reads the field of hosts.
    ///
    /// # Errors
    /// A hash that can't be used.
    pub(super) fn parse(field: &[u8]) -> Result<Self, &'static str> {
        if field.starts_with(b"|") {
            return Self::parse_hashed(field).ok_or("hashed hosts not implemented");
        }
        let patterns = field.split(|byte| *byte == b',').map(Pattern::parse).collect();
        Ok(Self::Patterns(patterns))
    }

    fn parse_hashed(field: &[u8]) -> Option<Self> {
        let mut parts = field.strip_prefix(b"|1|")?.split(|byte| *byte == b'|');
        let (salt, hash) = (parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        Some(Self::Hashed { salt: BASE64.decode(salt).ok()?, hash: BASE64.decode(hash).ok()? })
    }

    /// Whether the line speaks of a host that has all these names. A `!` that matches one of them
    /// takes the line away from the host.
    pub(super) fn matches(&self, names: &[String]) -> bool {
        self.speaks_of(names, wildcard) && !self.excludes(names)
    }

    /// Whether the line may speak of a host with one of `names`, in which case doesn't count, as in
    /// OpenSSH. Only a `!` that matches one of `own` as it is written takes the line away from the
    /// host. For lines that keep a key from being taken: those should rather mean too much.
    pub(super) fn may_mean(&self, names: &[String], own: &[String]) -> bool {
        self.speaks_of(names, |pattern, name| {
            wildcard(&pattern.to_ascii_lowercase(), &name.to_ascii_lowercase())
        }) && !self.excludes(own)
    }

    fn speaks_of(&self, names: &[String], matches: impl Fn(&[u8], &[u8]) -> bool) -> bool {
        match self {
            Self::Patterns(patterns) => patterns.iter().any(|pattern| {
                !pattern.negated && names.iter().any(|name| matches(&pattern.text, name.as_bytes()))
            }),
            // OpenSSH hashes names in lower case.
            Self::Hashed { salt, hash } => names.iter().any(|name| {
                is_hash(salt, hash, name) || is_hash(salt, hash, &name.to_ascii_lowercase())
            }),
        }
    }

    fn excludes(&self, names: &[String]) -> bool {
        let Self::Patterns(patterns) = self else { return false };
        patterns
            .iter()
            .filter(|pattern| pattern.negated)
            .any(|pattern| names.iter().any(|name| wildcard(&pattern.text, name.as_bytes())))
    }
}

impl Pattern {
    fn parse(text: &[u8]) -> Self {
        match text.strip_prefix(b"!") {
            Some(text) => Self { negated: true, text: text.to_owned() },
            None => Self { negated: false, text: text.to_owned() },
        }
    }
}

fn is_hash(salt: &[u8], hash: &[u8], name: &str) -> bool {
    Hmac::<Sha1>::new_from_slice(salt)
        .is_ok_and(|mac| mac.chain_update(name).verify_slice(hash).is_ok())
}

/// Whether `pattern` matches all of `name`: `*` is any run of bytes, `?` is one byte. A `*` that
/// isn't the last of the pattern needs something to be left, even before another `*`.
///
/// Goes through the pattern from its end with the ends of `name` that the rest of it matches, so
/// that no pattern takes more than its length times that of the name.
fn wildcard(pattern: &[u8], name: &[u8]) -> bool {
    let end = name.len();
    let mut rest: Vec<bool> = (0..=end).map(|from| from == end).collect();
    for (index, byte) in pattern.iter().enumerate().rev() {
        let mut here = vec![false; end + 1];
        if *byte == b'*' && index + 1 == pattern.len() {
            here.fill(true);
        } else if *byte == b'*' {
            for from in (0..end).rev() {
                here[from] = rest[from] || here[from + 1];
            }
        } else {
            for from in 0..end {
                here[from] = rest[from + 1] && (*byte == b'?' || *byte == name[from]);
            }
        }
        rest = here;
    }
    rest[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(field: &str, names: &[&str]) -> bool {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        Hosts::parse(field.as_bytes()).unwrap().matches(&names)
    }

    #[test]
    fn any_pattern_suffices_but_for_a_negated_one() {
        for (host, field, expected) in [
            ("foo.com", "foo.com,bar,baz", true),
            ("foo.com", "bar,foo.com,baz", true),
            ("foo.com", "!foo.com,bar,baz", false),
            ("foo.com", "foo.com,!foo.com,bar", false),
            ("127.0.0.1", "127.0.0.*,!127.0.0.1", false),
            ("127.0.0.2", "127.0.0.*,!127.0.0.1", true),
            ("foo", "FOO", false),
            ("foo", "!bar", false),
            ("foo", "", false),
            ("foo", ",,foo", true),
            ("[foo]:22", "[foo]:22", true),
            ("f", "[foo]", false),
        ] {
            assert_eq!(matches(field, &[host]), expected, "{field} {host}");
        }
    }

    #[test]
    fn wildcards_match() {
        for (pattern, yes, no) in [
            ("f*o", &["fasdfo", "foo", "fo"][..], &["foc", "f"][..]),
            ("f*", &["f", "fa"], &["g"]),
            ("f**", &["fa"], &["g", "f"]),
            ("f*?", &["fa", "fab"], &["f"]),
            ("a*c?e", &["acde", "abbcde"], &["ace", "abce"]),
            ("a*c*e", &["abbbcdddde", "ace"], &["abc", "ae"]),
            ("f?b", &["fab"], &["fb", "feeb"]),
            ("h??d", &["h12d"], &["heldd"]),
            ("*", &["", "a", "abc"], &[]),
            ("", &[""], &["a"]),
            ("?", &["a"], &["", "ab"]),
        ] {
            for name in yes {
                assert!(wildcard(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
            }
            for name in no {
                assert!(!wildcard(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn many_wildcards_take_no_time() {
        let pattern = "*a".repeat(200);
        assert!(!wildcard(pattern.as_bytes(), "a".repeat(199).as_bytes()));
        assert!(wildcard(pattern.as_bytes(), "a".repeat(200).as_bytes()));
    }

    #[test]
    fn what_is_revoked_may_mean_a_name_in_any_case() {
        let means = |field: &str, names: &[&str], own: &[&str]| {
            let all =
                |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
            Hosts::parse(field.as_bytes()).unwrap().may_mean(&all(names), &all(own))
        };
        for (field, name, expected) in [
            ("Core-1", "core-1", true),
            ("core-1", "CORE-1", true),
            ("*.Example", "a.example", true),
            ("core-2", "core-1", false),
            ("*,!core-1", "core-1", false),
            ("*,!Core-1", "core-1", true),
            ("!core-1", "core-1", false),
        ] {
            assert_eq!(means(field, &[name], &[name]), expected, "{field} {name}");
        }
        assert!(means("*,!core-1", &["[core-1]:2222", "core-1"], &["[core-1]:2222"]));
    }

    #[test]
    fn one_of_several_names_suffices_unless_another_is_excluded() {
        assert!(matches("10.0.0.1", &["core-1", "10.0.0.1"]));
        assert!(!matches("10.0.0.*,!core-1", &["core-1", "10.0.0.1"]));
    }
}
