//! Fuzzing without a tool: a target is a function that takes bytes and panics when they show a fault.
//!
//! Inputs come from valid ones and from words of their language, cut, spliced, repeated and bent
//! (`fuzz/input.rs`). Each is made of its seed alone, which is the run's plus the number of inputs
//! before it, so that whatever failed is the first input of a run with its seed. The target runs on a
//! thread of its own (`fuzz/worker.rs`), so that one that never ends is found as well.
//!
//! As an ordinary test a target gets some hundred inputs, always the same. `FLEET_FUZZ_SECONDS` gives
//! it time instead, and `FLEET_FUZZ_SEED` a seed, which is another one each time otherwise.

use std::{env, fmt::Write as _, time::Duration};

use fleet_core::error_text::tame;
use tokio::time::Instant;

mod input;
mod worker;

use input::Kitchen;
use worker::{Fault, Worker};

/// The inputs of an ordinary test.
const INPUTS: u64 = 300;
/// How often a failing input is tried with a part of it left out.
const SHRINKING: usize = 5_000;
/// How long one input may take, on a machine that is busy with more than this.
const PATIENCE: Duration = Duration::from_secs(20);

/// A function to be fuzzed.
#[derive(Debug)]
pub struct Fuzz {
    name: &'static str,
    kitchen: Kitchen,
}

/// How long to go on, and where to begin.
#[derive(Clone, Copy, Debug)]
struct Plan {
    seed: u64,
    time: Option<Duration>,
    patience: Duration,
}

impl Plan {
    fn of(environment: impl Fn(&str) -> Option<String>) -> Self {
        let number = |name: &str| {
            let text = environment(name).filter(|text| !text.is_empty())?;
            Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
        };
        let time = number("FLEET_FUZZ_SECONDS").map(Duration::from_secs);
        let chance = || if time.is_some() { fastrand::u64(..) } else { 0 };
        let seed = number("FLEET_FUZZ_SEED").unwrap_or_else(chance);
        Self { seed, time, patience: PATIENCE }
    }
}

impl Fuzz {
    /// The target of this name, which is a part of the test's name.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, kitchen: Kitchen::default() }
    }

    /// Adds inputs to begin with: valid ones, and those that were faults once.
    #[must_use]
    pub fn like<T: AsRef<[u8]>>(mut self, inputs: impl IntoIterator<Item = T>) -> Self {
        self.kitchen.inputs.extend(inputs.into_iter().map(|input| input.as_ref().to_vec()));
        self
    }

    /// Adds words that mean something in such inputs.
    #[must_use]
    pub fn of_words<T: AsRef<[u8]>>(mut self, words: impl IntoIterator<Item = T>) -> Self {
        self.kitchen.words.extend(words.into_iter().map(|word| word.as_ref().to_vec()));
        self
    }

    /// Feeds the target.
    ///
    /// # Panics
    /// When it panics, or doesn't end. The text says with which input, and how to repeat it.
    pub fn run(self, target: impl Fn(&[u8]) + Send + 'static) {
        let plan = Plan::of(|name| env::var(name).ok());
        if let Err(report) = self.try_run(plan, target) {
            panic!("{report}");
        }
    }

    fn try_run(&self, plan: Plan, target: impl Fn(&[u8]) + Send + 'static) -> Result<(), String> {
        let worker = Worker::start(target, plan.patience);
        for input in &self.kitchen.inputs {
            worker.feed(input).map_err(|fault| self.report(&worker, None, input.clone(), fault))?;
        }
        let begun = Instant::now();
        for number in 0.. {
            let is_over = plan.time.map_or(number >= INPUTS, |time| begun.elapsed() >= time);
            if is_over {
                break;
            }
            let seed = plan.seed.wrapping_add(number);
            let input = self.kitchen.cook(seed);
            let fed = worker.feed(&input);
            fed.map_err(|fault| self.report(&worker, Some(seed), input, fault))?;
        }
        Ok(())
    }

    fn report(&self, worker: &Worker, seed: Option<u64>, input: Vec<u8>, fault: Fault) -> String {
        let length = input.len();
        let (input, fault) = match fault {
            Fault::Panicked(_) => shrink(worker, input, fault),
            Fault::Stuck(_) => (input, fault),
        };
        let Self { name, .. } = self;
        let mut text = format!("{name}: {fault}\n");
        let escaped = input.escape_ascii();
        let _ = writeln!(text, "input ({} of {length} bytes): b\"{escaped}\"", input.len());
        let _ = match seed {
            Some(seed) => writeln!(text, "again: ./test.sh fuzz --seed {seed} {name}"),
            None => writeln!(text, "it is among those to begin with"),
        };
        text
    }
}

