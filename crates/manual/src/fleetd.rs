//! The page of fleetd, which parses its command line by hand.

use clap::{Arg, ArgAction, Command, ValueHint};
use clap_mangen::Man;

use crate::{ManualError, page, table};

/// Where every option is documented.
const CONFIGURATION: &str = include_str!("../../../docs/configuration.md");

/// What fleetd takes, for clap.
pub(crate) fn command() -> Command {
    let switch = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
    };
    Command::new("fleetd")
        .about("fleet's daemon: engine, agent and API of one machine of a cluster")
        .long_about(
            "fleetd runs on every machine of a cluster. One of them leads and decides which \
             machine runs what; each makes its machine run what was decided, over systemd; each \
             serves the API that fleetctl uses.\n\n\
             Options may be written with one hyphen or two, and their values after a blank or an \
             equals sign.",
        )
        .version(fleet_core::VERSION.trim_start_matches('v'))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args([
            Arg::new("config")
                .long("config")
                .value_name("path")
                .value_hint(ValueHint::FilePath)
                .help("Read this config file instead of /etc/fleet/fleet.conf"),
            switch("dev", "Run alone, without etcd: for trying fleet out; nothing is kept"),
            switch("version", "Print the version and exit"),
            switch("help", "Print the usage and exit"),
        ])
}

/// The page.
pub(crate) fn page() -> Result<Vec<u8>, ManualError> {
    let mut page = page::start(Man::new(command()).section("8"));
    let rows = table::rows(CONFIGURATION, &["option", "default", "meaning"]);
    if rows.is_empty() {
        return Err(ManualError::NoTable("docs/configuration.md"));
    }
    page::terms(
        &mut page,
        "CONFIGURATION",
        "Lines of the config file, name = value. Each can be given in the environment instead, as \
         FLEET_ and its name in upper case; the environment wins.",
        rows.iter().map(|(name, text)| (&**name, &**text)),
    );
    page::terms(
        &mut page,
        "SIGNALS",
        "",
        [
            (
                "TERM, INT",
                "Leave the cluster, stopping and unloading the units here unless \
                 purge_on_shutdown is false, and end. A second one, half a second later or more, \
                 ends fleetd at once.",
            ),
            ("HUP", "Read the configuration again."),
            ("USR1", "Write what fleetd knows to stdout, as one line of JSON."),
        ],
    );
    page::terms(
        &mut page,
        "EXIT STATUS",
        "",
        [
            ("0", "It was told to end, or to print something."),
            (
                "1",
                "It can't start or go on, or was told to end twice: the last line of its log says \
                 why. Also when it is given words that are no flags.",
            ),
            ("2", "A flag means nothing, or lacks its value."),
        ],
    );
    page::terms(
        &mut page,
        "FILES",
        "",
        [
            ("/etc/fleet/fleet.conf", "The configuration, where there is one."),
            ("/var/run/fleet.sock", "The API."),
            ("/run/fleet/units/", "The unit files of this machine."),
            ("/run/fleet/instance/", "What fleetd remembers across its restarts."),
            ("/run/fleet-dev/", "Both of these with --dev, as root."),
        ],
    );
    page::terms(&mut page, "SEE ALSO", "fleetctl(1), fleet.unit(5), systemd(1)", []);
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_options_are_on_the_page() {
        let page = String::from_utf8(page().unwrap()).unwrap();
        // Counted by another way than table::rows() takes; fleetd's tests compare them with its own.
        let documented = CONFIGURATION.lines().filter(|line| line.starts_with("| `"));
        let documented: Vec<&str> = documented
            .flat_map(|line| line.split('|').nth(1).unwrap_or_default().split(','))
            .map(|name| name.trim().trim_matches('`'))
            .collect();
        assert!(documented.contains(&"disable_watches") && documented.contains(&"public_ip"));
        for name in documented {
            let is_term = |line: &str| {
                let term = line.strip_prefix("\\fB").and_then(|line| line.strip_suffix("\\fR"));
                term.is_some_and(|term| term.split(", ").any(|term| term == name))
            };
            assert!(page.lines().any(is_term), "{name} isn't on the page:\n{page}");
        }
    }
}
