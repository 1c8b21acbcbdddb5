//! How the run of a unit goes, or has ended, in systemd's words.

use std::fmt;

use fleet_core::UnitState;

/// What is said of a run that ended because the unit was started too often.
const LIMIT: &str = "start-limit-hit";

/// What the service manager says of the run of a unit, beyond its state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Its state.
    pub state: UnitState,
    /// The `Result` of a unit that isn't active, such as `exit-code`; `success` or empty when
    /// nothing went wrong, or the type has none.
    pub result: String,
    /// How the process ended that went wrong, if one did.
    pub exit: Option<Exit>,
    /// How often the service manager has started the unit again since it was told to start it.
    pub restarts: u32,
    /// Whether it isn't started again because it was too often.
    pub limit_hit: bool,
    /// Whether it counts as active although its program is still to be executed.
    pub only_forked: bool,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
}

impl Outcome {
    /// Whether the unit waits to be started again by the service manager.
    #[must_use]
    pub fn restarts_soon(&self) -> bool {
        restarts_soon(&self.state)
    }

    /// Whether something went wrong, as far as is known.
    #[must_use]
    pub fn went_wrong(&self) -> bool {
        !matches!(&*self.result, "" | "success")
    }

    /// How it went wrong, in words; empty when it did not.
    #[must_use]
    pub fn how(&self) -> String {
        if !self.went_wrong() {
            return String::new();
        }
        let limit = (self.limit_hit || self.result == LIMIT)
            .then(|| format!("started too often ({LIMIT})"));
        let result = (self.result != LIMIT).then(|| self.result.clone());
        let exit = self.exit.map(|exit| exit.to_string());
        let parts: Vec<String> = limit.into_iter().chain(result).chain(exit).collect();
        parts.join(", ")
    }
}

/// Whether a unit has failed, for good or until the service manager starts it again.
pub(crate) fn has_failed(state: &UnitState) -> bool {
    state.active == "failed" || restarts_soon(state)
}

fn restarts_soon(state: &UnitState) -> bool {
    state.sub.starts_with("auto-restart")
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_is_told_with_the_result_and_the_end_of_the_process() {
        for (result, exit, limit_hit, words) in [
            ("", None, false, ""),
            ("success", Some(Exit::Status(0)), false, ""),
            ("exit-code", Some(Exit::Status(203)), false, "exit-code, status 203"),
            ("signal", Some(Exit::Signal(9)), false, "signal, signal 9"),
            ("timeout", None, false, "timeout"),
            (
                "exit-code",
                Some(Exit::Status(1)),
                true,
                "started too often (start-limit-hit), exit-code, status 1",
            ),
            ("start-limit-hit", None, false, "started too often (start-limit-hit)"),
        ] {
            let run = Outcome { result: result.into(), exit, limit_hit, ..Outcome::default() };
            assert_eq!(run.how(), words);
        }
    }
}
