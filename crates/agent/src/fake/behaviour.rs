//! What a unit does, read from its content.

use std::time::Duration;

use fleet_core::UnitFile;

/// What happens when a unit is started and stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Behaviour {
    /// How long its start job takes; `None` is for ever.
    pub(super) start_takes: Option<Duration>,
    /// What it is when its start job has ended.
    pub(super) then: Then,
    /// Whether it fails only when its start job is done.
    pub(super) fails_later: bool,
    /// After how long it is started again when it failed.
    pub(super) restart_after: Option<Duration>,
    /// How long its stop job takes.
    pub(super) stop_takes: Duration,
    /// How long it says it may take; `None` is for ever.
    pub(super) stop_limit: Option<Duration>,
}

/// What a unit is when its start job has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// `active`/`running`.
    Runs,
    /// `active`/`exited`.
    Stays,
    /// `inactive`/`dead`.
    Finished,
    /// `failed`/`failed`.
    Failed,
}

impl Behaviour {
    pub(super) fn of(file: &UnitFile) -> Self {
        let value = |name: &str| {
            let option = file.options().iter().find(|o| o.section == "Service" && o.name == name);
            option.map_or("", |option| option.value.as_str())
        };
        let command = value("ExecStart");
        let oneshot = value("Type") == "oneshot";
        let start_takes = sleeps(if oneshot { command } else { value("ExecStartPre") });
        let never_begins = value("ExecStartPre").ends_with("/false");
        let then = match () {
            () if never_begins || command.ends_with("/false") => Then::Failed,
            () if value("RemainAfterExit") == "yes" => Then::Stays,
            () if oneshot || command.ends_with("/true") => Then::Finished,
            () => Then::Runs,
        };
        let stop_takes = sleeps(value("ExecStop")).unwrap_or(Duration::MAX);
        let stop_limit = match value("TimeoutStopSec") {
            "infinity" => None,
            seconds => Some(Duration::from_secs(seconds.parse().unwrap_or(90))),
        };
        let restart_after = (value("Restart") == "always").then(|| {
            let seconds = value("RestartSec").parse().unwrap_or(0.1);
            Duration::try_from_secs_f64(seconds).unwrap_or_default()
        });
        let fails_later = !oneshot && !never_begins;
        Self { start_takes, then, fails_later, restart_after, stop_takes, stop_limit }
    }
}

/// How long a command sleeps: not at all when it is no `sleep`, for ever (`None`) when it
/// names no number.
fn sleeps(command: &str) -> Option<Duration> {
    match command.split_once("sleep ") {
        Some((_, time)) => {
            let seconds = time.trim().parse().ok()?;
            Duration::try_from_secs_f64(seconds).ok()
        }
        None => Some(Duration::ZERO),
    }
}

/// Whether systemd would find something to install in `[Install]`.
pub(super) fn carries_install_info(file: &UnitFile) -> bool {
    const KNOWN: [&str; 5] = ["Alias", "WantedBy", "RequiredBy", "Also", "DefaultInstance"];
    file.options().iter().any(|o| o.section == "Install" && KNOWN.contains(&o.name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_takes_what_comes_before_it_or_what_it_is() {
        let takes = |service: &str| {
            let file = UnitFile::parse(format!("[Service]\n{service}\n").as_bytes()).unwrap();
            Behaviour::of(&file).start_takes
        };
        let forever = "ExecStart=/bin/sleep infinity";
        let before =
            |seconds: &str| takes(&format!("ExecStartPre=/bin/sleep {seconds}\n{forever}"));
        assert_eq!(takes(forever), Some(Duration::ZERO));
        assert_eq!(before("0.012"), Some(Duration::from_millis(12)));
        assert_eq!(before("infinity"), None);
        assert_eq!(takes(&format!("Type=oneshot\n{forever}")), None);
        assert_eq!(takes("ExecStartPre=/bin/false\nExecStart=/bin/true"), Some(Duration::ZERO));
    }
}
