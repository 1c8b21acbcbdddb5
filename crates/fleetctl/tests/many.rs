//! Commands on many units at a time (`fleetctl.md` 4.7, 5.1 to 5.7), from the real binary.

mod support;

use support::{Cluster, Desk, HELLO, error};

/// Names of so many units.
fn names(many: usize) -> Vec<String> {
    (0..many).map(|n| format!("u{n:03}.service")).collect()
}

/// A desk at a cluster that has so many units, all in this state; and at files of so many.
fn desk(units: usize, state: &'static str, files: usize) -> Desk {
    let names = names(units);
    let units: Vec<_> = names.iter().map(|name| (&**name, HELLO, state, state)).collect();
    with_files(Desk::at(Cluster::with(&units)), files)
}

fn with_files(desk: Desk, files: usize) -> Desk {
    names(files).iter().fold(desk, |desk, name| desk.file(name, HELLO))
}

/// The requests that ask for whole lists of units or states.
fn lists(requests: &[String]) -> Vec<&String> {
    let is_list = |request: &&String| {
        let list = ["GET units", "GET state"].iter().find_map(|list| request.strip_prefix(list));
        list.is_some_and(|rest| rest.is_empty() || rest.starts_with("?limit"))
    };
    requests.iter().filter(is_list).collect()
}

#[test]
fn what_is_asked_of_a_few_units_asks_for_no_list() {
    let desk = desk(500, "launched", 0);
    for words in ["stop u001 u002 u003", "start u001", "unload u003 u001", "destroy u001 u002"] {
        let run = desk.run(words);
        assert_eq!(run.code, Some(0), "{}", run.transcript());
        assert_eq!(lists(&run.requests), [""; 0], "{words}");
    }
}

#[test]
fn many_units_are_told_of_in_their_order_and_asked_for_by_lists() {
    let desk = desk(200, "inactive", 300);
    let all = names(300).join(" ");
    for (words, done) in [
        ("start", "launched on c31e44e1.../1.2.3.4"),
        ("stop", "loaded on c31e44e1.../1.2.3.4"),
        ("unload", "inactive"),
    ] {
        let run = desk.run(&format!("{words} {all}"));
        assert_eq!(run.code, Some(0), "{}", run.transcript());
        let said: Vec<String> =
            names(300).iter().map(|name| format!("Unit {name} {done}")).collect();
        let mut lines: Vec<&str> = run.out.lines().filter(|line| line.ends_with(done)).collect();
        lines.sort_unstable();
        lines.dedup();
        let missing: Vec<&String> = said.iter().filter(|line| !lines.contains(&&***line)).collect();
        assert!(missing.is_empty(), "{words}: {missing:?}");
        assert!(lists(&run.requests).len() < 6, "{words}: {:?}", lists(&run.requests));
    }
    let run = desk.run(&format!("destroy {all}"));
    let said: Vec<String> = names(300).iter().map(|name| format!("Destroyed {name}")).collect();
    assert_eq!(run.out.lines().collect::<Vec<_>>(), said);
    assert!(lists(&run.requests).len() < 8, "{:?}", lists(&run.requests));
}

#[test]
fn what_can_not_be_had_leaves_all_that_come_later_as_they_were() {
    let desk = with_files(Desk::at(Cluster::empty()), 50);
    let before = names(50).join(" ");
    let desk = desk.file("z.service", HELLO);
    let run = desk.run(&format!("submit {before} missing z"));
    assert_eq!(run.code, Some(1));
    let kept = format!("Submitted before the error, and kept: {}\n", names(50).join(", "));
    let text =
        "Error creating units: unable to find Unit(missing.service) in Registry or on filesystem\n";
    assert_eq!(run.err, format!("{kept}{text}"));
    let known: Vec<String> = desk.cluster.units.lock().unwrap().keys().cloned().collect();
    assert_eq!(known, names(50));
}

#[test]
fn a_refusal_ends_the_command_and_what_was_under_way_is_told_of() {
    let cluster = Cluster::ruled(&[], |request| {
        let refused = request.method == "PUT" && request.target.contains("u100");
        refused.then(|| error(400, "no"))
    });
    let desk = with_files(Desk::at(cluster), 200);
    let run = desk.run(&format!("submit {}", names(200).join(" ")));
    let text =
        "Error creating units: failed creating unit u100.service: googleapi: Error 400: no\n";
    assert!(run.code == Some(1) && run.err.ends_with(text), "{}", run.err);
    let kept = run.err.lines().next().unwrap();
    let kept = kept.strip_prefix("Submitted before the error, and kept: ").unwrap();
    let kept: Vec<String> = kept.split(", ").map(str::to_owned).collect();
    let known: Vec<String> = desk.cluster.units.lock().unwrap().keys().cloned().collect();
    assert_eq!(kept, known, "whatever the cluster took is named");
    assert_eq!(kept[..100], names(100), "all before it");
    assert!(kept.len() < 100 + 64, "and of the others only those that were under way");
}

#[test]
fn who_is_named_twice_or_rests_on_another_is_looked_at_later() {
    let desk =
        Desk::at(Cluster::empty()).file("a.service", HELLO).file("templates/t@.service", HELLO);
    let run = desk.run("submit a a templates/t@ t@1");
    assert_eq!(run.code, Some(0), "{}", run.transcript());
    let known: Vec<String> = desk.cluster.units.lock().unwrap().keys().cloned().collect();
    assert_eq!(known, ["a.service", "t@.service", "t@1.service"]);
    let puts = run.requests.iter().filter(|request| request.starts_with("PUT")).count();
    assert_eq!(puts, 3);
}
