//! fleetd is killed at every call it makes, before and after the call's effect. When all is quiet
//! again, every wanted unit runs, a oneshot has run once, a restart has happened once, and
//! what had no reason to stop was not touched.

use std::{future::Future, time::Duration};

use fleet_core::JobState::{self, Launched, Loaded};
use fleet_testkit::{Knife, Side};
use tokio::time;

use crate::world::{Cluster, Daemon, Host, RUNS, hash, name, one_host};

const ONCE: &str = "[Service]\nType=oneshot\nExecStart=/bin/true\n";
const OTHER: &str = "[Service]\nExecStart=/bin/sleep 1000\n";
/// One that was there before, and is to stay as it is.
const NEIGHBOUR: &str = "neighbour.service";
const UNIT: &str = "a.service";
const ONESHOT: &str = "once.service";

/// How long a thing goes on that fleetd is killed in.
const BUSY: Duration = Duration::from_secs(4);
/// Long enough for every tick and scan.
const QUIET: Duration = Duration::from_secs(40);
/// The most calls any of this may take: a bound for the test.
const CALLS: usize = 200;

struct World {
    cluster: Cluster,
    host: Host,
    row: String,
}

impl World {
    fn starts(&self, unit: &str) -> usize {
        self.host.manager.starts_of(&name(unit))
    }

    fn active(&self, unit: &str) -> String {
        self.host.manager.state_of(&name(unit)).active
    }

    fn runs(&self, unit: &str, text: &str) {
        let running = self.host.manager.running(&name(unit));
        assert_eq!(running, Some(hash(text)), "{unit}: {}", self.row);
    }

    fn has_started(&self, unit: &str, times: usize) {
        assert_eq!(self.starts(unit), times, "starts of {unit}: {}", self.row);
    }

    async fn is_acknowledged(&self, unit: &str) {
        let seen = self.cluster.registry.unit(&name(unit)).await.unwrap().unwrap();
        let pending = self.cluster.registry.pending_restarts(&seen, None).await.unwrap();
        assert!(pending.is_empty(), "restart of {unit}: {}", self.row);
    }

    async fn ask_restart(&self, unit: &str) {
        let seen = self.cluster.registry.unit(&name(unit)).await.unwrap().unwrap();
        self.cluster.registry.ask_restart(&seen, None).await.unwrap();
    }
}

/// Kills fleetd at each call it makes because of `act`, each time in a new world that `prepare` has
/// set up, changes `meanwhile` what is wanted, and looks with `check` at what its successor has made
/// of it.
async fn kill_at_every_call(
    prepare: impl AsyncFn(&World),
    act: impl AsyncFn(&World, Daemon) -> Option<Daemon>,
    meanwhile: impl AsyncFn(&World),
    check: impl AsyncFn(&World),
) {
    for side in [Side::Before, Side::After] {
        for n in 0.. {
            assert!(n < CALLS, "it never comes to an end");
            let row = format!("killed {side:?} call {n}");
            let world = World { cluster: Cluster::new().await, host: Host::new("m1"), row };
            let knife = Knife::default();
            let daemon = world.host.boot_knifed(&world.cluster, &knife).await;
            world.cluster.launch(NEIGHBOUR, RUNS).await;
            world.cluster.shows(NEIGHBOUR, "active", Launched).await;
            prepare(&world).await;
            time::sleep(BUSY).await;
            knife.arm(n, side);
            let acting = async { act(&world, daemon).await };
            let (daemon, fell) = until_fallen(acting, &knife).await;
            if let Some(daemon) = daemon {
                daemon.kill().await;
            }
            meanwhile(&world).await;
            let daemon = world.host.boot(&world.cluster).await;
            time::sleep(QUIET).await;
            world.runs(NEIGHBOUR, RUNS);
            world.has_started(NEIGHBOUR, 1);
            check(&world).await;
            daemon.kill().await;
            if !fell {
                break;
            }
        }
    }
}

