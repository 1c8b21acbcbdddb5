//! The pages of fleetctl: one for itself, one for each command.

use clap::Command;
use clap_mangen::Man;

use crate::page;

/// All pages, by the name of their file.
pub(crate) fn all(command: &Command) -> Vec<(String, Vec<u8>)> {
    let mut command = command.clone();
    command.build();
    let mut pages = vec![("fleetctl.1".to_owned(), overview(&command))];
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let title = format!("fleetctl-{}", sub.get_name());
        // Global flags are on the page of fleetctl itself.
        let page = page::start(Man::new(sub.clone()).title(&*title));
        pages.push((format!("{title}.1"), page));
    }
    pages
}

fn overview(command: &Command) -> Vec<u8> {
    let mut page = page::start(Man::new(command.clone()));
    page::terms(
        &mut page,
        "ENVIRONMENT",
        "Every option above can be given as an environment variable: FLEETCTL_ and the option's \
         name in upper case, with underscores for hyphens. The command line wins. An empty \
         variable counts as unset; a value that can't be read ends fleetctl with exit code 2. \
         Options of commands have no variables.",
        [
            ("FLEETCTL_ENDPOINT", "for example http://198.18.0.11:49153"),
            ("FLEETCTL_REQUEST_TIMEOUT", "for example 10"),
            ("FLEETCTL_TUNNEL", "for example 198.18.0.11"),
            ("FLEETCTL_SSH_IDENTITY", "private keys, with colons between them"),
            ("SSH_AUTH_SOCK", "the agent whose keys are tried first"),
        ],
    );
    page::terms(
        &mut page,
        "EXIT STATUS",
        "",
        [
            ("0", "It is done, or there was nothing to do."),
            ("1", "The command failed; stderr says why."),
            (
                "2",
                "The command line or the environment means nothing, or asks for what was given up.",
            ),
            ("other", "Of ssh, status and journal: what the command on the machine ended with."),
            ("255", "Of ssh, status and journal: the machine could not be reached, or was lost."),
        ],
    );
    page::terms(
        &mut page,
        "FILES",
        "",
        [
            (
                "/var/run/fleet.sock",
                "The API of this machine's fleetd, where nothing else is said.",
            ),
            ("~/.fleetctl/known_hosts", "The keys of SSH hosts."),
            ("~/.ssh/config", "What SSH hosts are called, and how they are logged in to."),
        ],
    );
    page::terms(&mut page, "SEE ALSO", "fleetd(8), systemd.unit(5)", []);
    page
}
