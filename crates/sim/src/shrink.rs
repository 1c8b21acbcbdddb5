//! Makes a plan that fails as short as it goes.

use crate::plan::{Plan, Step};

/// Leaves out whatever isn't needed for `fails` to hold, within so many attempts.
#[must_use]
pub fn shrink(plan: &Plan, attempts: usize, mut fails: impl FnMut(&Plan) -> bool) -> Plan {
    let (mut plan, mut left) = (plan.clone(), attempts);
    let mut try_it = |candidate: &Plan| {
        if left == 0 {
            return false;
        }
        left -= 1;
        fails(candidate)
    };
    // Later episodes first: what broke is often in the one before the last.
    while plan.episodes.len() > 1 {
        let mut shorter = plan.clone();
        shorter.episodes.pop();
        if !try_it(&shorter) {
            break;
        }
        plan = shorter;
    }
    let mut size = plan.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        while start < plan.len() {
            let shorter = without(&plan, start, size);
            if try_it(&shorter) {
                plan = shorter;
            } else {
                start += size;
            }
        }
        size /= 2;
    }
    plan
}

/// A plan without some steps.
fn without(plan: &Plan, start: usize, count: usize) -> Plan {
    let mut number = 0;
    let mut keep = |_: &Step| {
        let kept = number < start || number >= start + count;
        number += 1;
        kept
    };
    let episodes =
        plan.episodes.iter().map(|steps| steps.iter().filter(|step| keep(step)).cloned().collect());
    Plan { episodes: episodes.collect(), ..plan.clone() }
}
