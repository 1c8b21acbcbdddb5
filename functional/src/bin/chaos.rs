//! `chaos`: breaks a lab for real, again and again, and judges what becomes of it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use fleet_functional::chaos::{self, Options, Report};

/// Breaks five hosts and three members of etcd for real, as a seed has it, and judges what becomes
/// of the units
#[derive(Debug, Parser)]
struct Args {
    /// What chance begins with; the day's number without it
    #[arg(long, value_name = "S", env = "FLEET_CHAOS_SEED")]
    seed: Option<u64>,
    /// For how many minutes
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    minutes: f64,
    /// Let nothing go wrong: users only
    #[arg(long)]
    calm: bool,
    /// Tell what happens while it does
    #[arg(long)]
    trace: bool,
    /// Folder to take fleetd and fleetctl from, instead of the release build
    #[arg(long, value_name = "FOLDER")]
    binaries: Option<PathBuf>,
}

#[expect(clippy::print_stderr, reason = "the one place where errors come out")]
fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "what was done, for people")]
fn run(args: &Args) -> Result<()> {
    let seed = args.seed.map_or_else(of_the_day, Ok)?;
    let limit = Duration::try_from_secs_f64(args.minutes * 60.0).context("--minutes")?;
    println!("seed {seed}; the same again: --seed {seed} --minutes {}", args.minutes);
    let lab = args.binaries.iter().fold(chaos::lab(), |lab, folder| lab.binaries(folder));
    let mut report = None;
    let story = lab.story(|lab| {
        let options = Options { seed, limit, is_calm: args.calm, is_loud: args.trace };
        report = Some(chaos::run(lab, options)?);
        Ok(())
    });
    story.with_context(|| format!("seed {seed} is broken"))?;
    if let Some(Report { rounds, longest_rest, counts }) = report {
        println!(
            "{rounds} rounds; all was at rest after {:.0} s at most",
            longest_rest.as_secs_f64()
        );
        counts.iter().for_each(|(what, times)| println!("{times:6} {what}"));
    }
    Ok(())
}

/// Today's number, such as 20261130.
fn of_the_day() -> Result<u64> {
    let output = std::process::Command::new("date").arg("+%Y%m%d").output()?;
    String::from_utf8(output.stdout)?.trim().parse().context("what `date` says")
}
