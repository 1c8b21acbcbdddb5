//! That the chaos (`./test.sh chaos`) finds what it looks for: a unit that is restarted behind
//! fleet's back counts as one that was restarted without a reason.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use fleet_functional::{
    Lab,
    chaos::{self, Options},
};

/// Nobody asks for anything else about it, in round 0 of the seed.
const UNIT: &str = "c-plain-0.service";
const CALM: Options =
    Options { seed: 0, limit: Duration::from_secs(1), is_calm: true, is_loud: false };

/// How often it is restarted: systemd takes five starts within ten seconds.
const PACE: Duration = Duration::from_secs(4);

/// Restarts it by hand wherever it runs, until told otherwise.
fn meddle(lab: &Lab, is_over: &AtomicBool) -> Result<()> {
    while !is_over.load(Ordering::Relaxed) {
        for host in lab.hosts().iter().filter(|host| host.active(UNIT).is_ok()) {
            host.run(&["systemctl", "restart", UNIT])?;
        }
        thread::sleep(PACE);
    }
    Ok(())
}

#[test]
fn a_unit_that_is_restarted_behind_fleets_back_is_noticed() -> Result<()> {
    chaos::lab().story(|lab| {
        let is_over = AtomicBool::new(false);
        let judged = thread::scope(|scope| {
            let meddler = scope.spawn(|| meddle(lab, &is_over));
            let judged = chaos::run(lab, CALM);
            is_over.store(true, Ordering::Relaxed);
            meddler.join().map_err(|_| anyhow!("it panicked"))??;
            anyhow::Ok(judged)
        })?;
        let error = judged.err().context("it wasn't noticed")?;
        let error = format!("{error:#}");
        let told = |line: &str| line.contains(UNIT) && line.contains("without a reason");
        assert!(error.lines().any(told), "{error}");
        Ok(())
    })
}
