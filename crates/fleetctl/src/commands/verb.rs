//! The table of commands.

use clap::Command;

use super::{
    cat, destroy, fd_forward, help, journal, list_machines, list_unit_files, list_units, load,
    restart, ssh, start, status, stop, submit, unload, verify, version,
};
use crate::flags;

/// A command, by the word that calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Cat,
    Destroy,
    FdForward,
    Help,
    Journal,
    ListMachines,
    ListUnitFiles,
    ListUnits,
    Load,
    Restart,
    Ssh,
    Start,
    Status,
    Stop,
    Submit,
    Unload,
    Verify,
    Version,
}

impl Verb {
    /// All commands, in alphabetical order.
    pub(crate) const ALL: [Self; 18] = [
        Self::Cat,
        Self::Destroy,
        Self::FdForward,
        Self::Help,
        Self::Journal,
        Self::ListMachines,
        Self::ListUnitFiles,
        Self::ListUnits,
        Self::Load,
        Self::Restart,
        Self::Ssh,
        Self::Start,
        Self::Status,
        Self::Stop,
        Self::Submit,
        Self::Unload,
        Self::Verify,
        Self::Version,
    ];

    /// The word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cat => "cat",
            Self::Destroy => "destroy",
            Self::FdForward => "fd-forward",
            Self::Help => "help",
            Self::Journal => "journal",
            Self::ListMachines => "list-machines",
            Self::ListUnitFiles => "list-unit-files",
            Self::ListUnits => "list-units",
            Self::Load => "load",
            Self::Restart => "restart",
            Self::Ssh => "ssh",
            Self::Start => "start",
            Self::Status => "status",
            Self::Stop => "stop",
            Self::Submit => "submit",
            Self::Unload => "unload",
            Self::Verify => "verify",
            Self::Version => "version",
        }
    }

    /// Whether it is suggested to somebody who misspelt it.
    pub(crate) fn is_suggested(self) -> bool {
        !matches!(self, Self::Help | Self::Verify)
    }

    /// Whether it works over SSH, also without a tunnel.
    pub(crate) fn uses_ssh(self) -> bool {
        matches!(self, Self::Journal | Self::Ssh | Self::Status)
    }

    /// Whether its operands may be files.
    pub(crate) fn reads_files(self) -> bool {
        matches!(self, Self::Submit | Self::Load | Self::Start | Self::FdForward)
    }

    /// What clap has to know of it: flags, summary, usage and description.
    pub(crate) fn command(self) -> Command {
        let base = flags::base(self.name()).arg(flags::positionals());
        flags::global(match self {
            Self::Cat => cat::describe(base),
            Self::Destroy => destroy::describe(base),
            Self::FdForward => fd_forward::describe(base),
            Self::Help => help::describe(base),
            Self::Journal => journal::describe(base),
            Self::ListMachines => list_machines::describe(base),
            Self::ListUnitFiles => list_unit_files::describe(base),
            Self::ListUnits => list_units::describe(base),
            Self::Load => load::describe(base),
            Self::Restart => restart::describe(base),
            Self::Ssh => ssh::describe(base),
            Self::Start => start::describe(base),
            Self::Status => status::describe(base),
            Self::Stop => stop::describe(base),
            Self::Submit => submit::describe(base),
            Self::Unload => unload::describe(base),
            Self::Verify => verify::describe(base),
            Self::Version => version::describe(base),
        })
    }
}
