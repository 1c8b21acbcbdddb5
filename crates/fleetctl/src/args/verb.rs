//! The commands.

use clap::Command;

use super::{flags, words};
use crate::commands;

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
        let base = words::base(self.name()).arg(flags::positionals());
        flags::global(match self {
            Self::Cat => commands::cat::describe(base),
            Self::Destroy => commands::destroy::describe(base),
            Self::FdForward => commands::fd_forward::describe(base),
            Self::Help => commands::help::describe(base),
            Self::Journal => commands::journal::describe(base),
            Self::ListMachines => commands::list_machines::describe(base),
            Self::ListUnitFiles => commands::list_unit_files::describe(base),
            Self::ListUnits => commands::list_units::describe(base),
            Self::Load => commands::load::describe(base),
            Self::Restart => commands::restart::describe(base),
            Self::Ssh => commands::ssh::describe(base),
            Self::Start => commands::start::describe(base),
            Self::Status => commands::status::describe(base),
            Self::Stop => commands::stop::describe(base),
            Self::Submit => commands::submit::describe(base),
            Self::Unload => commands::unload::describe(base),
            Self::Verify => commands::verify::describe(base),
            Self::Version => commands::version::describe(base),
        })
    }
}
