//! `fleetctl journal` (`ssh.md` 7.3).

use clap::{ArgMatches, Command};
use fleet_schema::UnitState;

use crate::{
    cluster::session::Session,
    error::CliError,
    flags,
    hosts::{Hosts, Trouble, program::Program},
    legend::{self, Width},
    units::{name::UnitArg, unit},
};

/// How many lines there are, unless something else is said.
const LINES: &str = "10";

pub(crate) fn describe(command: Command) -> Command {
    command
        .about("Print the journal of a unit in the cluster to stdout")
        .override_usage(
            "journal [--lines=N] [--ssh-port=N] [-f|--follow] [--output=STRING] [--machine=ID] [--sudo] <unit>",
        )
        .long_about(
            "Print what journalctl says of a unit on its machine: over SSH, or directly when that is\n\
             this machine. The exit code is journalctl's.\n\
             \n\
             A unit that runs on all machines has a block for each, headed by the machine, unless\n\
             --machine picks one. Following such a unit needs --machine when several have it.\n\
             \n\
             Follow the journal of a unit:\n\
             \tfleetctl journal -f foo.service",
        )
        .args([
            flags::int("lines", "Number of recent lines to print").default_value(LINES),
            flags::short_flag("follow", 'f', "Go on printing lines as they come"),
            flags::ssh_port(),
            flags::flag("sudo", "Run journalctl with sudo"),
            flags::text("output", "Output mode, passed to journalctl as it is").default_value("short"),
            flags::text("machine", "Print the journal of the machine whose id begins with this"),
        ])
}

pub(crate) async fn run(matches: &ArgMatches, session: &Session<'_>) -> Result<(), CliError> {
    let words = flags::words(matches);
    let [word] = &*words else {
        return Err(CliError::failed("One unit file must be provided."));
    };
    let UnitArg { name, .. } = UnitArg::new(word)?;
    let known = session
        .api
        .unit(&name)
        .await
        .map_err(|error| CliError::Failed(format!("Error retrieving unit {name}: {error}")))?;
    let known = known.ok_or_else(|| CliError::Failed(format!("Unit {name} does not exist.")))?;
    let hosts = Hosts::new(session, flags::given_ssh_port(matches));
    let program = journalctl(matches, &name);
    let wanted = flags::machine(matches);
    if unit::is_global(&known) {
        let machines = machines_of(session, &name, wanted).await?;
        if matches.get_flag("follow") && machines.len() > 1 {
            return Err(CliError::Failed(format!(
                "Unable to follow several machines: pick one with --machine: {}",
                list(&machines)
            )));
        }
        return on_machines(session, &hosts, &program, &machines, wanted.is_none()).await;
    }
    if known.current_state == "inactive" {
        return Err(CliError::Failed(format!("Unit {name} does not appear to be running.")));
    }
    if let Some(wanted) = wanted.filter(|wanted| !known.machine_id.starts_with(wanted)) {
        let text = format!("Unit {name} is not on a machine whose id begins with {wanted}.");
        return Err(CliError::Failed(text));
    }
    CliError::ended(on_machine(session, &hosts, &program, &known.machine_id, None).await?)
}

/// The machines that a global unit's journal is printed of.
async fn machines_of(
    session: &Session<'_>,
    name: &str,
    wanted: Option<&str>,
) -> Result<Vec<String>, CliError> {
    let failed = |why: &str| {
        CliError::Failed(format!("Unable to retrieve journal of global unit {name}: {why}"))
    };
    let states = session.api.states_of(name, None).await;
    let states = states.map_err(|error| failed(&error.to_string()))?;
    let id = |state: UnitState| state.machine_id;
    let mut machines: Vec<String> = states.into_iter().map(id).collect();
    machines.sort();
    let Some(wanted) = wanted else {
        return match &*machines {
            [] => Err(failed("no machine reports a state.")),
            _ => Ok(machines),
        };
    };
    machines.retain(|machine| machine.starts_with(wanted));
    match &*machines {
        [] => Err(failed(&format!("no machine whose id begins with {wanted} reports a state."))),
        [_] => Ok(machines),
        several => Err(failed(&format!("several machines begin with {wanted}: {}", list(several)))),
    }
}

