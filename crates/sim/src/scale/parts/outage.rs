//! Etcd is killed, and started again after a while: all machines come back at once, with their units.

use std::{collections::HashMap, time::Duration};

use tokio::time::{self, Instant};

use super::{Measured, one::add};
use crate::scale::{cluster::Cluster, observer::Seen, report::Figure};

/// For how long things that follow late are waited for.
const AFTERMATH: u32 = 2;

/// See the module.
pub(super) async fn run(cluster: &mut Cluster) -> Measured {
    let places = |seen: &Seen| -> HashMap<String, Option<String>> {
        seen.units.iter().map(|(unit, it)| (unit.clone(), it.machine.clone())).collect()
    };
    let (before, told, had) = {
        let told = cluster.read().await?.told;
        let seen = cluster.observer.seen();
        (seen.counts(), told, places(&seen))
    };
    cluster.kill_etcd();
    time::sleep(Duration::from_secs(cluster.options.outage)).await;
    let began = Instant::now();
    cluster.start_etcd();
    let started = Instant::now();
    let in_touch = cluster.in_touch().await?;
    let (client, unit) = (cluster.api().client()?, cluster.new_plain_unit());
    let put = Instant::now();
    let works = add(cluster, &client, unit).await?;
    let (machines, number) = (cluster.alive.len(), cluster.units.len());
    let patience = cluster.patience();
    let is_whole = |seen: &Seen| seen.machines.len() == machines && seen.counts().active == number;
    let whole = cluster.observer.wait_until(patience, "whole", is_whole).await?;
    // Leases that nobody renewed end after that.
    let ttl = Duration::from_secs(cluster.options.ttl);
    time::sleep(ttl * AFTERMATH).await;
    cluster.observer.wait_until(patience, "whole again", is_whole).await?;
    let now = cluster.observer.counts();
    let after = cluster.read().await?.told;
    let touched = {
        let now = places(&cluster.observer.seen());
        had.iter().filter(|(unit, machine)| now.get(*unit) != Some(machine)).count()
    };
    Ok(vec![
        Figure::seconds("etcd started", started - began),
        Figure::seconds("etcd there to all beats succeed", in_touch - started),
        Figure::millis("PUT of a unit then, to active", works - put),
        Figure::seconds("etcd there to all machines and units there", whole - started),
        Figure::count("machines that lost their lease", now.gone - before.gone),
        Figure::count("machines registered anew", now.anew - before.anew),
        Figure::count("units elsewhere than before", touched),
        Figure::count(
            "starts besides the new unit",
            (after.starts - told.starts).saturating_sub(1),
        ),
        Figure::count("stops", after.stops - told.stops),
    ])
}
