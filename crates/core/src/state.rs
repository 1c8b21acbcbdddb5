//! States of units: what is desired of them, and what systemd says of them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Quoted;

/// Desired and current state of a unit as a whole (`cluster.md` 1).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Known to the cluster, on no machine.
    #[default]
    Inactive,
    /// On a machine, not started by fleet.
    Loaded,
    /// Started by fleet.
    Launched,
}

/// A text that is no [`JobState`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid value {} for JobState", Quoted(.0))]
pub struct InvalidJobState(pub String);

impl JobState {
    /// The state as it is written everywhere.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Loaded => "loaded",
            Self::Launched => "launched",
        }
    }
}

impl FromStr for JobState {
    type Err = InvalidJobState;
    fn from_str(text: &str) -> Result<Self, InvalidJobState> {
        match text {
            "inactive" => Ok(Self::Inactive),
            "loaded" => Ok(Self::Loaded),
            "launched" => Ok(Self::Launched),
            other => Err(InvalidJobState(other.to_owned())),
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What systemd says of a unit, verbatim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UnitState {
    /// `LoadState`, such as `loaded` or `not-found`.
    pub load: String,
    /// `ActiveState`, such as `active` or `failed`.
    pub active: String,
    /// `SubState`, such as `running`.
    pub sub: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(JobState, &str); 3] = [
        (JobState::Inactive, "inactive"),
        (JobState::Loaded, "loaded"),
        (JobState::Launched, "launched"),
    ];

    #[test]
    fn states_are_written_the_same_everywhere() {
        for (state, text) in ALL {
            assert_eq!(text.parse(), Ok(state));
            assert_eq!(state.to_string(), text);
            let json = format!("\"{text}\"");
            assert_eq!(serde_json::to_string(&state).expect("a string"), json);
            assert_eq!(serde_json::from_str::<JobState>(&json).expect("a state"), state);
        }
        assert_eq!(JobState::default(), JobState::Inactive);
        assert!(ALL.is_sorted());
    }

    #[test]
    fn other_texts_are_no_states() {
        for (text, quoted) in
            [("active", "active"), ("Launched", "Launched"), ("", ""), ("a\"", "a\\\"")]
        {
            let error = text.parse::<JobState>().expect_err(text);
            assert_eq!(error.to_string(), format!("invalid value \"{quoted}\" for JobState"));
            assert!(serde_json::from_value::<JobState>(text.into()).is_err());
        }
    }
}