/// A block for each machine. Fails with the first code that isn't 0.
async fn on_machines(
    session: &Session<'_>,
    hosts: &Hosts<'_>,
    program: &Program,
    machines: &[String],
    headed: bool,
) -> Result<(), CliError> {
    let mut first = 0;
    for (place, machine) in machines.iter().enumerate() {
        let legend = if headed { Some(hosts.legend(machine).await) } else { None };
        if let Some(legend) = &legend {
            let gap = if place > 0 { "\n" } else { "" };
            session.ui.out(format_args!("{gap}==> {legend} <=="))?;
        }
        let legend = legend.as_deref();
        let code = on_machine(session, hosts, program, machine, legend).await?;
        first = if first == 0 { code } else { first };
    }
    CliError::ended(first)
}

/// Runs `program` on a machine. Trouble is told, with the legend of the machine in front if there
/// is one, and becomes an exit code.
async fn on_machine(
    session: &Session<'_>,
    hosts: &Hosts<'_>,
    program: &Program,
    machine: &str,
    legend: Option<&str>,
) -> Result<u8, CliError> {
    match hosts.run(machine, program).await {
        Ok(code) => Ok(code),
        Err(Trouble::Failed(text, code)) => {
            let whose = legend.map(|legend| format!("{legend}: ")).unwrap_or_default();
            session.ui.err(format_args!("{whose}{text}"));
            Ok(code)
        }
        Err(Trouble::Stopped(code)) => Err(CliError::Ended(code)),
    }
}

/// What is run on the machine; `-f` comes last. The name is the value of `--unit`, so that it is no
/// option itself, whatever it begins with.
fn journalctl(matches: &ArgMatches, name: &str) -> Program {
    let lines: i64 = matches.get_one("lines").copied().unwrap_or_default();
    let output = matches.get_one::<String>("output").cloned().unwrap_or_default();
    let words = ["--unit", name, "--no-pager", "-n", &lines.to_string(), "--output", &output];
    let mut arguments: Vec<String> = words.map(str::to_owned).into();
    if matches.get_flag("follow") {
        arguments.push("-f".to_owned());
    }
    if !matches.get_flag("sudo") {
        return Program { name: "journalctl", arguments };
    }
    arguments.insert(0, "journalctl".to_owned());
    Program { name: "sudo", arguments }
}

fn list(machines: &[String]) -> String {
    let short: Vec<String> = machines.iter().map(|id| legend::id(id, Width::Short)).collect();
    short.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::Verb;

    #[test]
    fn flags_become_journalctls_arguments() {
        for (words, command) in [
            (
                &["j1"][..],
                r#"journalctl "--unit" "j1.service" "--no-pager" "-n" "10" "--output" "short""#,
            ),
            (
                &["--sudo", "--follow", "--lines=5", "--output=cat", "j1"],
                r#"sudo "journalctl" "--unit" "j1.service" "--no-pager" "-n" "5" "--output" "cat" "-f""#,
            ),
            (
                &["-f", "--lines", "-1", "--output", "$(id)", "j1"],
                r#"journalctl "--unit" "j1.service" "--no-pager" "-n" "-1" "--output" '$(id)' "-f""#,
            ),
            (
                &["--", "-Hroot@evil"],
                r#"journalctl "--unit" "-Hroot@evil.service" "--no-pager" "-n" "10" "--output" "short""#,
            ),
            (
                &["--f", "--lines=0x10", "j1"],
                r#"journalctl "--unit" "j1.service" "--no-pager" "-n" "16" "--output" "short" "-f""#,
            ),
        ] {
            let matches = Verb::Journal.command().try_get_matches_from(words).unwrap();
            let unit = format!("{}.service", words[words.len() - 1]);
            assert_eq!(journalctl(&matches, &unit).for_shell(), command, "{words:?}");
        }
    }
}
