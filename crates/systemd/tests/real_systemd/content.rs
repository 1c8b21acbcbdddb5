//! What runs is what was loaded last: reloads happen when they must, and only then.

use fleet_agent::manager::{JobResult, ManagerError, UnitManager};
use fleet_testkit::eventually;

use crate::machine::{Machine, RUNS, SOON, load, reload, start, state, stop, unit, units, unload};

/// Sleeps for so many seconds, which tells one content from another.
fn sleeps(seconds: u32) -> String {
    format!("[Service]\nExecStart=/bin/sleep {seconds}\n")
}

/// Whether the unit runs, or ran last, the content of [`sleeps`].
fn runs(machine: &Machine, unit: &str, seconds: u32) -> bool {
    let argv = format!("argv[]=/bin/sleep {seconds} ;");
    machine.show(unit, "ExecStart").contains(&argv)
}

#[tokio::test]
async fn rewritten_unit_that_runs_is_reloaded() {
    let machine = Machine::shared();
    let manager = machine.manager("rewritten").await;
    let name = "rewritten.service";
    load(&manager, &[(name, &sleeps(1000))]).await;
    assert!(!reload(&manager, &[name]).await);
    start(&manager, name).await;
    // In quick succession: file times must tell them apart all the same.
    for seconds in 1001..1011 {
        load(&manager, &[(name, &sleeps(seconds))]).await;
        assert!(reload(&manager, &[name]).await, "{seconds}");
        assert!(!reload(&manager, &[name]).await, "once is enough");
        assert!(runs(&machine, name, seconds), "systemd has read {seconds}");
    }
    stop(&manager, name).await;
    start(&manager, name).await;
    let pid = machine.show(name, "MainPID");
    assert_eq!(machine.run(&format!("cat /proc/{pid}/cmdline")), "/bin/sleep\x001010\0");
    stop(&manager, name).await;
    unload(&manager, &[name]).await;
}

#[tokio::test]
async fn unit_kept_in_memory_by_another_starts_with_new_content() {
    let machine = Machine::boot(); // others reload
    let manager = machine.manager("kept").await;
    let (keeper, kept) = ("kept-keeper.service", "kept.service");
    let keeps = format!("[Unit]\nAfter={kept}\n{RUNS}");
    load(&manager, &[(keeper, &keeps), (kept, &sleeps(2000))]).await;
    start(&manager, keeper).await;
    start(&manager, kept).await;
    stop(&manager, kept).await;
    unload(&manager, &[kept]).await;
    load(&manager, &[(kept, &sleeps(2001))]).await;
    assert!(reload(&manager, &[kept]).await);
    assert_eq!(start(&manager, kept).await, JobResult::Done);
    assert!(runs(&machine, kept, 2001));
    stop(&manager, kept).await;
    stop(&manager, keeper).await;
    unload(&manager, &[keeper, kept]).await;
}

#[tokio::test]
async fn unloaded_unit_that_another_keeps_cannot_be_started() {
    let machine = Machine::boot(); // others reload
    let manager = machine.manager("ghost").await;
    let (keeper, ghost) = ("ghost-keeper.service", "ghost.service");
    let keeps = format!("[Unit]\nAfter={ghost}\n{RUNS}");
    load(&manager, &[(keeper, &keeps), (ghost, RUNS)]).await;
    start(&manager, keeper).await;
    start(&manager, ghost).await;
    stop(&manager, ghost).await;
    unload(&manager, &[ghost]).await;
    assert_eq!(state(&manager, ghost).await, "loaded/inactive/dead", "systemd remembers it");
    assert!(reload(&manager, &[]).await, "what was unloaded counts as concerned");
    assert_eq!(state(&manager, ghost).await, "not-found/inactive/dead");
    assert!(matches!(manager.start(&unit(ghost)).await, Err(ManagerError::Refused(_))));
    assert!(!reload(&manager, &[]).await);
    stop(&manager, keeper).await;
    unload(&manager, &[keeper]).await;
}

#[tokio::test]
async fn unit_that_was_missed_before_it_came_needs_no_reload() {
    let machine = Machine::boot(); // what others enable makes a newer systemd want one
    let manager = machine.manager("missed").await;
    let (first, missed) = ("missed-first.service", "missed.service");
    let misses = format!("[Unit]\nAfter={missed}\n{RUNS}");
    load(&manager, &[(first, &misses)]).await;
    start(&manager, first).await;
    assert_eq!(state(&manager, missed).await, "not-found/inactive/dead");
    load(&manager, &[(missed, RUNS)]).await;
    assert!(!reload(&manager, &[missed]).await);
    assert_eq!(start(&manager, missed).await, JobResult::Done);
    for name in [first, missed] {
        stop(&manager, name).await;
    }
    unload(&manager, &[first, missed]).await;
}

