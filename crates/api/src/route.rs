//! Which resource a path names (`api.md` 1.4).

use percent_encoding::percent_decode_str;

/// A resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `*`: the server as a whole, for OPTIONS.
    Server,
    /// `/` and the bare prefixes, where no method is supported.
    Root,
    /// What is measured.
    Metrics,
    /// The description of the API.
    Discovery,
    /// The machines.
    Machines,
    /// The units.
    Units,
    /// One unit. The name is as sent and can be anything.
    Unit(String),
    /// Restarts of one unit. The name is as sent and can be anything.
    Restart(String),
    /// The unit states.
    States,
    /// The state of one unit. The name is as sent and can be anything.
    State(String),
}

/// The two prefixes, which mean the same.
const PREFIXES: [&str; 2] = ["/fleet/v1", "/v1-alpha"];

impl Route {
    /// Finds the resource that a path, percent-encoded as sent, names.
    pub(crate) fn find(path: &str) -> Option<Self> {
        let path = percent_decode_str(path).decode_utf8_lossy();
        match &*path {
            "*" => return Some(Self::Server),
            "/" => return Some(Self::Root),
            "/metrics" => return Some(Self::Metrics),
            _ => {}
        }
        match PREFIXES.iter().find_map(|prefix| path.strip_prefix(prefix))? {
            "" => Some(Self::Root),
            "/discovery" => Some(Self::Discovery),
            "/machines" => Some(Self::Machines),
            "/units" => Some(Self::Units),
            "/state" => Some(Self::States),
            other => item(other, "/units/")
                .map(Self::Unit)
                .or_else(|| item(other.strip_suffix("/restart")?, "/units/").map(Self::Restart))
                .or_else(|| item(other, "/state/").map(Self::State)),
        }
    }
}

/// The one segment that follows `base`.
fn item(path: &str, base: &str) -> Option<String> {
    match path.strip_prefix(base)? {
        // The last two are steps in the tree, not names.
        "" | "." | ".." => None,
        name if name.contains('/') => None,
        name => Some(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_prefixes_lead_to_the_same_resources() {
        let unit = |name: &str| Some(Route::Unit(name.to_owned()));
        for (rest, expected) in [
            ("", Some(Route::Root)),
            ("/discovery", Some(Route::Discovery)),
            ("/machines", Some(Route::Machines)),
            ("/units", Some(Route::Units)),
            ("/state", Some(Route::States)),
            ("/units/a.service", unit("a.service")),
            ("/state/a.service", Some(Route::State("a.service".to_owned()))),
            ("/units/t%40.service", unit("t@.service")),
            ("/units/a%5cx2d.service", unit("a\\x2d.service")),
            ("/units/a+b", unit("a+b")),
            ("/units/%zz", unit("%zz")),
            ("/units/%ff", unit("\u{fffd}")),
            ("/units/...", unit("...")),
            ("/units/t%40.service/restart", Some(Route::Restart("t@.service".to_owned()))),
            ("/units/restart", unit("restart")),
            ("/units/restart/restart", Some(Route::Restart("restart".to_owned()))),
            ("/units//restart", None),
            ("/units/../restart", None),
            ("/units/a/b/restart", None),
            ("/units/a/restart/", None),
            ("/state/a/restart", None),
            ("/un%69ts/a", unit("a")),
            ("/", None),
            ("/units/", None),
            ("/state/", None),
            ("/machines/", None),
            ("/machines/XXX", None),
            ("/discovery/", None),
            ("/units/a/b", None),
            ("/units/a.service/", None),
            ("/units/a%2Fb.service", None),
            ("/units//a", None),
            ("//units", None),
            ("/units/..", None),
            ("/units/%2e%2E", None),
            ("/units/.", None),
            ("/units/./a", None),
            ("/../v1/units", None),
            ("units", None),
            ("/Units", None),
        ] {
            for prefix in PREFIXES {
                assert_eq!(Route::find(&format!("{prefix}{rest}")), expected, "{prefix}{rest}");
            }
        }
    }

    #[test]
    fn nothing_else_is_there() {
        for path in [
            "",
            "/fleet",
            "/fleet/",
            "/bogus",
            "/discovery",
            "/debug/vars",
            "//fleet/v1/units",
            "/v1",
        ] {
            assert_eq!(Route::find(path), None, "{path}");
        }
        assert_eq!(Route::find("/"), Some(Route::Root));
        assert_eq!(Route::find("*"), Some(Route::Server));
        assert_eq!(Route::find("/metrics"), Some(Route::Metrics));
        assert_eq!(Route::find("/metrics/"), None);
        assert_eq!(Route::find("/fleet/v1/metrics"), None);
    }
}
