//! What the leader makes of machines that are gone, and what becomes of the lead when no engine can
//! tell (`docs/decisions/0017`).

use std::time::Duration;

use fleet_core::{Obstacle, eligibility::Refusal};
use fleet_registry::{Contact, Presence};
use fleet_store::{Key, Op, Store, Txn};
use tokio::{
    sync::watch,
    time::{self, Instant},
};

use crate::{
    fixture::{id, name},
    lab::{AGENT_TTL, INTERVAL, Lab, Running, TTL, eventually, leads, pass},
};

/// What a machine has to return.
const MOMENT: Duration = Duration::from_millis(300);
/// Beyond what has to be waited for.
const AT_ONCE: Duration = Duration::from_millis(150);

const FIVE: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Some machines, each with a unit of its own name, and an engine on the first that leads them.
async fn cluster(machines: &[&str]) -> (Lab, Vec<Presence>, Running) {
    let mut lab = Lab::new();
    let mut present = Vec::new();
    for machine in machines {
        present.push(lab.machine(machine, &[]).await);
    }
    let engine = lab.engine(machines[0]);
    leads(&engine).await;
    for machine in machines {
        lab.create(&unit(machine), "").await;
        lab.scheduled(&unit(machine), machine).await;
    }
    (lab, present, engine)
}

fn unit(machine: &str) -> String {
    format!("{machine}.service")
}

/// Where the units of some machines are.
async fn targets(lab: &Lab, machines: &[&str]) -> Vec<String> {
    let mut targets = Vec::new();
    for machine in machines {
        targets.push(lab.target(&unit(machine)).await);
    }
    targets
}

