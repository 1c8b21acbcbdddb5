//! All machines register at the same moment, in an empty cluster.

use tokio::time::Instant;

use super::Measured;
use crate::scale::{cluster::Cluster, report::Figure, role::Ask};

/// See the module.
pub(super) async fn run(cluster: &mut Cluster) -> Measured {
    let machines = cluster.options.machines;
    let before = cluster.observer.counts();
    let began = Instant::now();
    let others: Vec<usize> = (1..machines).collect();
    cluster.agents.ask::<()>(&Ask::Start(others.clone())).await?;
    cluster.alive.extend(others);
    let all = |seen: &crate::scale::observer::Seen| seen.machines.len() == machines;
    let there = cluster.observer.wait_until(cluster.patience(), "registered", all).await?;
    let now = cluster.observer.counts();
    Ok(vec![
        Figure::seconds("all machines registered", there - began),
        Figure::count("machines that lost their lease", now.gone - before.gone),
        Figure::count("machines registered more than once", now.anew - before.anew),
    ])
}
