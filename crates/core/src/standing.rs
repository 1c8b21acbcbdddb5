//! How a machine stands, in its own words: whether it takes units that aren't there yet.

use std::fmt;

use crate::eligibility::Refusal;

/// What a machine says of itself, beside being present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MachineStanding {
    /// It takes units and runs them.
    #[default]
    InService,
    /// Its fleetd was told to stop, and stops its units.
    Leaving,
    /// Its systemd doesn't answer. Its units run on.
    Silent,
}

impl MachineStanding {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::InService, Self::Leaving, Self::Silent];

    /// The word for it in records, answers and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::InService => "in-service",
            Self::Leaving => "leaving",
            Self::Silent => "silent",
        }
    }

    /// The word where there is something to say: nothing is said of a machine in service.
    #[must_use]
    pub fn noteworthy(self) -> Option<&'static str> {
        (self != Self::InService).then(|| self.word())
    }

    /// The standing that has this word. One that a later version has is none to act on: the machine
    /// counts as in service, as it did before there were standings.
    #[must_use]
    pub fn of_word(word: &str) -> Self {
        Self::ALL.into_iter().find(|standing| standing.word() == word).unwrap_or_default()
    }

    /// Whether a machine in this standing takes a unit that isn't there yet. What is there stays.
    ///
    /// # Errors
    /// The reason why it doesn't.
    pub const fn takes_newcomers(self) -> Result<(), Refusal> {
        match self {
            Self::InService => Ok(()),
            Self::Leaving => Err(Refusal::Leaving),
            Self::Silent => Err(Refusal::Silent),
        }
    }
}

impl fmt::Display for MachineStanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_machine_in_service_takes_units_that_are_not_there_yet() {
        for (word, standing, refusal) in [
            ("in-service", MachineStanding::InService, None),
            ("leaving", MachineStanding::Leaving, Some("machine is leaving")),
            ("silent", MachineStanding::Silent, Some("its systemd does not answer")),
        ] {
            assert_eq!(MachineStanding::of_word(word), standing);
            assert_eq!(standing.to_string(), word);
            let said = standing.takes_newcomers().err().map(|refusal| refusal.to_string());
            assert_eq!(said.as_deref(), refusal, "{word}");
        }
    }

    #[test]
    fn a_standing_of_a_later_version_is_none_to_act_on() {
        assert_eq!(MachineStanding::of_word("on-holiday"), MachineStanding::InService);
        assert_eq!(MachineStanding::of_word(""), MachineStanding::InService);
    }
}
