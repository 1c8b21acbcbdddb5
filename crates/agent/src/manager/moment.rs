//! Moments that are written down for whoever comes after, and that a service manager is asked about.

use std::time::Duration;

use fleet_runtime::clock;
use serde::{Deserialize, Serialize};

/// A moment of a boot of the machine. It is told by a clock that nobody sets: by the time of day what
/// was before it may come to be after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The time of day, in microseconds since 1970: by how much that was set since is known by it.
    /// Earlier versions write and read nothing else.
    #[serde(rename = "since")]
    pub of_day: u64,
    /// The time since the boot; `None` when an earlier version wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime: Option<Uptime>,
}

/// For how long a machine has been up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uptime {
    /// Which boot this is about.
    pub boot: String,
    /// The microseconds since then.
    pub micros: u64,
}

impl Moment {
    /// This one.
    #[must_use]
    pub fn now() -> Self {
        let uptime = Uptime { boot: clock::boot_id(), micros: micros(clock::since_boot()) };
        Self { of_day: micros(clock::since_1970()), uptime: Some(uptime) }
    }

    /// The time from this boot to then; `None` when nobody can tell: it is of another boot, or
    /// an earlier version wrote it.
    #[must_use]
    pub fn since_boot(&self) -> Option<Duration> {
        let Uptime { boot, micros } = self.uptime.as_ref()?;
        (!boot.is_empty() && *boot == clock::boot_id()).then(|| Duration::from_micros(*micros))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_moment_of_this_boot_can_be_told() {
        let now = Moment::now();
        assert!(now.since_boot().is_some_and(|at| at <= Moment::now().since_boot().unwrap()));
        let of = |boot: &str| Some(Uptime { boot: boot.to_owned(), micros: 1 });
        for uptime in [of("another"), of(""), None] {
            assert_eq!(Moment { uptime, ..now.clone() }.since_boot(), None);
        }
    }
}
