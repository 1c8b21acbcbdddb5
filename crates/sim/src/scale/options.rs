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
    /// Sizes to be measured one after the other, such as 200x2000,1000x20000: machines x units.
    #[arg(long, value_delimiter = ',', value_parser = size)]
    pub sweep: Vec<(usize, usize)>,
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
    /// Where all figures are written to, as JSON; with several sizes a folder.
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
    /// One of these for each size, with a file for its figures.
    #[must_use]
    pub fn sizes(&self) -> Vec<Self> {
        if self.sweep.is_empty() {
            return vec![self.clone()];
        }
        let of = |(machines, units): &(usize, usize)| {
            let file = format!("{machines}x{units}.json");
            let json = self.json.as_ref().map(|folder| folder.join(file));
            Self { machines: *machines, units: *units, sweep: Vec::new(), json, ..self.clone() }
        };
        self.sweep.iter().map(of).collect()
    }

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

/// A size as `1000x20000`.
fn size(text: &str) -> Result<(usize, usize), String> {
    let number = |text: &str| text.parse::<usize>().ok();
    let size = text.split_once('x').and_then(|(m, u)| Some((number(m)?, number(u)?)));
    size.ok_or_else(|| format!("{text:?} is no size such as 1000x20000"))
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

    fn options(line: &[&str]) -> Options {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            options: Options,
        }
        let line = std::iter::once("scale").chain(line.iter().copied());
        <Line as clap::Parser>::parse_from(line).options
    }

    #[test]
    fn sizes_are_run_one_after_the_other() {
        let all = options(&["--sweep", "2x3,400x50", "--json", "out", "--seed", "7"]).sizes();
        let sizes: Vec<_> = all.iter().map(|it| (it.machines, it.units, it.seed)).collect();
        assert_eq!(sizes, [(2, 3, 7), (400, 50, 7)]);
        assert_eq!(all[1].json, Some(PathBuf::from("out/400x50.json")));
        assert_eq!(options(&[]).sizes().len(), 1);
        assert!(size("5").is_err() && size("ax3").is_err());
    }

    #[test]
    fn parts_bring_along_what_they_need() {
        let parts = |line: &[&str]| options(line).parts();
        assert_eq!(parts(&["--only", "register"]), [Part::Register]);
        assert_eq!(parts(&["--only", "lose"]), [Part::Register, Part::Place, Part::Lose]);
        assert_eq!(parts(&[]), Part::value_variants());
    }
}
