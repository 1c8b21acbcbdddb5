//! Units are replaced, some at a time: the next one's turn comes when one is active anew.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{task::JoinSet, time::Instant};

use super::Measured;
use crate::scale::{
    cluster::Cluster,
    report::{Figure, Spread},
    submit::{Api, Request},
};

/// How many at a time.
const AT_ONCE: usize = 16;

/// See the module.
pub(super) async fn run(cluster: &mut Cluster) -> Measured {
    let workload = cluster.workload;
    let units: Vec<(usize, usize)> =
        cluster.units.iter().take(cluster.options.roll).map(|(unit, at)| (*unit, at + 1)).collect();
    cluster.units.extend(units.iter().copied());
    let number = units.len();
    let moved = cluster.observer.counts().moved;
    let (queue, began) = (Arc::new(Mutex::new(units.into_iter())), Instant::now());
    let mut users = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (client, queue) = (cluster.api().client()?, Arc::clone(&queue));
        let (observer, patience) = (cluster.observer.clone(), cluster.patience());
        let next = move || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        users.spawn(async move {
            let mut times = Vec::new();
            while let Some((unit, version)) = next() {
                let put = Instant::now();
                Api::send(&client, &Request::Put(workload.request(unit, version))).await?;
                let (name, hash) = (workload.name(unit), workload.file(unit, version).hash());
                let is_active =
                    |seen: &crate::scale::observer::Seen| seen.is_active(name.as_str(), &hash);
                let active = observer.wait_until(patience, "replaced", is_active).await?;
                times.push((active - put).as_secs_f64() * 1e3);
            }
            Ok::<_, String>(times)
        });
    }
    let mut times = Vec::new();
    while let Some(user) = users.join_next().await {
        times.extend(user.map_err(|error| error.to_string())??);
    }
    let (took, each) = (began.elapsed(), Spread::of(times, 0));
    let moved = cluster.observer.counts().moved - moved;
    Ok(vec![
        Figure::count("units replaced", number),
        Figure::seconds("all of them, 16 at a time", took),
        Figure::new("PUT to active anew, median", each.median, "ms"),
        Figure::new("PUT to active anew, 99 %", each.p99, "ms"),
        Figure::count("units taken off their machine meanwhile", moved),
    ])
}