/// Lets `acting` go on until the knife falls or nothing more is to be expected.
async fn until_fallen(
    acting: impl Future<Output = Option<Daemon>>,
    knife: &Knife,
) -> (Option<Daemon>, bool) {
    tokio::select! {
        biased;
        fell = knife.falls(BUSY) => (None, fell),
        daemon = acting => {
            let fell = knife.falls(BUSY).await;
            (daemon, fell)
        }
    }
}

async fn nothing(_: &World) {}

#[tokio::test(start_paused = true)]
async fn a_start_is_carried_out_once() {
    let launch = async |world: &World, daemon| {
        world.cluster.launch(UNIT, RUNS).await;
        world.cluster.launch(ONESHOT, ONCE).await;
        Some(daemon)
    };
    kill_at_every_call(nothing, launch, nothing, async |world| {
        world.runs(UNIT, RUNS);
        world.has_started(UNIT, 1);
        world.has_started(ONESHOT, 1);
        world.cluster.shows(ONESHOT, "inactive", Launched).await;
    })
    .await;
}

async fn launched(world: &World) {
    for (unit, text) in [(UNIT, RUNS), (ONESHOT, ONCE), ("fails.service", FAILS)] {
        world.cluster.launch(unit, text).await;
    }
    world.cluster.shows(UNIT, "active", Launched).await;
    world.cluster.shows(ONESHOT, "inactive", Launched).await;
    world.cluster.shows("fails.service", "failed", Launched).await;
}

const FAILS: &str = "[Service]\nType=oneshot\nExecStart=/bin/false\n";

