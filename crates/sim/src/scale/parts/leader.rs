//! The fleetd that leads is killed, and another takes over. A unit is submitted at that moment, and
//! another one when there is a leader again.

use tokio::time::Instant;

use super::{Measured, one::add};
use crate::scale::{cluster::Cluster, observer::Seen, report::Figure};

/// See the module.
pub(super) async fn run(cluster: &mut Cluster) -> Measured {
    let (new, patience) = (cluster.options.machines, cluster.patience());
    cluster.add_control(new).await?;
    let id = cluster.workload.machine(new).id.to_string();
    let old = cluster.observer.seen().leader.clone().ok_or("nobody leads")?;
    if old == id {
        return Err("the new one leads already".to_owned());
    }
    let killed = Instant::now();
    cluster.kill_control().await?;
    let client = cluster.api().client()?;
    let waiting = cluster.new_plain_unit();
    let observer = cluster.observer.clone();
    let leading = async {
        let is_free = |seen: &Seen| seen.leader.as_ref() != Some(&old);
        observer.wait_until(patience, "free", is_free).await?;
        let free = observer.seen().leader_since.unwrap_or(killed);
        let leads = |seen: &Seen| seen.leader.as_ref() == Some(&id);
        let leads = observer.wait_until(patience, "led", leads).await?;
        Ok::<_, String>((free, leads))
    };
    let ((free, leads), active) = tokio::try_join!(leading, add(cluster, &client, waiting))?;
    let next = cluster.new_plain_unit();
    let put = Instant::now();
    let next = add(cluster, &client, next).await?;
    let number = cluster.units.len();
    // Until its entry has gone, what it said last still stands.
    let all = |seen: &Seen| !seen.machines.contains(&old) && seen.counts().active == number;
    let all = cluster.observer.wait_until(patience, "running", all).await?;
    Ok(vec![
        Figure::seconds("killed to its lease gone", free.saturating_duration_since(killed)),
        Figure::millis("lease gone to another leads", leads.saturating_duration_since(free)),
        Figure::seconds(
            "lease gone to a waiting unit active",
            active.saturating_duration_since(free),
        ),
        Figure::millis("PUT to active under the new leader", next - put),
        Figure::seconds("killed to the units of its machine running", all - killed),
    ])
}