#[tokio::test]
async fn enabled_unit_is_wanted_after_whatever_reload_comes_and_no_longer_after_the_next() {
    let machine = Machine::shared();
    let manager = machine.manager("wanted").await;
    let name = "wanted.service";
    let wants = || machine.show("multi-user.target", "Wants").contains(name);
    load(&manager, &[(name, &format!("{RUNS}[Install]\nWantedBy=multi-user.target\n"))]).await;
    assert!(!reload(&manager, &[name]).await, "what wants it has been started already");
    machine.run("systemctl daemon-reload");
    assert!(wants());
    assert!(!reload(&manager, &[name]).await);
    unload(&manager, &[name]).await;
    assert!(reload(&manager, &[]).await, "what wants it keeps it in memory");
    assert!(!wants());
    assert_eq!(machine.run("find /run/systemd /etc/systemd -name wanted.service"), "");
}

#[tokio::test]
async fn links_to_what_is_in_memory_are_reloaded_where_they_matter_at_once() {
    let machine = Machine::boot(); // others reload
    let manager = machine.manager("links").await;
    let install = |what: &str| format!("{RUNS}[Install]\n{what}\n");
    let (by, idle) = ("links-by.service", "links-idle.service");
    load(&manager, &[(by, RUNS), (idle, RUNS)]).await;
    start(&manager, by).await;
    for (name, what, needed) in [
        ("links-a.service", "WantedBy=multi-user.target", false),
        ("links-b.service", "WantedBy=links-by.service", false),
        ("links-c.service", "WantedBy=links-idle.service", false),
        ("links-d.service", "RequiredBy=links-by.service", true),
        ("links-e.service", "RequiredBy=links-idle.service", false),
        ("links-f.service", "Alias=links-other.service", true),
    ] {
        load(&manager, &[(name, &install(what))]).await;
        assert_eq!(reload(&manager, &[name]).await, needed, "{what}");
        assert_eq!(start(&manager, name).await, JobResult::Done, "{what}");
    }
    // One that isn't in memory finds its links when it is loaded.
    let wants = machine.show(idle, "Wants");
    assert!(wants.contains("links-c.service"), "{wants}");
    assert!(machine.show(idle, "Requires").contains("links-e.service"));
}

#[tokio::test]
async fn timer_that_has_elapsed_does_not_for_another_unit_with_install() {
    let machine = Machine::boot(); // others reload
    let manager = machine.manager("timed").await;
    let (service, timer) = ("timed.service", "timed.timer");
    let fires = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo fired >> /run/timed.log'\n";
    let ticks = "[Timer]\nOnActiveSec=200ms\nOnCalendar=yearly\nAccuracySec=1ms\n";
    load(&manager, &[(service, fires), (timer, ticks)]).await;
    assert!(!reload(&manager, &[service, timer]).await);
    start(&manager, timer).await;
    eventually("it fires", SOON, || async { machine.host().run(&["cat", "/run/timed.log"]) }).await;
    for number in 0..3 {
        let name = format!("timed-other{number}.service");
        load(&manager, &[(&name, &format!("{RUNS}[Install]\nWantedBy=multi-user.target\n"))]).await;
        assert!(!reload(&manager, &[&name]).await);
        start(&manager, &name).await;
        stop(&manager, &name).await;
        unload(&manager, &[&name]).await;
        assert!(!reload(&manager, &[]).await);
    }
    // A second firing would come as the first did; this comes after it could have.
    let later =
        "systemd-run --quiet --on-active=400ms --timer-property=AccuracySec=1ms touch /run/later";
    machine.run(later);
    eventually("later", SOON, || async { machine.host().run(&["stat", "/run/later"]) }).await;
    assert_eq!(machine.run("cat /run/timed.log").trim(), "fired");
}

#[tokio::test]
async fn alias_has_the_state_of_its_unit() {
    let machine = Machine::shared();
    let manager = machine.manager("alias").await;
    machine.host().write("/etc/systemd/system/real.service", RUNS).unwrap();
    machine.run("ln -s real.service /etc/systemd/system/alias.service");
    machine.run("ln -s real.service /etc/systemd/system/other.service");
    machine.run("systemctl daemon-reload");
    machine.run("systemctl start real.service");
    for asked in [&["alias.service", "none.service"][..], &["alias.service", "other.service"]] {
        let states = manager.states(&units(asked)).await.unwrap();
        assert_eq!(states[&unit("alias.service")].active, "active", "{asked:?}");
    }
    machine.run("systemctl stop real.service");
}
