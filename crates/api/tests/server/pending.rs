//! Why a unit isn't running: `pending` of a single unit.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use fleet_core::{
    JobState, Obstacle, UnitName,
    eligibility::Refusal::{Conflict, Leaving, Metadata, OtherMachine, PeerAbsent, Silent},
};
use fleet_registry::why::{Engine, Explain, Explaining, Explanation, StoreSpace};
use futures::future::join_all;
use tokio::time;

use crate::harness::{SLEEP, Server, machine, settings, unit};

const GLOBAL: &str = "[Service]\nExecStart=/bin/sleep 1\n\n[X-Fleet]\nGlobal=true\n";

/// Gives one explanation for all units, after a while, and counts how often it is asked.
struct Fixed {
    explanation: Option<Explanation>,
    after: Duration,
    asked: AtomicUsize,
}

impl Explain for Fixed {
    fn explain<'a>(&'a self, _: &'a UnitName) -> Explaining<'a> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async {
            time::sleep(self.after).await;
            self.explanation.clone()
        })
    }
}

fn fixed(engine: Engine, machines: &[(&str, Option<Obstacle>)]) -> Fixed {
    let machines: BTreeMap<_, _> =
        machines.iter().map(|(id, obstacle)| (machine(id), obstacle.clone())).collect();
    let explanation = Some(Explanation { engine, machines });
    Fixed { explanation, after: Duration::ZERO, asked: AtomicUsize::new(0) }
}

fn start(explain: &Arc<Fixed>) -> Server {
    let explain: Arc<dyn Explain> = explain.clone();
    Server::start_changed(settings(100), move |api| api.with_explain(explain))
}

