//! Units are destroyed while as many others are submitted, and the list of states is asked for.

use std::{collections::HashSet, convert::Infallible, path::PathBuf};

use fleet_client::Client;
use tokio::time::{self, Instant};

use super::{Measured, lists};
use crate::scale::{
    cluster::Cluster,
    observer::Seen,
    report::{Figure, Spread},
    submit::{Api, Request},
};

/// See the module.
pub(super) async fn run(cluster: &mut Cluster) -> Measured {
    let old = cluster.plain_units(cluster.options.churn);
    let workload = cluster.workload;
    let new: Vec<usize> = old.iter().map(|_| cluster.new_plain_unit()).collect();
    old.iter().for_each(|unit| {
        cluster.units.remove(unit);
    });
    cluster.units.extend(new.iter().map(|unit| (*unit, 0)));
    let gone: HashSet<String> = old.iter().map(|unit| workload.name(*unit).to_string()).collect();
    let (number, churned) = (cluster.units.len(), old.len());
    let requests = old.into_iter().zip(new).flat_map(move |(old, new)| {
        let put = Request::Put(workload.request(new, 0));
        [Request::Destroy(workload.name(old).to_string()), put]
    });
    let began = Instant::now();
    let (api, patience) = (cluster.api(), cluster.patience());
    let working = async {
        let again = api.send_all(requests, cluster.options.in_flight).await?;
        let answered = Instant::now();
        let is_over = |seen: &Seen| {
            let counts = seen.counts();
            counts.active == number
                && counts.wanted == number
                && !gone.iter().any(|unit| seen.states.contains_key(unit))
        };
        let over = cluster.observer.wait_until(patience, "churned", is_over).await?;
        Ok::<_, String>((again, answered, over))
    };
    let client = cluster.api().client()?;
    let fleetctl = lists::fleetctl(cluster).map(|it| (it, cluster.api().url()));
    let mut listed = Lists::default();
    let (again, answered, over) = tokio::select! {
        biased;
        result = working => result?,
        never = listed.go_on(&client, fleetctl) => match never {},
    };
    let fleetctl = Spread::of(listed.by_fleetctl, 0);
    let lists = Spread::of(listed.times, listed.failed);
    Ok(vec![
        Figure::count("units gone, and as many new", churned),
        Figure::seconds("all requests answered", answered - began),
        Figure::seconds("all gone, all active", over - began),
        Figure::count("requests made again", again),
        Figure::new("whole list of state meanwhile, median", lists.median, "ms"),
        Figure::count("whole lists meanwhile", lists.number),
        Figure::new("fleetctl list-units meanwhile, median", fleetctl.median, "ms"),
        Figure::count("those", fleetctl.number),
        Figure::count("lists that failed", lists.failed),
    ])
}

/// Somebody who asks for the whole list, over and over.
#[derive(Default)]
struct Lists {
    times: Vec<f64>,
    by_fleetctl: Vec<f64>,
    failed: usize,
}

impl Lists {
    async fn go_on(&mut self, client: &Client, fleetctl: Option<(PathBuf, String)>) -> Infallible {
        loop {
            if let Some((fleetctl, url)) = &fleetctl {
                match lists::asked(fleetctl, url, "list-units").await {
                    Ok(time) => self.by_fleetctl.push(time),
                    Err(_) => self.failed += 1,
                }
            }
            let asked = Instant::now();
            match client.states().await {
                Ok(_) => self.times.push(asked.elapsed().as_secs_f64() * 1e3),
                Err(_) => self.failed += 1,
            }
            time::sleep(Api::BREATH).await;
        }
    }
}