/// Puts a text into a machine's entry, or deletes that.
async fn write_entry(lab: &Lab, machine: &str, text: Option<&str>) {
    let key = Key::from(format!("/test/machine/{machine}").as_str());
    let op = match text {
        Some(text) => Op::Put { key, value: text.as_bytes().to_vec(), lease: None },
        None => Op::Delete(key),
    };
    lab.store.commit(Txn { compare: Vec::new(), then: vec![op] }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn all_leases_revoked_at_once_move_nothing() {
    for slowest in [20, 4_000] {
        let (lab, present, engine) = cluster(&FIVE).await;
        for presence in &present {
            lab.leave(presence).await;
        }
        for machine in FIVE {
            pass(Duration::from_millis(slowest / 5)).await;
            lab.machine(machine, &[]).await;
        }
        pass(2 * AGENT_TTL).await;
        assert_eq!(targets(&lab, &FIVE).await, FIVE);
        assert_eq!(engine.handle.metrics().tasks.unschedule, 0);
        assert!(!engine.handle.metrics().is_braked);
    }
}

#[tokio::test(start_paused = true)]
async fn units_of_one_that_dies_move_after_a_moment_and_not_if_it_is_back_by_then() {
    let (lab, present, _engine) = cluster(&["a", "b", "c"]).await;
    lab.leave(&present[1]).await;
    pass(MOMENT / 2).await;
    let again = lab.machine("b", &[]).await;
    pass(AGENT_TTL).await;
    assert_eq!(lab.target("b.service").await, "b");
    lab.leave(&again).await;
    let took = lab.scheduled("b.service", "a").await;
    assert!(took >= MOMENT && took <= MOMENT + AT_ONCE, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn two_dead_of_three_fail_over_when_nobody_returns_and_what_is_new_runs_meanwhile() {
    let (lab, present, engine) = cluster(&["a", "b", "c"]).await;
    lab.leave(&present[1]).await;
    lab.leave(&present[2]).await;
    let lost = Instant::now();
    lab.create("new.service", "").await;
    assert!(lab.scheduled("new.service", "a").await < AT_ONCE);
    eventually("it is braked", async || engine.handle.metrics().is_braked).await;
    assert_eq!(engine.handle.metrics().missing_machines, 2);
    pass(AGENT_TTL - INTERVAL).await;
    assert_eq!(targets(&lab, &["a", "b", "c"]).await, ["a", "b", "c"]);
    lab.scheduled("b.service", "a").await;
    lab.scheduled("c.service", "a").await;
    let took = lost.elapsed();
    assert!(took >= AGENT_TTL && took <= AGENT_TTL + AT_ONCE, "{took:?}");
    let metrics = engine.handle.metrics();
    assert_eq!((metrics.brakes, metrics.missing_machines, metrics.is_braked), (1, 0, false));
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_goes_on_braking_and_in_the_end_moves_what_is_dead() {
    let (mut lab, present, first) = cluster(&FIVE).await;
    let second = lab.engine("b");
    eventually("it follows", async || second.handle.leader().is_some()).await;
    for presence in &present[2..] {
        lab.leave(presence).await;
    }
    pass(AGENT_TTL / 2).await;
    let c = lab.machine("c", &[]).await;
    first.kill();
    leads(&second).await;
    let since = Instant::now();
    lab.scheduled("d.service", "a").await;
    lab.scheduled("e.service", "b").await;
    // Two of five, as far as the new leader knows.
    let took = since.elapsed();
    assert!(took >= AGENT_TTL && took <= AGENT_TTL + AT_ONCE, "{took:?}");
    assert_eq!(targets(&lab, &["a", "b", "c"]).await, ["a", "b", "c"]);
    lab.leave(&c).await;
    let took = eventually("it moves", async || lab.target("c.service").await != "c").await;
    assert!(took <= MOMENT + AT_ONCE, "one more is no mass: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn machine_whose_entry_is_unreadable_keeps_its_units_and_gets_no_more() {
    let (lab, _present, engine) = cluster(&["a", "b"]).await;
    write_entry(&lab, "b", Some("{")).await;
    for new in ["u.service", "v.service"] {
        lab.create(new, "").await;
        lab.scheduled(new, "a").await;
    }
    lab.create("w.service", "MachineID=b").await;
    lab.create("x.service", "MachineOf=b.service").await;
    pass(2 * AGENT_TTL).await;
    assert_eq!(targets(&lab, &["a", "b"]).await, ["a", "b"]);
    assert_eq!(targets(&lab, &["w", "x"]).await, ["", ""]);
    let why = engine.handle.why_not(name("w.service")).await.unwrap().unwrap();
    assert_eq!(why[&id("b")], Some(Obstacle::Unclear));
    assert!(matches!(why[&id("a")], Some(Obstacle::Refused(Refusal::OtherMachine { .. }))));
    write_entry(&lab, "b", None).await;
    lab.scheduled("b.service", "a").await;
    lab.machine("b", &[]).await;
    lab.scheduled("w.service", "b").await;
}

/// What a machine's contact is like from now on: gone for three seconds after every `stretch`,
/// as where many packets are lost.
fn with_gaps(lab: &mut Lab, since: Instant, stretch: Duration) -> watch::Receiver<Option<Contact>> {
    let far = Instant::now() + 100 * AGENT_TTL;
    let (contact, seen) = watch::channel(Some(Contact { since, until: far, after_gap: false }));
    lab.alongside(async move {
        loop {
            time::sleep(stretch).await;
            let now = Instant::now();
            contact.send_modify(|contact| *contact = contact.map(|c| Contact { until: now, ..c }));
            time::sleep(Duration::from_secs(3)).await;
            let since = Instant::now();
            contact.send_replace(Some(Contact { since, until: far, after_gap: true }));
        }
    });
    seen
}

#[tokio::test(start_paused = true)]
async fn a_leader_without_steady_contact_gives_up_so_that_the_dead_are_noticed() {
    let mut lab = Lab::with_machines(&["a", "b"]).await;
    let doomed = lab.machine("c", &[]).await;
    let since = Instant::now() - 2 * TTL;
    let contact = with_gaps(&mut lab, since, Duration::from_secs(6));
    let lossy = lab.engine_in("a", contact);
    leads(&lossy).await;
    for machine in ["a", "b", "c"] {
        lab.create(&unit(machine), "").await;
        lab.scheduled(&unit(machine), machine).await;
    }
    let healthy = lab.engine("b");
    pass(Duration::from_secs(7)).await;
    assert!(lossy.handle.is_leading());
    lab.leave(&doomed).await;
    let took = eventually("it moves", async || lab.target("c.service").await != "c").await;
    assert!(took <= TTL + Duration::from_secs(3), "{took:?}");
    assert!(healthy.handle.is_leading());
    pass(20 * TTL).await;
    assert!(healthy.handle.is_leading(), "it doesn't come back");
}

#[tokio::test(start_paused = true)]
async fn where_nobody_has_steady_contact_one_leads_all_the_same_and_the_lead_stays() {
    let mut lab = Lab::with_machines(&["a", "b", "c"]).await;
    let machines = ["a", "b", "c"];
    let engines = machines.map(|machine| {
        let contact = with_gaps(&mut lab, Instant::now(), Duration::from_secs(6));
        lab.engine_in(machine, contact)
    });
    let (mut changes, mut last) = (0, None);
    let minutes = 10;
    for second in 0..minutes * 60 {
        pass(Duration::from_secs(1)).await;
        let leader = engines.iter().position(|engine| engine.handle.is_leading());
        if leader.is_some() && leader != last {
            (changes, last) = (changes + 1, leader);
        }
        if second % 60 == 0 {
            let new = format!("u{second}.service");
            lab.create(&new, "").await;
            let took = eventually(&new, async || !lab.target(&new).await.is_empty()).await;
            assert!(took <= TTL + 2 * INTERVAL, "{took:?}");
        }
    }
    assert!(changes <= minutes + 1, "{changes} leaders in {minutes} minutes");
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_one_leads_when_contact_is_steady_again_and_goes_on() {
    let mut lab = Lab::with_machines(&["a", "b", "c"]).await;
    let far = Instant::now() + 100 * AGENT_TTL;
    let contact = Contact { since: Instant::now(), until: far, after_gap: true };
    let (_sender, seen) = watch::channel(Some(contact));
    let engines = ["a", "b", "c"].map(|machine| lab.engine_in(machine, seen.clone()));
    let leading = || engines.iter().position(|engine| engine.handle.is_leading());
    let took = eventually("one leads", async || leading().is_some()).await;
    assert!(took <= TTL + AT_ONCE, "{took:?}");
    let leader = leading();
    for _ in 0..30 {
        pass(TTL).await;
        assert_eq!(leading(), leader);
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_has_just_begun_leads_at_once_where_nobody_else_does() {
    let mut lab = Lab::with_machines(&["a"]).await;
    lab.in_touch_since = Instant::now();
    let engine = lab.engine("a");
    let took = leads(&engine).await;
    assert!(took <= 3 * AT_ONCE, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn two_reloads_within_ten_seconds_put_nothing_off() {
    let (mut lab, present, mut engine) = cluster(&["a", "b", "c"]).await;
    for _ in 0..2 {
        engine.stop();
        // What contact there was goes on.
        engine = lab.engine("a");
        leads(&engine).await;
        pass(2 * INTERVAL).await;
    }
    lab.leave(&present[1]).await;
    let took = lab.scheduled("b.service", "a").await;
    assert!(took <= MOMENT + AT_ONCE, "{took:?}");
}