/// What is said of a unit; empty when nothing is.
async fn pending(server: &Server, name: &str) -> String {
    let answer = server.get(&format!("/fleet/v1/units/{name}")).await;
    assert_eq!(answer.status, 200);
    let (_, pending) = answer.body.split_once(r#""pending":"#).unwrap_or_default();
    pending.strip_suffix('}').unwrap_or_default().to_owned()
}

#[tokio::test]
async fn each_machine_says_why_it_does_not_take_a_unit() {
    let other = OtherMachine { machine: "m5".into(), required: "mX".into() };
    let refused = |refusal| Some(Obstacle::Refused(refusal));
    let explain = Arc::new(fixed(
        Engine::Leads,
        &[
            ("m1", refused(Metadata)),
            ("m2", refused(Conflict(unit("b.service")))),
            ("m3", refused(PeerAbsent("c.service".into()))),
            ("m4", Some(Obstacle::Replaced(unit("d.service")))),
            ("m5", refused(other)),
            ("m6", refused(Leaving)),
            ("m7", refused(Silent)),
        ],
    ));
    let server = start(&explain);
    server.create("a.service", SLEEP, JobState::Launched).await;
    let expected = concat!(
        r#"{"machines":[{"machineID":"m1","message":"local Machine metadata insufficient","reason":"metadata"},"#,
        r#"{"machineID":"m2","message":"found conflict with locally-scheduled Unit([b.service])","reason":"conflict"},"#,
        r#"{"machineID":"m3","message":"required peer Unit(c.service) is not scheduled locally","reason":"peer-absent"},"#,
        r#"{"machineID":"m4","message":"found replace with locally-scheduled Unit(d.service)","reason":"replaced"},"#,
        r#"{"machineID":"m5","message":"agent ID \"m5\" does not match required \"mX\"","reason":"other-machine"},"#,
        r#"{"machineID":"m6","message":"machine is leaving","reason":"leaving"},"#,
        r#"{"machineID":"m7","message":"its systemd does not answer","reason":"silent"}],"#,
        r#""message":"no machine takes it","reason":"refused"}"#
    );
    assert_eq!(pending(&server, "a.service").await, expected);
    assert!(!server.get("/fleet/v1/units").await.body.contains("pending"), "lists never say");
}

#[tokio::test]
async fn a_unit_with_a_machine_tells_how_far_that_is_and_asks_nobody() {
    let explain = Arc::new(fixed(Engine::Leads, &[]));
    let server = start(&explain);
    let lead = server.lead().await;
    let presence = server.register("m1", "", &[]).await;
    server.create("a.service", SLEEP, JobState::Launched).await;
    server.schedule(&lead, "a.service", "m1").await;
    let said = |reason: &str, message: &str| {
        format!(
            r#"{{"machines":[{{"machineID":"m1","message":"{message}","reason":"{reason}"}}],"message":"machine m1 {message}","reason":"{reason}"}}"#
        )
    };
    assert_eq!(pending(&server, "a.service").await, said("not-loaded", "has not loaded it yet"));
    server.publish(&presence, "a.service", JobState::Loaded).await;
    assert_eq!(pending(&server, "a.service").await, said("not-launched", "has not started it yet"));
    server.publish(&presence, "a.service", JobState::Launched).await;
    assert_eq!(pending(&server, "a.service").await, "");
    server.registry.leave(&presence).await.unwrap();
    assert_eq!(pending(&server, "a.service").await, said("machine-absent", "is not present"));
    assert_eq!(explain.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_a_machine_has_trouble_with_is_told_in_its_words() {
    let server = start(&Arc::new(fixed(Engine::Leads, &[("m1", None), ("m2", None)])));
    let lead = server.lead().await;
    let (one, two) = (server.register("m1", "", &[]).await, server.register("m2", "", &[]).await);
    server.create("a.service", SLEEP, JobState::Launched).await;
    server.schedule(&lead, "a.service", "m1").await;
    server.say_trouble(&one, "a.service", "no room").await;
    let said = pending(&server, "a.service").await;
    assert!(said.contains("machine m1 has not loaded it yet: no room"), "{said}");
    server.publish(&one, "a.service", JobState::Loaded).await;
    let said = pending(&server, "a.service").await;
    assert!(said.contains("machine m1 has not started it yet: no room"), "{said}");

    server.create("g.service", GLOBAL, JobState::Launched).await;
    server.say_trouble(&one, "g.service", "bad setting").await;
    let said = pending(&server, "g.service").await;
    assert!(said.contains(r#""m1","message":"has not loaded it yet: bad setting""#), "{said}");
    assert!(said.contains(r#""m2","message":"has not loaded it yet""#), "{said}");
    server.publish(&two, "g.service", JobState::Launched).await;
    assert_eq!(
        pending(&server, "g.service").await,
        r#"{"machines":[{"machineID":"m1","message":"bad setting","reason":"failing"}],"message":"some machines can't make it what it should be","reason":"failing"}"#
    );
}

#[tokio::test]
async fn what_was_started_and_does_not_run_is_told_of_unless_it_ended_well() {
    let server = start(&Arc::new(fixed(Engine::Leads, &[])));
    let lead = server.lead().await;
    let presence = server.register("m1", "", &[]).await;
    server.create("a.service", SLEEP, JobState::Launched).await;
    server.schedule(&lead, "a.service", "m1").await;
    let launched = async |name, active, sub| {
        server.publish_as(&presence, name, JobState::Launched, (active, sub)).await;
        pending(&server, name).await
    };
    assert_eq!(launched("a.service", "inactive", "dead").await, "");
    assert_eq!(
        launched("a.service", "failed", "failed").await,
        r#"{"machines":[{"machineID":"m1","message":"started it, and systemd reports failed (failed)","reason":"failed"}],"message":"machine m1 started it, and systemd reports failed (failed)","reason":"failed"}"#
    );
    server.say_trouble(&presence, "a.service", "no such device").await;
    let said = launched("a.service", "inactive", "dead").await;
    let expected =
        r#""message":"machine m1 could not start it: no such device","reason":"not-started"}"#;
    assert!(said.ends_with(expected), "{said}");
    assert_eq!(launched("a.service", "active", "running").await, "", "somebody else started it");

    server.create("g.service", GLOBAL, JobState::Launched).await;
    assert_eq!(launched("g.service", "active", "running").await, "");
    server.say_trouble(&presence, "g.service", "its start failed").await;
    assert_eq!(
        launched("g.service", "failed", "start-limit-hit").await,
        r#"{"machines":[{"machineID":"m1","message":"started it, and systemd reports failed (start-limit-hit)","reason":"failed"}],"message":"some machines can't make it what it should be","reason":"failing"}"#
    );
}

#[tokio::test]
async fn what_need_not_run_is_not_explained() {
    let explain = Arc::new(fixed(Engine::Leads, &[]));
    let server = start(&explain);
    let presence = server.register("m1", "", &[]).await;
    server.create("off.service", SLEEP, JobState::Inactive).await;
    server.create("t@.service", SLEEP, JobState::Inactive).await;
    server.create("g.service", GLOBAL, JobState::Launched).await;
    server.publish(&presence, "g.service", JobState::Launched).await;
    for name in ["off.service", "t@.service", "g.service"] {
        assert_eq!(pending(&server, name).await, "", "{name}");
    }
    assert_eq!(explain.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn whoever_explains_slowly_holds_up_nobody_for_long() {
    let slow = Fixed { after: Duration::from_secs(3600), ..fixed(Engine::Leads, &[]) };
    let explain = Arc::new(slow);
    let server = start(&explain);
    server.create("a.service", SLEEP, JobState::Launched).await;
    let (server, explain) = (&server, &explain);
    let all = (0..20).map(|_| pending(server, "a.service"));
    let before = time::Instant::now();
    let said = join_all(all).await;
    assert!(said.iter().all(String::is_empty), "{said:?}");
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
    let asked = explain.asked.load(Ordering::Relaxed);
    assert!((1..20).contains(&asked), "{asked} at a time");
}

/// A store that is full, or not.
struct Full(bool);

impl StoreSpace for Full {
    fn is_exhausted(&self) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        Box::pin(async { self.0 })
    }
}

#[tokio::test]
async fn a_store_out_of_space_is_why_a_unit_waits() {
    for is_full in [true, false] {
        let explain: Arc<dyn Explain> = Arc::new(fixed(Engine::Leads, &[("m1", None)]));
        let server = Server::start_changed(settings(100), |api| {
            api.with_explain(explain).with_store_space(Arc::new(Full(is_full)))
        });
        server.create("a.service", SLEEP, JobState::Launched).await;
        let said = pending(&server, "a.service").await;
        assert_eq!(said.contains("out-of-space"), is_full, "{said}");
        assert!(said.contains("the engine has not given it a machine yet"), "{said}");
    }
}
