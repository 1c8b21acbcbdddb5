//! Units of every type, templates and instances.

use fleet_agent::manager::{JobResult, ManagerError, UnitManager};

use crate::machine::{
    Machine, RUNS, file, listed, load, reload, start, state, stop, unit, units, unload,
};

#[tokio::test]
async fn units_of_every_type_can_be_driven() {
    let machine = Machine::shared();
    let manager = machine.manager("types").await;
    let target = ("types.target", "[Unit]\nDescription=what the others start\n");
    // No automount: systemd has none in a container.
    for (name, text, running) in [
        ("types-a.target", "[Unit]\nDescription=a\n", "active/active"),
        ("types.timer", "[Timer]\nOnActiveSec=1h\nUnit=types.target\n", "active/waiting"),
        ("types.path", "[Path]\nPathExists=/none\nUnit=types.target\n", "active/waiting"),
        ("types.slice", "[Slice]\nCPUWeight=50\n", "active/active"),
        ("run-auto.mount", "[Mount]\nWhat=a\nWhere=/run/auto\nType=tmpfs\n", "active/mounted"),
    ] {
        load(&manager, &[(name, text), target]).await;
        reload(&manager, &[name, target.0]).await;
        assert_eq!(start(&manager, name).await, JobResult::Done, "{name}");
        assert_eq!(state(&manager, name).await, format!("loaded/{running}"), "{name}");
        assert_eq!(stop(&manager, name).await, JobResult::Done, "{name}");
        unload(&manager, &[name, target.0]).await;
        reload(&manager, &[]).await;
        assert_eq!(machine.run(&format!("find /run/systemd/system -name {name}")), "");
    }
}

#[tokio::test]
async fn socket_and_its_service_come_and_go_together() {
    let machine = Machine::shared();
    let manager = machine.manager("socket").await;
    let (socket, service) = ("pair.socket", "pair.service");
    load(&manager, &[(socket, "[Socket]\nListenStream=/run/pair.sock\n"), (service, RUNS)]).await;
    assert!(!reload(&manager, &[socket, service]).await);
    assert_eq!(start(&manager, socket).await, JobResult::Done);
    assert_eq!(state(&manager, socket).await, "loaded/active/listening");
    machine.run("test -S /run/pair.sock");
    for name in [socket, service] {
        assert_eq!(stop(&manager, name).await, JobResult::Done);
    }
    unload(&manager, &[socket, service]).await;
    assert!(!reload(&manager, &[]).await);
    for name in [socket, service] {
        assert_eq!(state(&manager, name).await, "not-found/inactive/dead");
    }
}

#[tokio::test]
async fn instances_outlive_their_template() {
    let machine = Machine::shared();
    let manager = machine.manager("template").await;
    let (template, one, two) = ("plate@.service", "plate@1.service", r"plate@a\x2db.service");
    load(&manager, &[(template, RUNS), (one, RUNS), (two, RUNS)]).await;
    for name in [one, two] {
        assert_eq!(start(&manager, name).await, JobResult::Done);
        assert_eq!(state(&manager, name).await, "loaded/active/running");
    }
    // systemd removes the links of a template's instances with it: ours come back.
    unload(&manager, &[template]).await;
    for name in [one, two] {
        assert_eq!(stop(&manager, name).await, JobResult::Done);
        assert_eq!(start(&manager, name).await, JobResult::Done, "{name} is still linked");
        stop(&manager, name).await;
    }
    assert_eq!(machine.run("find /run/systemd/system -name plate@*").lines().count(), 2);
    unload(&manager, &[one, two]).await;
    assert_eq!(machine.run("find /run/systemd/system -name plate@*"), "");
}

#[tokio::test]
async fn type_that_systemd_has_dropped_costs_only_its_unit() {
    let machine = Machine::shared();
    let manager = machine.manager("dropped").await;
    let (dropped, good) = ("dropped.snapshot", "dropped-good.service");
    let files = [(unit(dropped), file("[Unit]\nDescription=a\n")), (unit(good), file(RUNS))];
    let answers = manager.load(&files.into()).await;
    assert!(matches!(answers[&unit(dropped)], Err(ManagerError::Refused(_))), "{answers:?}");
    assert!(answers[&unit(good)].is_ok(), "{answers:?}");
    let here = manager.units().await.unwrap();
    assert!(!here[&unit(dropped)].finished, "it isn't loaded");
    assert_eq!(here[&unit(good)], listed(RUNS));
    assert!(!reload(&manager, &[dropped, good]).await);
    assert_eq!(start(&manager, good).await, JobResult::Done);
    let states = manager.states(&units(&[dropped, good])).await.unwrap();
    assert_eq!(states[&unit(dropped)].load, "not-found");
    assert_eq!(states[&unit(good)].active, "active");
    for name in [dropped, good] {
        assert_eq!(stop(&manager, name).await, JobResult::Done, "{name}");
    }
    unload(&manager, &[dropped, good]).await;
    assert!(manager.units().await.unwrap().is_empty());
}
