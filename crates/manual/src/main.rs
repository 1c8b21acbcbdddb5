//! Writes the manual into a folder: `cargo run --release --locked -p fleet-manual -- OUTDIR`.
//!
//! `OUTDIR/man1/fleetctl*.1` and the completions are made of the definitions that fleetctl parses
//! with. fleetd's are hand-written (it speaks Go's flag syntax), and so are those in
//! [`fleetd`](mod@fleetd) and [`unit`](mod@unit); their options come out of `docs/`.

use std::{
    env, fs,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use clap::Command;
use clap_complete::Shell;

mod fleetctl_page;
mod fleetd;
mod page;
mod table;
mod unit;

/// Why there is no manual.
#[derive(Debug, thiserror::Error)]
enum ManualError {
    /// A file can't be written.
    #[error("can't write {0}: {1}")]
    Write(String, io::Error),
    /// The list of options isn't where it was.
    #[error("{0} has no table of options")]
    NoTable(&'static str),
}

fn main() -> ExitCode {
    let mut words = env::args_os().skip(1);
    let (Some(folder), None) = (words.next(), words.next()) else {
        return complain("usage: fleet-manual OUTDIR");
    };
    match write(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error.to_string()),
    }
}

fn complain(text: &str) -> ExitCode {
    // Nobody is left to tell when that fails.
    let _ = writeln!(io::stderr(), "{text}");
    ExitCode::FAILURE
}

/// Writes everything into `folder`.
fn write(folder: &Path) -> Result<(), ManualError> {
    for (name, text) in fleetctl_page::all(&fleetctl::command()) {
        put(&folder.join("man1").join(name), &text)?;
    }
    put(&folder.join("man8/fleetd.8"), &fleetd::page()?)?;
    put(&folder.join("man5/fleet.unit.5"), &unit::page()?)?;
    for mut command in [fleetctl::command(), fleetd::command()] {
        let name = command.get_name().to_owned();
        for (shell, file) in [
            (Shell::Bash, format!("bash/{name}")),
            (Shell::Zsh, format!("zsh/_{name}")),
            (Shell::Fish, format!("fish/{name}.fish")),
        ] {
            let text = completion(shell, &mut command, &name);
            put(&folder.join("completions").join(file), &text)?;
        }
    }
    Ok(())
}

fn completion(shell: Shell, command: &mut Command, name: &str) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, command, name, &mut text);
    text
}

fn put(path: &Path, text: &[u8]) -> Result<(), ManualError> {
    let failed = |error| ManualError::Write(path.display().to_string(), error);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, text).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_where_packages_expect_it() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        for (name, parts) in [
            (
                "man1/fleetctl.1",
                &[
                    ".TH fleetctl 1 2026-",
                    "endpoint",
                    "FLEETCTL_ENDPOINT",
                    "list\\-units",
                    "EXIT STATUS",
                    "Verify the keys of SSH hosts (default true)",
                ][..],
            ),
            (
                "man1/fleetctl-start.1",
                &["\\-\\-no\\-warn] UNIT...\n", "no\\-block", ".nf\nfleetctl start"],
            ),
            ("man8/fleetd.8", &["config", "dev", "etcd_servers", "FLEET_", "SIGNALS"]),
            ("man5/fleet.unit.5", &["X\\-Fleet", "MachineMetadata", "web@"]),
            ("completions/bash/fleetctl", &["list-units", "--block-attempts", "complete -F"]),
            ("completions/zsh/_fleetctl", &["#compdef fleetctl", "list-units"]),
            ("completions/fish/fleetctl.fish", &["complete -c fleetctl", "block-attempts"]),
            ("completions/bash/fleetd", &["--config"]),
        ] {
            let text = read(name);
            for part in parts {
                assert!(text.contains(part), "{name} lacks {part}:\n{text}");
            }
        }
        assert!(!folder.path().join("man1/fleetctl-verify.1").exists());
    }
}