async fn want(world: &World, desired: JobState) {
    world.cluster.want(UNIT, desired).await;
    world.cluster.want(ONESHOT, desired).await;
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_is_stopped_and_wanted_again_while_fleetd_is_away_runs() {
    for stop in ["", "ExecStop=/bin/sleep 2\n", "ExecStop=/bin/sleep 15\n"] {
        let text = format!("{RUNS}{stop}");
        let prepare = async |world: &World| {
            launched(world).await;
            world.cluster.launch("slow.service", &text).await;
            world.cluster.shows("slow.service", "active", Launched).await;
        };
        let stop = async |world: &World, daemon| {
            world.cluster.want("slow.service", Loaded).await;
            want(world, Loaded).await;
            Some(daemon)
        };
        let wanted = async |world: &World| {
            world.cluster.want("slow.service", Launched).await;
            want(world, Launched).await;
        };
        kill_at_every_call(prepare, stop, wanted, async |world| {
            world.runs(UNIT, RUNS);
            world.runs("slow.service", &text);
            let again = world.starts(ONESHOT);
            assert!((1..=2).contains(&again), "{again} starts of the oneshot: {}", world.row);
            world.has_started("fails.service", 1);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_is_stopped_stays_stopped() {
    let stop = async |world: &World, daemon| {
        want(world, Loaded).await;
        Some(daemon)
    };
    kill_at_every_call(launched, stop, nothing, async |world| {
        assert_eq!(world.active(UNIT), "inactive", "{}", world.row);
        world.has_started(UNIT, 1);
        world.has_started(ONESHOT, 1);
        world.cluster.shows(UNIT, "inactive", Loaded).await;
        world.cluster.shows(ONESHOT, "inactive", Loaded).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_fleetd_that_is_killed_while_it_leaves_gets_every_unit_back() {
    const MANY: usize = 12;
    let unit = |i: usize| format!("u{i}.service");
    let text = |i: usize| match i % 3 {
        0 => format!("{RUNS}ExecStop=/bin/sleep 1\n"),
        1 => format!("{RUNS}ExecStop=/bin/sleep 2\n"),
        _ => RUNS.to_owned(),
    };
    for side in [Side::Before, Side::After] {
        for n in 0..CALLS {
            let row = format!("killed {side:?} call {n}");
            let world = World { cluster: Cluster::new().await, host: Host::new("m1"), row };
            let knife = Knife::default();
            let daemon = world.host.boot_knifed(&world.cluster, &knife).await;
            for i in 0..MANY {
                world.cluster.launch(&unit(i), &text(i)).await;
            }
            for i in 0..MANY {
                world.cluster.shows(&unit(i), "active", Launched).await;
            }
            world.cluster.launch(ONESHOT, ONCE).await;
            world.cluster.shows(ONESHOT, "inactive", Launched).await;
            let mut agent = daemon.stop().await;
            knife.arm(n, side);
            let left = tokio::select! {
                biased;
                _ = knife.falls(BUSY) => None,
                left = agent.purge() => Some(left),
            };
            drop(agent);
            let was_here = world.host.has_file(ONESHOT).await;
            let _daemon = world.host.boot(&world.cluster).await;
            time::sleep(QUIET).await;
            for i in 0..MANY {
                world.runs(&unit(i), &text(i));
            }
            // What was taken off is new here.
            world.has_started(ONESHOT, if was_here { 1 } else { 2 });
            if left.is_some() {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_happens_once() {
    for stop in ["", "ExecStop=/bin/sleep 1\n", "ExecStop=/bin/sleep 15\n"] {
        let text = format!("{RUNS}{stop}");
        let prepare = async |world: &World| {
            world.cluster.launch(UNIT, &text).await;
            world.cluster.launch(ONESHOT, ONCE).await;
            world.cluster.shows(UNIT, "active", Launched).await;
            world.cluster.shows(ONESHOT, "inactive", Launched).await;
        };
        let restart = async |world: &World, daemon| {
            world.ask_restart(UNIT).await;
            world.ask_restart(ONESHOT).await;
            Some(daemon)
        };
        kill_at_every_call(prepare, restart, nothing, async |world| {
            world.runs(UNIT, &text);
            for unit in [UNIT, ONESHOT] {
                world.has_started(unit, 2);
                world.is_acknowledged(unit).await;
            }
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_replaced_unit_runs_its_new_content() {
    const NEW_ONCE: &str = "[Service]\nType=oneshot\nExecStart=/usr/bin/true\n";
    let replace = async |world: &World, daemon| {
        world.cluster.submit(UNIT, OTHER, Launched).await;
        world.cluster.submit(ONESHOT, NEW_ONCE, Launched).await;
        Some(daemon)
    };
    kill_at_every_call(launched, replace, nothing, async |world| {
        world.runs(UNIT, OTHER);
        world.has_started(UNIT, 2);
        world.has_started(ONESHOT, 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_replacement_that_is_taken_back_while_fleetd_is_away_runs_the_old_content() {
    let replace = async |world: &World, daemon| {
        world.cluster.submit(UNIT, OTHER, Launched).await;
        Some(daemon)
    };
    let take_back = async |world: &World| world.cluster.submit(UNIT, RUNS, Launched).await;
    kill_at_every_call(launched, replace, take_back, async |world| {
        world.runs(UNIT, RUNS);
        world.has_started(ONESHOT, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_destroyed_unit_is_gone() {
    let destroy = async |world: &World, daemon| {
        world.cluster.destroy(UNIT).await;
        world.cluster.destroy(ONESHOT).await;
        Some(daemon)
    };
    kill_at_every_call(launched, destroy, nothing, async |world| {
        assert_eq!(world.active(UNIT), "inactive", "{}", world.row);
        world.host.has_files(&["fails.service", NEIGHBOUR]).await;
        world.cluster.shows_nothing(UNIT).await;
        world.has_started(ONESHOT, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_is_destroyed_and_made_again_while_fleetd_is_away_runs() {
    let destroy = async |world: &World, daemon| {
        world.cluster.destroy(UNIT).await;
        Some(daemon)
    };
    let make = async |world: &World| world.cluster.launch(UNIT, RUNS).await;
    kill_at_every_call(launched, destroy, make, async |world| {
        world.runs(UNIT, RUNS);
        world.has_started(ONESHOT, 1);
    })
    .await;
}

/// What is written before fleetd tells systemd is all that a successor has, where neither systemd nor
/// the journal knows more.
#[tokio::test(start_paused = true)]
async fn without_a_journal_a_oneshot_stays_stopped_and_says_so_and_all_else_is_started() {
    let may =
        "nothing tells whether it ran before fleetd was killed, so it is not run again by itself";
    let (mut stopped, mut once) = (0, 0);
    for side in [Side::Before, Side::After] {
        for n in 0..CALLS {
            let row = format!("killed {side:?} call {n}");
            let world = World { cluster: Cluster::new().await, host: Host::new("m1"), row };
            let knife = Knife::default();
            let daemon = world.host.boot_knifed(&world.cluster, &knife).await;
            knife.arm(n, side);
            world.cluster.launch(UNIT, RUNS).await;
            world.cluster.launch(ONESHOT, ONCE).await;
            let fell = knife.falls(BUSY).await;
            daemon.kill().await;
            world.host.manager.lose_journal();
            // What nobody knows stays unknown, however often fleetd is killed.
            for _ in 0..2 {
                let daemon = world.host.boot(&world.cluster).await;
                time::sleep(QUIET).await;
                world.runs(UNIT, RUNS);
                world.has_started(UNIT, 1);
                daemon.kill().await;
            }
            let ran = world.starts(ONESHOT);
            let trouble = world.cluster.trouble(ONESHOT).await;
            match trouble.as_deref() {
                None => assert_eq!(ran, 1, "{}", world.row),
                Some(said) => {
                    assert_eq!(said, may, "{}", world.row);
                    assert!(ran <= 1, "{}", world.row);
                    stopped += 1;
                    once += ran;
                    let daemon = world.host.boot(&world.cluster).await;
                    world.ask_restart(ONESHOT).await;
                    time::sleep(QUIET).await;
                    world.has_started(ONESHOT, ran + 1);
                    world.is_acknowledged(ONESHOT).await;
                    daemon.kill().await;
                    let _daemon = world.host.boot(&world.cluster).await;
                    world.cluster.tells(ONESHOT, None).await;
                }
            }
            if !fell {
                break;
            }
        }
    }
    assert!(stopped > once && once > 0, "of {stopped} that are unknown {once} had run");
}

/// A file of an earlier version has no intents, and one of a later version may have more.
#[tokio::test(start_paused = true)]
async fn claims_of_other_versions_are_read() {
    let (cluster, host, daemon) = one_host().await;
    for (unit, text) in [(UNIT, RUNS), (ONESHOT, ONCE), (NEIGHBOUR, RUNS)] {
        cluster.launch(unit, text).await;
    }
    cluster.shows(UNIT, "active", Launched).await;
    cluster.shows(NEIGHBOUR, "active", Launched).await;
    cluster.shows(ONESHOT, "inactive", Launched).await;
    daemon.kill().await;
    let earlier = format!(
        r#"{{"{UNIT}":{{"hash":"{}","claim":"launched"}},"{ONESHOT}":{{"hash":"{}","claim":"launched"}}}}"#,
        hash(RUNS),
        hash(ONCE)
    );
    let later = format!(
        r#"{{"{UNIT}":{{"hash":"{}","claim":"launched","intent":{{"act":"freeze"}}}},"{ONESHOT}":{{"hash":"{}","claim":"launched","mood":[1]}},"no unit":7}}"#,
        hash(RUNS),
        hash(ONCE)
    );
    for text in [earlier, later] {
        std::fs::write(host.runtime_dir.join("claims"), text).unwrap();
        let daemon = host.boot(&cluster).await;
        time::sleep(QUIET).await;
        for unit in [UNIT, ONESHOT, NEIGHBOUR] {
            assert_eq!(host.manager.starts_of(&name(unit)), 1, "{unit}");
        }
        cluster.shows(UNIT, "active", Launched).await;
        daemon.kill().await;
    }
}
