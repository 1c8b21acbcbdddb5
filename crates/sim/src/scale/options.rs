//! What is asked for on the command line.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// Runs a large cluster in real time on a real etcd, and measures it.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Machines.
    #[arg(long, default_value_t = 1_000)]
    pub machines: usize,
    /// Units.
    #[arg(long, default_value_t = 20_000)]
    pub units: usize,
    /// What units and machines are like is drawn from it.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Parts to be measured besides those that they need; without it all are.
    #[arg(long, value_delimiter = ',', value_enum)]
    pub only: Vec<Part>,
    /// Units that are destroyed, while as many others are submitted.
    #[arg(long, default_value_t = 1_000)]
    pub churn: usize,
    /// The share of machines that is lost, such as 10%.
    #[arg(long, default_value = "10%", value_parser = share)]
    pub lose: f64,
    /// Units that are replaced, some at a time.
    #[arg(long, default_value_t = 1_000)]
    pub roll: usize,
    /// For how many seconds nothing is done.
    #[arg(long, default_value_t = 60)]
    pub idle: u64,
    /// For how many seconds etcd is away.
    #[arg(long, default_value_t = 15)]
    pub outage: u64,
    /// Requests that are on their way at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub in_flight: u16,
    /// `agent_ttl`, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub ttl: u64,
    /// For how many seconds a part may go on.
    #[arg(long, default_value_t = 600)]
    pub patience: u64,
    /// The fleetctl to ask with; without it the one beside this program, if there is one.
    #[arg(long)]
    pub fleetctl: Option<PathBuf>,
    /// Where all figures are written to, as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// The folder for plots.
    #[arg(long)]
    pub plot: Option<PathBuf>,
    /// Figures of earlier runs: they are plotted, and nothing is run.
    #[arg(requires = "plot")]
    pub runs: Vec<PathBuf>,
}

/// What is measured, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// All machines register at the same moment.
    Register,
    /// All units are submitted, placed and started.
    Place,
    /// Pages and lists.
    Lists,
    /// One unit more.
    One,
    /// Nothing happens.
    Idle,
    /// Units go, and others come.
    Churn,
    /// Units are replaced.
    Roll,
    /// Machines are lost at once.
    Lose,
    /// The fleetd that leads is killed.
    Leader,
    /// Etcd is away for a while.
    Outage,
}

impl Part {
    /// Its name.
    #[must_use]
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

impl Options {
    /// The parts that are asked for, with those that they need, in order.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        let is_needed = |part: Part| match part {
            Part::Register => true,
            Part::Place => self.only != [Part::Register],
            part => self.only.contains(&part),
        };
        let all = Part::value_variants().iter().copied();
        all.filter(|part| self.only.is_empty() || is_needed(*part)).collect()
    }
}

/// A share as `10%` or `0.1`.
fn share(text: &str) -> Result<f64, String> {
    let (number, of) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let number: f64 = number.trim().parse().map_err(|_| format!("{text:?} is no share"))?;
    let share = number / of;
    if (0.0..=0.5).contains(&share) {
        Ok(share)
    } else {
        Err("at most half can be lost".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percentages_or_fractions() {
        assert_eq!(share("10%"), Ok(0.1));
        assert_eq!(share("0.25"), Ok(0.25));
        assert!(share("x").is_err() && share("60%").is_err() && share("-1").is_err());
    }

    #[test]
    fn parts_bring_along_what_they_need() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            options: Options,
        }
        let parts = |line: &[&str]| {
            let line = std::iter::once("scale").chain(line.iter().copied());
            <Line as clap::Parser>::parse_from(line).options.parts()
        };
        assert_eq!(parts(&["--only", "register"]), [Part::Register]);
        assert_eq!(parts(&["--only", "lose"]), [Part::Register, Part::Place, Part::Lose]);
        assert_eq!(parts(&[]), Part::value_variants());
    }
}
