//! A share of the machines is lost at the same moment; afterwards they are switched on again.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::Measured;
use crate::scale::{cluster::Cluster, observer::Seen, report::Figure, role::Ask};

/// See the module.
pub(super) async fn run(cluster: &mut Cluster) -> Measured {
    // The first has the engine, if it is still there: this isn't about that one.
    let mut lost: Vec<usize> = cluster.alive.iter().copied().filter(|it| *it != 0).collect();
    lost.retain(|number| *number < cluster.options.machines);
    let share = (cluster.options.machines as f64 * cluster.options.lose).round().max(1.0);
    fastrand::Rng::with_seed(cluster.options.seed).shuffle(&mut lost);
    lost.truncate(share as usize);
    let ids: BTreeSet<String> =
        lost.iter().map(|number| cluster.workload.machine(*number).id.to_string()).collect();
    let units = {
        let seen = cluster.observer.seen();
        let is_on = |machine: &Option<String>| machine.as_ref().is_some_and(|it| ids.contains(it));
        seen.units.values().filter(|unit| is_on(&unit.machine)).count()
    };
    let (before, number) = (cluster.observer.counts(), cluster.units.len());
    let began = Instant::now();
    cluster.agents.ask::<()>(&Ask::Kill(lost.clone())).await?;
    lost.iter().for_each(|number| {
        cluster.alive.remove(number);
    });
    let are_gone = |seen: &Seen| !ids.iter().any(|id| seen.machines.contains(id));
    let patience = cluster.patience();
    cluster.observer.wait_until(patience, "noticed", are_gone).await?;
    let last_gone = cluster.observer.seen().last_gone.unwrap_or(began);
    let is_over = |seen: &Seen| {
        let is_off = |machine: &Option<String>| machine.as_ref().is_none_or(|it| ids.contains(it));
        seen.counts().active == number && !seen.units.values().any(|unit| is_off(&unit.machine))
    };
    let over = cluster.observer.wait_until(patience, "running elsewhere", is_over).await?;
    let now = cluster.observer.counts();
    let counted = cluster.read().await?;
    let back = Instant::now();
    cluster.agents.ask::<()>(&Ask::Start(lost.clone())).await?;
    cluster.alive.extend(&lost);
    let machines = cluster.alive.len();
    let all = |seen: &Seen| seen.machines.len() == machines;
    let returned = cluster.observer.wait_until(patience, "back", all).await?;
    let after = cluster.read().await?;
    let extra = (now.moved - before.moved).saturating_sub(units as u64);
    Ok(vec![
        Figure::count("machines lost", lost.len()),
        Figure::count("units on them", units),
        Figure::seconds("loss to last lease gone", last_gone - began),
        Figure::seconds(
            "last lease gone to all running",
            over.saturating_duration_since(last_gone),
        ),
        Figure::count(
            "other machines that lost their lease",
            (now.gone - before.gone).saturating_sub(ids.len() as u64),
        ),
        Figure::count("units moved besides", extra),
        Figure::seconds("all of them back", returned - back),
        Figure::count("units started when they came back", after.told.starts - counted.told.starts),
    ])
}
