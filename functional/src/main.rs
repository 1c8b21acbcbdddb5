//! `lab`: a cluster to try things on by hand.

use std::fs;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::slice;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use fleet_functional::{Etcd, Lab};

/// Brings up a cluster of real hosts on this machine, as root, and plays with it.
#[derive(Debug, Parser)]
struct Args {
    /// Name of the lab, for when there are several
    #[arg(long, global = true, default_value = "main", value_parser = name)]
    name: String,
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Boot N hosts with fleet, and etcd
    Up {
        /// Number of hosts
        #[arg(value_name = "N")]
        hosts: u8,
        /// Number of etcd's members
        #[arg(long, value_name = "N", default_value_t = 1)]
        etcd: u8,
        /// Line for fleet.conf on every host, such as agent_ttl=10s
        #[arg(long = "conf", value_name = "LINE")]
        config: Vec<String>,
        /// Folder to take fleetd and fleetctl from, instead of the release build
        #[arg(long, value_name = "FOLDER")]
        binaries: Option<PathBuf>,
        /// Release of Debian to make hosts and etcd of, such as trixie, instead of the machine's
        #[arg(long, value_name = "NAME")]
        release: Option<String>,
        /// Boot bare hosts, without fleet
        #[arg(long)]
        without_fleet: bool,
        /// Stay until Enter or the end of input, then take the lab down
        #[arg(long)]
        foreground: bool,
    },
    /// Run a command in host I, or a shell
    Sh {
        /// Number of the host, from 1
        #[arg(value_name = "I")]
        host: usize,
        /// Command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Run a command in the lab's network, outside its hosts
    Net {
        /// Command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Run a command, or a shell, on a laptop that reaches only the first host and has its key
    Laptop {
        /// Command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Cut the power of host I
    Kill {
        /// Number of the host, from 1
        #[arg(value_name = "I")]
        host: usize,
    },
    /// Boot host I again
    Boot {
        /// Number of the host, from 1
        #[arg(value_name = "I")]
        host: usize,
    },
    /// Cut host I off from etcd
    Partition {
        /// Number of the host, from 1
        #[arg(value_name = "I")]
        host: usize,
    },
    /// Let host I reach etcd again
    Heal {
        /// Number of the host, from 1
        #[arg(value_name = "I")]
        host: usize,
    },
    /// Stop, start, freeze, thaw or kill etcd, or cut a member off from the others
    Etcd {
        /// What to do with it
        action: EtcdAction,
        /// Number of the member, from 1; all of them without it
        #[arg(value_name = "I")]
        member: Option<usize>,
    },
    /// Show the hosts and where everything is
    Status,
    /// Show the end of every log
    Logs,
    /// Take the lab down and remove all of it
    Down,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum EtcdAction {
    Stop,
    Start,
    Freeze,
    Thaw,
    Kill,
    Partition,
    Heal,
}

/// A name becomes part of a folder's name, so it is one word.
fn name(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        Ok(text.to_owned())
    } else {
        Err("only letters, digits and dashes".to_owned())
    }
}

#[expect(clippy::print_stderr, reason = "the one place where errors come out")]
fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<()> {
    let folder = PathBuf::from(format!("/var/tmp/fleet-lab-{}", args.name));
    let open = || Lab::open(&folder);
    match args.command {
        Verb::Up { hosts, etcd, config, binaries, release, without_fleet, foreground } => {
            let mut builder = Lab::with_hosts(hosts).etcd(etcd).folder(&folder);
            if !foreground {
                builder = builder.detached();
            }
            for line in config {
                builder = builder.config(&line);
            }
            if let Some(binaries) = binaries {
                builder = builder.binaries(&binaries);
            }
            if let Some(release) = release {
                builder = builder.release(&release);
            }
            if without_fleet {
                builder = builder.without_fleet();
            }
            let lab = builder.up()?;
            status(&lab)?;
            if foreground {
                io::stdin().read_line(&mut String::new())?;
            }
            Ok(())
        }
        Verb::Sh { host, command } => {
            let (program, rest) = or_shell(&command);
            replace(open()?.host(host)?.command(program)?.args(rest))
        }
        Verb::Laptop { command } => {
            let (program, rest) = or_shell(&command);
            let lab = open()?;
            let laptop = lab.laptop(lab.host(1)?)?;
            laptop.write(".ssh/id_ed25519", &fs::read_to_string(lab.folder().join("id"))?)?;
            replace(laptop.command(program).args(rest))
        }
        Verb::Net { command } => {
            let (program, rest) = command.split_first().context("no command")?;
            replace(open()?.command(program).args(rest))
        }
        Verb::Kill { host } => open()?.host(host)?.power_cut(),
        Verb::Boot { host } => {
            let lab = open()?;
            lab.host(host)?.boot()?;
            lab.host(host)?.wait_ready()
        }
        Verb::Partition { host } => open()?.host(host)?.partition(),
        Verb::Heal { host } => open()?.host(host)?.heal(),
        Verb::Etcd { action, member } => etcd(open()?.etcd(), action, member),
        Verb::Status => status(&open()?),
        Verb::Logs => Ok(writeln!(io::stdout(), "{}", open()?.report())?),
        Verb::Down => match open() {
            Ok(lab) => lab.down(),
            // One that has ended, with the machine perhaps, has only left its folder.
            Err(_) if folder.join("lab.json").exists() => Ok(fs::remove_dir_all(&folder)?),
            Err(error) => Err(error),
        },
    }
}

fn etcd(etcd: &Etcd, action: EtcdAction, member: Option<usize>) -> Result<()> {
    let members = match member {
        Some(i) => slice::from_ref(etcd.member(i)?),
        None => etcd.members(),
    };
    members.iter().try_for_each(|member| match action {
        EtcdAction::Stop => member.stop(),
        EtcdAction::Start => member.start(),
        EtcdAction::Freeze => member.freeze(),
        EtcdAction::Thaw => member.thaw(),
        EtcdAction::Kill => member.kill(),
        EtcdAction::Partition => member.partition(),
        EtcdAction::Heal => member.heal(),
    })?;
    match (action, member) {
        (EtcdAction::Start, None) => etcd.wait_healthy(),
        _ => Ok(()),
    }
}

/// The program and its arguments; a shell when there is none.
fn or_shell(command: &[String]) -> (&str, &[String]) {
    command.split_first().map_or(("bash", &[]), |(program, rest)| (program, rest))
}

/// Becomes `command`; returns only when that fails.
fn replace(command: &mut Command) -> Result<()> {
    let error = command.exec();
    Err(error).with_context(|| format!("cannot run {command:?}"))
}

fn status(lab: &Lab) -> Result<()> {
    let mut out = io::stdout().lock();
    for host in lab.hosts() {
        let state = if host.is_running() { "running" } else { "down" };
        writeln!(out, "{}\t{}\t{}\t{state}", host.name(), host.address(), host.machine_id())?;
    }
    for member in lab.etcd().members() {
        let state = match member.process() {
            None => "down",
            Some(_) if lab.etcd().members().len() == 1 => "running",
            Some(_) => member.leads().map_or("running, silent", |leads| {
                if leads { "running, leads" } else { "running" }
            }),
        };
        writeln!(out, "{}\t{}\t{state}", member.name(), member.url())?;
    }
    if let Some(release) = lab.release() {
        writeln!(out, "release\t{release}")?;
    }
    writeln!(out, "all of it is in {}", lab.folder().display())?;
    Ok(())
}
