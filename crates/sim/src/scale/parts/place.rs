//! All units are submitted, placed and started.

use tokio::time::Instant;

use super::Measured;
use crate::scale::{cluster::Cluster, observer::Seen, report::Figure, submit::Request};

/// See the module.
pub(super) async fn run(cluster: &mut Cluster) -> Measured {
    let (number, workload) = (cluster.options.units, cluster.workload);
    let units: Vec<usize> = (0..number).map(|_| cluster.new_unit()).collect();
    cluster.units.extend(units.iter().map(|unit| (*unit, 0)));
    let before = cluster.observer.counts();
    let counted = cluster.read().await?;
    let (began, api, patience) = (Instant::now(), cluster.api(), cluster.patience());
    let requests = units.into_iter().map(move |unit| Request::Put(workload.request(unit, 0)));
    let submitting = async {
        let again = api.send_all(requests, cluster.options.in_flight).await?;
        Ok::<_, String>((again, Instant::now()))
    };
    let placed = |seen: &Seen| seen.counts().placed == number;
    let active = |seen: &Seen| seen.counts().active == number;
    let placing = cluster.observer.wait_until(patience, "placed", placed);
    let starting = cluster.observer.wait_until(patience, "active", active);
    let ((again, submitted), placed, active) = tokio::try_join!(submitting, placing, starting)?;
    let now = cluster.observer.counts();
    let counts = cluster.read().await?.counts.since(&counted.counts);
    let of_each = |all: f64| all / number.max(1) as f64;
    let rate = number as f64 / (placed - began).as_secs_f64();
    Ok(vec![
        Figure::seconds("first PUT to all submitted", submitted - began),
        Figure::seconds("first PUT to all placed", placed - began),
        Figure::seconds("first PUT to all active", active - began),
        Figure::new("placements", rate, "a second"),
        Figure::new("proposals of etcd for each unit", of_each(counts.proposals), ""),
        Figure::new("bytes to etcd for each unit", of_each(counts.received), "B"),
        Figure::new("bytes from etcd for each unit", of_each(counts.sent), "B"),
        Figure::count("requests made again", again),
        Figure::count("machines that lost their lease", now.gone - before.gone),
        Figure::count("units moved", now.moved - before.moved),
    ])
}
