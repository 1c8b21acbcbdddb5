//! One unit more, among all that are there, and one fewer.

use std::time::Duration;

use tokio::time::{self, Instant};

use super::Measured;
use crate::scale::{
    cluster::Cluster,
    report::{Figure, Spread},
    submit::{Api, Request},
};

/// How often.
const TIMES: usize = 20;

/// The pause between two of them, not to be within the first one's pass.
const PAUSE: Duration = Duration::from_millis(100);

/// See the module.
pub(super) async fn run(cluster: &mut Cluster) -> Measured {
    let (mut comes, mut goes) = (Vec::new(), Vec::new());
    let client = cluster.api().client()?;
    for _ in 0..TIMES {
        let unit = cluster.new_plain_unit();
        let began = Instant::now();
        let active = add(cluster, &client, unit).await?;
        comes.push((active - began).as_secs_f64() * 1e3);
        time::sleep(PAUSE).await;
        let name = cluster.workload.name(unit).to_string();
        let began = Instant::now();
        Api::send(&client, &Request::Destroy(name.clone())).await?;
        let is_gone = |seen: &crate::scale::observer::Seen| !seen.states.contains_key(&name);
        let gone = cluster.observer.wait_until(cluster.patience(), "gone", is_gone).await?;
        cluster.units.remove(&unit);
        goes.push((gone - began).as_secs_f64() * 1e3);
        time::sleep(PAUSE).await;
    }
    let (comes, goes) = (Spread::of(comes, 0), Spread::of(goes, 0));
    Ok(vec![
        Figure::new("PUT to active, median", comes.median, "ms"),
        Figure::new("PUT to active, longest", comes.longest, "ms"),
        Figure::new("DELETE to no state left, median", goes.median, "ms"),
        Figure::new("DELETE to no state left, longest", goes.longest, "ms"),
    ])
}

/// Submits a unit and waits until it is active; says when it was.
pub(super) async fn add(
    cluster: &mut Cluster,
    client: &fleet_client::Client,
    unit: usize,
) -> Result<Instant, String> {
    let workload = cluster.workload;
    cluster.units.insert(unit, 0);
    Api::send(client, &Request::Put(workload.request(unit, 0))).await?;
    let (name, hash) = (workload.name(unit), workload.file(unit, 0).hash());
    let is_active = |seen: &crate::scale::observer::Seen| seen.is_active(name.as_str(), &hash);
    cluster.observer.wait_until(cluster.patience(), "active", is_active).await
}