/// Leaves out halves, quarters and so on, as long as what remains fails, in whatever way.
fn shrink(worker: &Worker, mut input: Vec<u8>, mut fault: Fault) -> (Vec<u8>, Fault) {
    let mut tries = 0;
    let mut size = input.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < input.len() && tries < SHRINKING {
            tries += 1;
            let mut shorter = input.clone();
            shorter.drain(at..input.len().min(at + size));
            match worker.feed(&shorter) {
                Ok(()) => at += size,
                Err(stuck @ Fault::Stuck(_)) => return (shorter, stuck),
                Err(panicked) => (input, fault) = (shorter, panicked),
            }
        }
        size /= 2;
    }
    (input, fault)
}

/// Checks that an error says something, also to whoever shows only what can't do harm.
///
/// # Panics
/// When it doesn't.
pub fn assert_words(text: &str) {
    assert!(!tame(text).trim().is_empty(), "an error without words: {text:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(seed: u64) -> Plan {
        Plan { seed, time: None, patience: Duration::from_secs(20) }
    }

    fn letters() -> Fuzz {
        Fuzz::new("letters").like(["one two three", "four five"]).of_words(["x", "\n"])
    }

    fn no_x_before_a_line(input: &[u8]) {
        let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(0);
        assert!(!input[..end].contains(&b'x'), "an x");
    }

    #[test]
    fn a_fault_is_found_shrunk_and_found_again_by_its_seed() {
        let report = letters().try_run(plan(1), no_x_before_a_line).unwrap_err();
        assert!(report.contains("input (2 of ") && report.contains(r#"b"x\n""#), "{report}");
        assert!(report.contains("an x") && report.contains("fuzz.rs"), "{report}");
        let seed = report.split("--seed ").nth(1).unwrap();
        let seed = seed.split(' ').next().unwrap().parse().unwrap();
        no_x_panics(&letters().kitchen.cook(seed));
    }

    fn no_x_panics(input: &[u8]) {
        let end = input.iter().position(|byte| *byte == b'\n').unwrap();
        assert!(input[..end].contains(&b'x'), "another input: {}", input.escape_ascii());
    }

    #[test]
    fn what_is_well_is_fed_all_there_is() {
        let (fed, count) = std::sync::mpsc::channel();
        letters().try_run(plan(1), move |_| fed.send(()).unwrap()).unwrap();
        assert_eq!(count.iter().count() as u64, INPUTS + 2);
    }

    #[test]
    fn an_input_without_end_is_found() {
        let plan = Plan { patience: Duration::from_millis(50), ..plan(1) };
        let (_held, never) = std::sync::mpsc::channel::<()>();
        let endless = move |input: &[u8]| {
            if input.starts_with(b"four") {
                let _ = never.recv();
            }
        };
        let report = letters().try_run(plan, endless).unwrap_err();
        assert!(report.contains("not done after 50ms") && report.contains("four five"), "{report}");
    }

    #[test]
    fn the_environment_gives_time_and_seed() {
        let plan = Plan::of(|_| None);
        assert_eq!((plan.seed, plan.time), (0, None));
        let plan = Plan::of(|name| (name == "FLEET_FUZZ_SECONDS").then(|| "7".to_owned()));
        assert_eq!(plan.time, Some(Duration::from_secs(7)));
        let plan = Plan::of(|name| (name == "FLEET_FUZZ_SEED").then(|| "9".to_owned()));
        assert_eq!(plan.seed, 9);
    }
}
