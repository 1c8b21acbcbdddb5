//! `status` and `journal`, from the real binary: where the units of this machine and of machines
//! out of reach are (`ssh.md` 7). Commands of this machine are stood in for.

mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use insta::assert_snapshot;
use support::{Cluster, GLOBAL, HELLO, MACHINE, Run, error, run, server::Reply};
use tempfile::TempDir;

/// The id of the machine that this runs on.
fn here() -> String {
    let id = fs::read_to_string("/etc/machine-id").expect("a machine has an id");
    id.trim().to_owned()
}

/// A cluster of which this machine is a part, and a folder of commands.
struct Desk {
    cluster: Cluster,
    folder: TempDir,
}

impl Desk {
    /// A cluster in which `a` and `b` run here, `far` runs elsewhere, `idle` nowhere, and
    /// `all` on both machines.
    fn new() -> Self {
        let units = [
            ("a.service", HELLO, "launched", "launched"),
            ("b.service", HELLO, "launched", "loaded"),
            ("far.service", HELLO, "launched", "launched"),
            ("idle.service", HELLO, "inactive", "inactive"),
            ("all.service", GLOBAL, "launched", ""),
            ("nowhere.service", GLOBAL, "launched", ""),
        ];
        let cluster = Cluster::ruled(&units, |request| {
            let here = here();
            let path = request.target.trim_start_matches("/fleet/v1/");
            let state = |machine: &str, active: &str, sub: &str| {
                format!(
                    r#"{{"name":"all.service","machineID":"{machine}","systemdLoadState":"loaded","systemdActiveState":"{active}","systemdSubState":"{sub}"}}"#
                )
            };
            if path.starts_with("state") && path.contains("unitName=all.service") {
                let (near, far) =
                    (state(&here, "active", "running"), state(MACHINE, "failed", "failed"));
                return Some(Reply::Send(200, format!(r#"{{"states":[{near},{far}]}}"#)));
            }
            path.starts_with("units/broken").then(|| error(500, "boom")).or_else(|| {
                let machines = format!(
                    r#"{{"machines":[{{"id":"{MACHINE}","primaryIP":"127.0.0.1"}},{{"id":"{here}","primaryIP":"127.0.0.2"}}]}}"#
                );
                path.starts_with("machines").then_some(Reply::Send(200, machines))
            })
        });
        for (name, machine) in
            [("a", &*here()), ("b", &*here()), ("far", MACHINE), ("all", ""), ("nowhere", "")]
        {
            let mut units = cluster.units.lock().unwrap();
            let unit = units.get_mut(&format!("{name}.service")).unwrap();
            unit.machine_id = machine.to_owned();
        }
        let desk = Self { cluster, folder: tempfile::tempdir().unwrap() };
        fs::create_dir(desk.bin()).unwrap();
        desk
    }

    fn bin(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    /// Adds a command.
    fn command(self, name: &str, script: &str) -> Self {
        let path = self.bin().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// Commands that say how they were called.
    fn telling(self) -> Self {
        self.command("systemctl", "echo systemctl $*; cat; case $* in *b.service) exit 3; esac")
            .command("journalctl", "echo journalctl $*; exit 4")
            .command("sudo", "echo sudo $*")
    }

    fn run(&self, words: &str) -> Run {
        let words: Vec<&str> = words.split_whitespace().collect();
        let path = format!("{}:/usr/bin:/bin", self.bin().display());
        let variables = [("FLEETCTL_ENDPOINT", &*self.cluster.server.endpoint()), ("PATH", &path)];
        let mut run = run(self.folder.path(), &words, &variables);
        let hide = |text: &str| text.replace(&here(), "HERE").replace(&here()[..8], "HERE");
        (run.out, run.err) = (hide(&run.out), hide(&run.err));
        run
    }

    fn shows(&self, words: &str) -> String {
        self.run(words).transcript()
    }
}

const NO_AGENT: &str = "SSH_AUTH_SOCK environment variable is not set. Verify ssh-agent is \
                        running. See https://github.com/coreos/fleet/blob/master/Documentation/using-the-client.md for help.";

#[test]
fn units_of_this_machine_are_shown_by_its_own_systemctl() {
    let desk = Desk::new().telling();
    assert_snapshot!(desk.shows("status a"), @r"
    rc 0
    out|systemctl status -l -- a.service
    ");
    assert_snapshot!(desk.shows("status --no-block --block-attempts=5 --ssh-port=2222 b dir/a"), @r"
    rc 3
    out|systemctl status -l -- b.service
    out|
    out|systemctl status -l -- a.service
    ");
    assert_snapshot!(desk.shows("status"), @"rc 0");
}

#[test]
fn what_cannot_be_shown_is_named_and_the_others_are_shown() {
    let desk = Desk::new().telling();
    assert_snapshot!(desk.shows("status nope idle a b"), @r"
    rc 1
    out|systemctl status -l -- a.service
    out|
    out|systemctl status -l -- b.service
    err|Unit nope.service does not exist.
    err|Unit idle.service does not appear to be loaded.
    ");
    assert_snapshot!(desk.shows("status b broken a"), @r"
    rc 3
    out|systemctl status -l -- b.service
    err|Error retrieving unit: googleapi: Error 500: boom
    ");
    assert_snapshot!(desk.shows("status --machine=c31 a"), @r"
    rc 1
    err|Unit a.service is not on a machine whose id begins with c31.
    ");
}

#[test]
fn a_machine_out_of_reach_ends_with_255_and_does_not_hold_up_the_others() {
    let desk = Desk::new().telling();
    let run = desk.run("status far a");
    assert_eq!(run.code, Some(255));
    assert_eq!(run.out, "\nsystemctl status -l -- a.service\n");
    let text = format!("Unable to SSH to remote host: {NO_AGENT}");
    assert!(run.err.starts_with(&text), "{}", run.err);
}

#[test]
fn a_global_unit_has_a_block_for_each_machine() {
    let desk = Desk::new().telling();
    let run = desk.run("status all b");
    assert_eq!(run.code, Some(3), "of b");
    let mut blocks = [
        "==> HERE.../127.0.0.2 <==\nsystemctl status -- all.service\n",
        "==> c31e44e1.../127.0.0.1 <==\nall.service (from the registry)\n     Loaded: loaded\n     Active: failed (failed)\n",
    ];
    if here().as_str() > MACHINE {
        blocks.reverse();
    }
    let expected = format!("systemctl status -l -- b.service\n\n{}", blocks.join("\n"));
    assert_eq!(run.out, expected);
    let text = format!("c31e44e1.../127.0.0.1: Unable to SSH to remote host: {NO_AGENT}");
    assert!(run.err.starts_with(&text), "{}", run.err);
    assert_eq!(desk.run("status all").code, Some(0), "every machine got a block");

    let near = desk.run(&format!("status all --machine {}", &here()[..6]));
    assert_eq!((near.code, &*near.err), (Some(0), ""));
    assert_eq!(near.out, "==> HERE.../127.0.0.2 <==\nsystemctl status -- all.service\n");
    assert_eq!(desk.run("status all --machine c31").code, Some(255));
    assert_snapshot!(desk.shows("status nowhere"), @r"
    rc 1
    err|Unable to retrieve status of global unit nowhere.service: no machine reports a state.
    ");
    assert_snapshot!(desk.shows("status --machine=zz all"), @r"
    rc 1
    err|Unable to retrieve status of global unit all.service: no machine whose id begins with zz reports a state.
    ");
}

#[test]
fn journals_of_this_machine_are_read_by_its_own_journalctl() {
    let desk = Desk::new().telling();
    assert_snapshot!(desk.shows("journal a"), @r"
    rc 4
    out|journalctl --unit a.service --no-pager -n 10 --output short
    ");
    assert_snapshot!(desk.shows("journal -f --sudo --lines 5 --output=json b"), @r"
    rc 0
    out|sudo journalctl --unit b.service --no-pager -n 5 --output json -f
    ");
    assert_snapshot!(desk.shows("journal"), @r"
    rc 1
    err|One unit file must be provided.
    ");
    assert_snapshot!(desk.shows("journal a b"), @r"
    rc 1
    err|One unit file must be provided.
    ");
    assert_snapshot!(desk.shows("journal nope"), @r"
    rc 1
    err|Unit nope.service does not exist.
    ");
    assert_snapshot!(desk.shows("journal idle"), @r"
    rc 1
    err|Unit idle.service does not appear to be running.
    ");
    assert_snapshot!(desk.shows("journal broken"), @r"
    rc 1
    err|Error retrieving unit broken.service: googleapi: Error 500: boom
    ");
    assert_snapshot!(desk.shows("journal --machine=c31 a"), @r"
    rc 1
    err|Unit a.service is not on a machine whose id begins with c31.
    ");
}

#[test]
fn the_journal_of_a_global_unit_has_a_block_for_each_machine() {
    let desk = Desk::new().telling();
    let run = desk.run("journal all");
    let near = "==> HERE.../127.0.0.2 <==\njournalctl --unit all.service --no-pager -n 10 --output short\n";
    let far = "==> c31e44e1.../127.0.0.1 <==\n";
    let near_first = here().as_str() < MACHINE;
    let (blocks, code) = if near_first { ([near, far], 4) } else { ([far, near], 255) };
    assert_eq!((run.code, &*run.out), (Some(code), &*blocks.join("\n")));
    let text = format!("c31e44e1.../127.0.0.1: Unable to SSH to remote host: {NO_AGENT}");
    assert!(run.err.starts_with(&text), "{}", run.err);

    let picked = desk.run(&format!("journal -f --machine {} all", here()));
    assert_eq!(picked.code, Some(4));
    assert_eq!(picked.out, "journalctl --unit all.service --no-pager -n 10 --output short -f\n");
    let following = desk.run("journal -f all");
    let text = "Unable to follow several machines: pick one with --machine: ";
    assert!(following.err.starts_with(text) && following.code == Some(1), "{}", following.err);
    assert_snapshot!(desk.shows("journal nowhere"), @r"
    rc 1
    err|Unable to retrieve journal of global unit nowhere.service: no machine reports a state.
    ");
    assert_snapshot!(desk.shows("journal --machine=zz all"), @r"
    rc 1
    err|Unable to retrieve journal of global unit all.service: no machine whose id begins with zz reports a state.
    ");
}

#[test]
fn what_cannot_be_run_here_is_named() {
    let desk = Desk::new();
    let endpoint = desk.cluster.server.endpoint();
    let variables = [("FLEETCTL_ENDPOINT", &*endpoint), ("PATH", "/nowhere")];
    let run = run(Path::new("/"), &["status", "a"], &variables);
    assert_snapshot!(run.transcript(), @r"
    rc 255
    err|Error running local command: systemctl: no such file or directory
    ");
    let killed = Desk::new().command("systemctl", "kill -KILL $$");
    assert_eq!(killed.shows("status a"), "rc 255\n");
}

#[test]
fn machines_that_cannot_be_found_are_a_failure() {
    let desk = Desk::new();
    for (machine, text) in [
        ("gone", "Error getting machine IP: machine ID not found"),
        ("", "Error getting machine IP: machine ID not found"),
    ] {
        let mut units = desk.cluster.units.lock().unwrap();
        units.get_mut("far.service").unwrap().machine_id = machine.to_owned();
        drop(units);
        assert_eq!(desk.shows("journal far"), format!("rc 1\nerr|{text}\n"), "{machine}");
    }
    let blank = Cluster::ruled(&[("far.service", HELLO, "launched", "launched")], |request| {
        let machines = format!(r#"{{"machines":[{{"id":"{MACHINE}"}}]}}"#);
        request.target.contains("/machines").then_some(Reply::Send(200, machines))
    });
    let run = run(
        Path::new("/"),
        &["status", "far"],
        &[("FLEETCTL_ENDPOINT", &*blank.server.endpoint())],
    );
    assert_eq!(run.transcript(), "rc 1\nerr|Could not determine address of machine.\n");
    let down = Cluster::ruled(&[("far.service", HELLO, "launched", "launched")], |request| {
        request.target.contains("/machines").then(|| error(503, "no etcd"))
    });
    let run = support::run(
        Path::new("/"),
        &["journal", "far"],
        &[("FLEETCTL_ENDPOINT", &*down.server.endpoint())],
    );
    assert_eq!(
        run.transcript(),
        "rc 1\nerr|Error getting machine IP: googleapi: Error 503: no etcd\n"
    );
}

#[test]
fn a_local_command_ends_with_fleetctl() {
    let desk = Desk::new().command("journalctl", "echo $$ > pid; exec sleep 60");
    let mut child = Command::new(env!("CARGO_BIN_EXE_fleetctl"))
        .args(["journal", "-f", "a"])
        .current_dir(desk.folder.path())
        .env_clear()
        .env("FLEETCTL_ENDPOINT", desk.cluster.server.endpoint())
        .env("PATH", format!("{}:/usr/bin:/bin", desk.bin().display()))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let pid = eventually("the command runs", || {
        let text = fs::read_to_string(desk.folder.path().join("pid")).ok()?;
        text.strip_suffix('\n').map(str::to_owned)
    });
    // It is sleep by now, and still ours to wait for.
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    eventually("the command is gone", || (!Path::new("/proc").join(&pid).exists()).then_some(()));
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = SystemTime::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed().unwrap() < Duration::from_secs(20), "not yet: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
