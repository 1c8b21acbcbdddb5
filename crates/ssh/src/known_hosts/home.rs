//! `~` in paths (`ssh.md` 4.1).

use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};

/// Replaces a leading `~` or `~/` by `home`, or by the home of this process's user without one,
/// and a leading `~name` by that user's home. Other paths stay, as do those of unknown users.
pub(crate) fn expand(path: &str, home: Option<&str>) -> PathBuf {
    let Some(rest) = path.strip_prefix('~') else { return PathBuf::from(path) };
    let (user, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let base = match (user, home) {
        ("", Some(home)) if !home.is_empty() => Some(PathBuf::from(home)),
        ("", _) => User::from_uid(Uid::current()).ok().flatten().map(|user| user.dir),
        (name, _) => User::from_name(name).ok().flatten().map(|user| user.dir),
    };
    match base {
        None => PathBuf::from(path),
        Some(base) if rest.is_empty() => base,
        // A rest with a `/` in front would be taken for the whole path.
        Some(base) => base.join(Path::new(rest.trim_start_matches('/'))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tildes_are_expanded() {
        for (path, expected) in [
            ("~/.fleetctl/known_hosts", "/home/me/.fleetctl/known_hosts"),
            ("~", "/home/me"),
            ("~//x", "/home/me/x"),
            ("~no-such-user-here/x", "~no-such-user-here/x"),
            ("/a/~/b", "/a/~/b"),
            ("a", "a"),
            ("", ""),
        ] {
            assert_eq!(expand(path, Some("/home/me")), Path::new(expected), "{path}");
        }
    }

    #[test]
    fn users_have_homes() {
        let root = User::from_uid(Uid::from_raw(0)).unwrap().unwrap();
        assert_eq!(expand(&format!("~{}/x", root.name), None), root.dir.join("x"));
        let me = User::from_uid(Uid::current()).unwrap().unwrap();
        assert_eq!(expand("~/x", None), me.dir.join("x"));
        assert_eq!(expand("~/x", Some("")), me.dir.join("x"));
    }
}
