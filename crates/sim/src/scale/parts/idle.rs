//! Nothing happens: what a cluster costs that is left alone.

use std::time::Duration;

use tokio::time;

use super::Measured;
use crate::scale::{cluster::Cluster, report::Figure, usage::Used};

/// For how long what was begun before may come to rest.
const REST: Duration = Duration::from_secs(3);

/// See the module.
pub(super) async fn run(cluster: &mut Cluster) -> Measured {
    time::sleep(REST).await;
    let before = cluster.read().await?;
    let seconds = cluster.options.idle.max(1) as f64;
    time::sleep(Duration::from_secs_f64(seconds)).await;
    let now = cluster.read().await?;
    let proposals = now.counts.since(&before.counts).proposals;
    let machines = cluster.alive.len() as f64;
    // A beat renews a lease, which is no proposal.
    let mut figures = vec![Figure::new("proposals of etcd", proposals / seconds, "a second")];
    for (name, before, now) in [
        ("engine, API", before.engine, now.engine),
        ("agents", before.agents, now.agents),
        ("etcd", before.etcd, now.etcd),
    ] {
        let share = |of: fn(&Used) -> f64| (of(&now) - of(&before)).max(0.0) / seconds;
        let (ran, wakes) = (share(|it| it.ran), share(|it| it.wakes));
        figures.push(Figure::new(&format!("{name}: really ran"), ran * 100.0, "% of a core"));
        figures.push(Figure::new(&format!("{name}: wake-ups"), wakes, "a second"));
    }
    let agents = (now.agents.ran - before.agents.ran).max(0.0) / seconds / machines;
    figures.push(Figure::new("each agent", agents * 100.0, "% of a core"));
    Ok(figures)
}
