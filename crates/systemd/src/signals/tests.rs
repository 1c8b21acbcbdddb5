//! Signals go in as messages, changes and job results come out.

use fleet_agent::manager::JobResult;
use futures::FutureExt as _;
use zbus::DynamicType;

use super::*;
use crate::interfaces::{MANAGER_PATH, UNIT};

fn unit(name: &str) -> UnitName {
    name.parse().unwrap()
}

fn units(names: &[&str]) -> Changed {
    Changed::Units(names.iter().map(|name| unit(name)).collect())
}

fn signal<B>(path: &str, interface: &str, member: &str, body: &B) -> Message
where
    B: serde::Serialize + DynamicType,
{
    Message::signal(
        zbus::ObjectPath::try_from(path).unwrap(),
        zbus::names::InterfaceName::try_from(interface).unwrap(),
        zbus::names::MemberName::try_from(member).unwrap(),
    )
    .build(body)
    .unwrap()
}

fn state_of(name: &str) -> Message {
    let path = object_path::of_unit(name);
    signal(&path, PROPERTIES, "PropertiesChanged", &(UNIT, "only the path counts"))
}

fn following(names: &[&str]) -> Signals {
    let signals = Signals::default();
    let names: Vec<UnitName> = names.iter().map(|name| unit(name)).collect();
    signals.follow_only(names.iter());
    signals
}

#[tokio::test(start_paused = true)]
async fn burst_of_signals_is_one_change() {
    let signals = following(&["a.service", "b@1.socket", "c.service"]);
    for name in ["b@1.socket", "a.service", "a.service", "foreign.service", "a.service"] {
        assert_eq!(signals.take_in(&state_of(name)), Verdict::Continue);
    }
    assert_eq!(signals.changed().await, units(&["a.service", "b@1.socket"]));
    assert_eq!(signals.changed().now_or_never(), None, "nothing is told twice");
}

#[tokio::test(start_paused = true)]
async fn signals_that_come_while_gathering_are_told_with_the_first() {
    let signals = following(&["a.service", "b.service"]);
    signals.take_in(&state_of("a.service"));
    let later = async {
        time::sleep(GATHER / 2).await;
        signals.take_in(&state_of("b.service"));
    };
    let (changed, ()) = futures::join!(signals.changed(), later);
    assert_eq!(changed, units(&["a.service", "b.service"]));
}

#[tokio::test(start_paused = true)]
async fn change_survives_a_cancelled_wait() {
    let signals = following(&["a.service"]);
    assert_eq!(signals.changed().now_or_never(), None);
    signals.take_in(&state_of("a.service"));
    assert_eq!(time::timeout(GATHER / 2, signals.changed()).await.ok(), None);
    assert_eq!(signals.changed().await, units(&["a.service"]));
}

#[tokio::test(start_paused = true)]
async fn units_are_followed_from_load_to_unload() {
    let signals = following(&["a.service"]);
    signals.follow(&unit("b.service"));
    signals.take_in(&state_of("a.service"));
    signals.take_in(&state_of("b.service"));
    signals.unfollow(&unit("a.service"));
    signals.take_in(&state_of("a.service"));
    assert_eq!(signals.changed().await, units(&["b.service"]));
}

#[tokio::test(start_paused = true)]
async fn reload_and_new_connection_concern_everybody() {
    let signals = following(&["a.service"]);
    signals.take_in(&signal(MANAGER_PATH, MANAGER, "Reloading", &true));
    assert_eq!(signals.changed().now_or_never(), None, "the end of it counts");
    signals.take_in(&signal(MANAGER_PATH, MANAGER, "Reloading", &false));
    signals.take_in(&state_of("a.service"));
    assert_eq!(signals.changed().await, Changed::Reloaded);
    signals.restored();
    signals.take_in(&signal(MANAGER_PATH, MANAGER, "Reloading", &false));
    assert_eq!(signals.changed().await, Changed::All, "a new connection is more");
    assert_eq!(signals.changed().now_or_never(), None);
}

#[tokio::test]
async fn job_signals_reach_those_who_wait() {
    let signals = Signals::default();
    let removed = |id: u32, result: &str| {
        let job = zbus::ObjectPath::try_from("/org/freedesktop/systemd1/job/7").unwrap();
        signal(MANAGER_PATH, MANAGER, "JobRemoved", &(id, job, "a.service", result))
    };
    let expected = signals.expect_job();
    signals.take_in(&removed(7, "failed"));
    assert_eq!(expected.is(7).wait().await, JobResult::Failed);

    let job = signals.expect_job().is(8);
    signals.lose();
    assert_eq!(job.wait().await, JobResult::Lost);
}

#[test]
fn systemd_that_leaves_the_bus_ends_the_session() {
    let signals = Signals::default();
    for (name, old, new, verdict) in [
        ("org.example", ":1.2", "", Verdict::Continue),
        (SYSTEMD, ":1.2", "", Verdict::SystemdLeft),
        (SYSTEMD, ":1.2", ":1.3", Verdict::SystemdLeft),
        (SYSTEMD, "", ":1.3", Verdict::Continue),
    ] {
        let owner = signal("/org/freedesktop/DBus", BUS, "NameOwnerChanged", &(name, old, new));
        assert_eq!(signals.take_in(&owner), verdict, "{name} from {old:?} to {new:?}");
    }
}

#[test]
fn malformed_signals_do_no_harm() {
    let signals = following(&["a.service"]);
    for (interface, member) in [
        (MANAGER, "JobRemoved"),
        (MANAGER, "Reloading"),
        (BUS, "NameOwnerChanged"),
        (MANAGER, "New"),
    ] {
        let message = signal(MANAGER_PATH, interface, member, &(1.5f64,));
        assert_eq!(signals.take_in(&message), Verdict::Continue, "{member}");
    }
    assert_eq!(signals.changed().now_or_never(), None);
}
