//! The units that the hosts are given: of the kinds that the simulation has.

/// Begins the name of each, so that they are told from what a host has of its own.
pub(crate) const PREFIX: &str = "c-";

const VARIANT: &str = "VARIANT=";

/// A kind of unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Runs for ever.
    Plain,
    /// Runs for ever, and is enabled where it does.
    Installed,
    /// Takes seconds to stop.
    SlowStop,
    /// Takes seconds to start.
    SlowStart,
    /// Does something once.
    Once,
    /// Fails.
    Failing,
    /// Fails again and again.
    Looping,
    /// Wants a host with an even number.
    Even,
    /// Wants a host that is given the role.
    Role,
    /// Is in the way of others of its kind.
    Single,
    /// Goes where the plain unit number 0 is.
    Peer,
    /// Pushes off the plain unit number 3.
    Replacing,
    /// Runs on every host.
    Everywhere,
    /// Runs on every host that is given the role.
    EverywhereRole,
    /// Is one of hundreds.
    Burst,
}

impl Kind {
    /// All that are there for long.
    const ALL: [Self; 14] = [
        Self::Plain,
        Self::SlowStop,
        Self::Installed,
        Self::SlowStart,
        Self::Once,
        Self::Failing,
        Self::Looping,
        Self::Even,
        Self::Role,
        Self::Single,
        Self::Peer,
        Self::Replacing,
        Self::Everywhere,
        Self::EverywhereRole,
    ];

    /// The kind of the unit of a number: each third is plain.
    pub(crate) fn of(unit: usize) -> Self {
        if unit.is_multiple_of(3) {
            return Self::Plain;
        }
        let i = (unit / 3 * 2 + unit % 3) % Self::ALL.len();
        Self::ALL.get(i).copied().unwrap_or(Self::Plain)
    }

    /// The kind of the unit of a name.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let all = Self::ALL.into_iter().chain([Self::Burst]);
        all.into_iter().find(|kind| {
            let rest = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix(&kind.word()));
            rest.is_some_and(|rest| rest.starts_with('-'))
        })
    }

    fn word(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// The name of the unit of a number.
    pub(crate) fn name(self, unit: usize) -> String {
        format!("{PREFIX}{}-{unit}.service", self.word())
    }

    /// Whether its process runs until somebody stops it.
    pub(crate) fn lasts(self) -> bool {
        !matches!(self, Self::Once | Self::Failing | Self::Looping)
    }

    /// One of its contents. What `variant` is can be read in it.
    pub(crate) fn text(self, variant: u8) -> String {
        let sleep = "/usr/bin/sleep";
        let service = match self {
            Self::SlowStop => format!("ExecStart={sleep} infinity\nExecStop={sleep} 3\n"),
            Self::SlowStart => {
                format!("Type=oneshot\nRemainAfterExit=yes\nExecStart={sleep} 3\n")
            }
            Self::Once => "Type=oneshot\nExecStart=/usr/bin/true\n".to_owned(),
            Self::Failing => "ExecStart=/usr/bin/false\n".to_owned(),
            Self::Looping => "ExecStart=/usr/bin/false\nRestart=always\nRestartSec=5\n".to_owned(),
            _ => format!("ExecStart={sleep} infinity\n"),
        };
        let rest = match self {
            Self::Installed => "[Install]\nWantedBy=multi-user.target\n",
            Self::Even => "[X-Fleet]\nMachineMetadata=hostname=h2\nMachineMetadata=hostname=h4\n",
            Self::Role => "[X-Fleet]\nMachineMetadata=role=odd\n",
            Self::Single => "[X-Fleet]\nConflicts=c-single-*.service\n",
            Self::Peer => "[X-Fleet]\nMachineOf=c-plain-0.service\n",
            Self::Replacing => "[X-Fleet]\nReplaces=c-plain-3.service\n",
            Self::Everywhere => "[X-Fleet]\nGlobal=true\n",
            Self::EverywhereRole => "[X-Fleet]\nGlobal=true\nMachineMetadata=role=odd\n",
            _ => "",
        };
        format!("[Service]\n{service}{}\n{rest}", variant_line(variant))
    }

    /// Whether a host may have it, as far as that depends on the host alone.
    pub(crate) fn suits(self, hostname: &str, role: Option<&str>) -> bool {
        match self {
            Self::Even => ["h2", "h4"].contains(&hostname),
            Self::Role | Self::EverywhereRole => role == Some("odd"),
            _ => true,
        }
    }

    /// Whether where it can be depends on other units.
    pub(crate) fn depends(self) -> bool {
        matches!(self, Self::Single | Self::Peer | Self::Replacing)
    }

    /// What systemd may say of it where it is.
    pub(crate) fn states(self, is_launched: bool) -> &'static [&'static str] {
        match (is_launched, self) {
            (true, Self::Once) => &["inactive"],
            (true, Self::Failing) => &["failed"],
            (true, Self::Looping) => &["activating"],
            (true, _) => &["active"],
            // A unit that was stopped in its failure may be remembered so.
            (false, Self::Failing | Self::Looping) => &["inactive", "failed"],
            (false, _) => &["inactive"],
        }
    }
}

/// The line that tells one content from another. A unit's processes have it in their environment.
fn variant_line(variant: u8) -> String {
    format!("Environment={VARIANT}{variant}")
}

/// What tells one content from another in a text, be it a file or an environment.
pub(crate) fn variant_in(text: &str) -> Option<u8> {
    let (_, rest) = text.split_once(VARIANT)?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_kind() {
        for unit in 0..60 {
            let kind = Kind::of(unit);
            assert_eq!(Kind::of_name(&kind.name(unit)), Some(kind));
        }
        assert_eq!(Kind::of_name("c-everywhererole-3.service"), Some(Kind::EverywhereRole));
        assert_eq!(Kind::of_name("fleet.service"), None);
        assert_eq!(variant_in(&Kind::Peer.text(12)), Some(12));
        assert_eq!(variant_in("PATH=/bin"), None);
        assert!((0..42).map(Kind::of).any(|kind| kind == Kind::EverywhereRole));
    }
}
