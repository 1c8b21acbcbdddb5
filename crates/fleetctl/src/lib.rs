//! fleetctl, as a library so that its manual can be made of it.
//!
//! [`main`] reads the words and the environment, runs the command, prints what went wrong and
//! turns it into the exit code. `args` says what the words mean, `commands` has the table of commands and one file a command,
//! and all that commands know of a cluster is the client of its API.

mod app;
mod args;
mod cluster;
mod commands;
mod config;
mod error;
mod flags;
mod hosts;
mod legend;
mod log;
mod render;
mod ssh;
mod ui;
mod units;

use std::{env, process::ExitCode};

pub use args::command;
use ui::Ui;

/// Does what the process was called to do.
#[must_use]
pub fn main() -> ExitCode {
    let words = env::args_os().skip(1).collect();
    let environment = |name: &str| env::var_os(name).map(|text| text.to_string_lossy().into());
    let ui = Ui::standard();
    match app::run(words, &environment, &ui) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(text) = error.text() {
                ui.err(text);
            }
            error.code().into()
        }
    }
}
