//! Whatever is done to them, `EtcdStore` on a real etcd and `MemoryStore` do the same: every answer,
//! every error, every revision, and what each watch tells.
//!
//! Random sequences of steps are taken on both side by side; one that ends differently is shrunk to
//! the shortest that does. Both live on from one sequence to the next: what a sequence left
//! is cleared away, and revisions are brought level, when the next begins.

use std::{cell::RefCell, env};

use proptest::test_runner::{Config, FileFailurePersistence, TestError, TestRunner};
use tokio::runtime::Builder;

mod both;
mod side;
mod step;
mod watched;

use both::Both;

/// How many sequences are taken when nobody asks for more.
const SEQUENCES: u32 = 200;
/// The variable that asks for another number of them.
const SEQUENCES_ENV: &str = "FLEET_MODEL_SEQUENCES";
/// How long a sequence that failed is shrunk at most, in milliseconds.
const SHRINKING_MS: u32 = 60_000;

#[test]
fn etcd_and_memory_do_the_same() {
    let asked = env::var(SEQUENCES_ENV).ok().map(|number| number.parse().unwrap());
    let mut runner = TestRunner::new(Config {
        cases: asked.unwrap_or(SEQUENCES),
        max_shrink_time: SHRINKING_MS,
        source_file: Some(file!()),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..Config::default()
    });
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let both = RefCell::new(runtime.block_on(Both::start()));
    let result = runner.run(&step::sequences(), |steps| {
        let mut both = both.borrow_mut();
        runtime.block_on(both.take_all(&steps))
    });
    match result {
        Ok(()) => {}
        Err(TestError::Abort(why)) => panic!("{why}"),
        Err(TestError::Fail(why, steps)) => {
            let steps: Vec<String> = steps.iter().map(|step| format!("  {step:?}")).collect();
            panic!("{why}\nafter\n{}", steps.join("\n"));
        }
    }
}
