//! Whether this fleetctl is older than the cluster (`fleetctl.md` 3.5). With the API there is
//! nothing to compare: it doesn't tell versions.

use std::cmp::Ordering;

use semver::Version;

const RULE: &str = "####################################################################";

/// The warning, when a machine has a newer version than `own`. What is no version is passed over.
pub(crate) fn warning(own: &str, published: &[String]) -> Option<String> {
    let own = read(own)?;
    let latest = published.iter().filter_map(|text| read(text)).max_by(Version::cmp_precedence)?;
    if own.cmp_precedence(&latest) != Ordering::Less {
        return None;
    }
    Some(format!(
        "{RULE}\n\
         WARNING: fleetctl ({own}) is older than the latest registered\n\
         version of fleet found in the cluster ({latest}). You are strongly\n\
         recommended to upgrade fleetctl to prevent incompatibility issues.\n\
         {RULE}"
    ))
}

fn read(text: &str) -> Option<Version> {
    Version::parse(text.strip_prefix('v').unwrap_or(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_newer_machines_are_warned_of() {
        for (own, published, latest) in [
            ("v2.0.0", &["v9.9.9", "v2.0.0"][..], Some("9.9.9")),
            ("2.0.0", &["10.0.0", "9.9.9"], Some("10.0.0")),
            ("v1.0.0-15-g45224983", &["1.0.0"], Some("1.0.0")),
            ("v1.0.0", &["v1.0.0-15-g45224983"], None),
            ("v2.0.0", &["v2.0.0", "v1.9.9"], None),
            ("v2.0.0", &["v2.0.0+build.7"], None),
            ("v2.0.0", &["", "nonsense", "9", "v9.9"], None),
            ("v2.0.0", &[], None),
        ] {
            let published: Vec<String> = published.iter().map(ToString::to_string).collect();
            let found = warning(own, &published);
            let expected = latest.map(|latest| format!("in the cluster ({latest}). You"));
            match (found, expected) {
                (None, None) => {}
                (Some(text), Some(part)) => assert!(text.contains(&part), "{text}"),
                (found, expected) => panic!("{own} {published:?}: {found:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn the_warning_is_as_it_always_was() {
        let text = warning("v1.0.0-15-g45224983", &["v9.9.9".to_owned()]).unwrap();
        assert_eq!(
            text,
            "####################################################################\n\
             WARNING: fleetctl (1.0.0-15-g45224983) is older than the latest registered\n\
             version of fleet found in the cluster (9.9.9). You are strongly\n\
             recommended to upgrade fleetctl to prevent incompatibility issues.\n\
             ####################################################################"
        );
    }
}
