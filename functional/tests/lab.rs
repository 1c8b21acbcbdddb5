//! The lab itself: hosts that are machines, accidents that look like accidents, and nothing
//! left behind. No fleet in here.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fleet_functional::{Host, Lab, Member, eventually};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn hosts_are_machines_of_their_own() -> Result<()> {
    Lab::with_hosts(2).without_fleet().story(|lab| {
        let (h1, h2) = (lab.host(1)?, lab.host(2)?);
        assert_eq!(h1.run(&["hostname"])?, "h1\n");
        assert_eq!(h1.run(&["cat", "/etc/machine-id"])?.trim(), h1.machine_id());
        assert_ne!(h1.machine_id(), h2.machine_id());
        eventually("h1 has booted without a failed unit", SOON, || {
            h1.run(&["systemctl", "is-system-running"])
        })?;

        // The same unit on both: the one's processes are no business of the other's.
        for host in [h1, h2] {
            host.run(&["systemd-run", "--unit=same", "sleep", "infinity"])?;
        }
        let kept = h2.active("same.service")?;
        h1.run(&["systemctl", "stop", "same.service"])?;
        h1.not_active("same.service")?;
        assert_eq!(h2.active("same.service")?, kept);

        h1.write("/root/note", "kept on the disk")?;
        assert_eq!(h1.run(&["cat", "/root/note"])?, "kept on the disk");
        Ok(())
    })
}

#[test]
fn hosts_and_etcd_are_of_one_release() -> Result<()> {
    Lab::with_hosts(1).without_fleet().story(|lab| {
        let host = lab.host(1)?;
        let about = host.run(&["cat", "/etc/os-release"])?;
        match lab.release() {
            Some(release) => assert!(about.contains(&format!("VERSION_CODENAME={release}\n"))),
            None => assert_eq!(about, std::fs::read_to_string("/etc/os-release")?),
        }
        let version = host.run(&["etcd", "--version"])?;
        let version = version.lines().next().and_then(|line| line.split_once(": "));
        let (_, version) = version.context("etcd tells its version")?;
        let served = lab.etcd().send("GET", "/version", None)?;
        assert!(served.contains(&format!("\"etcdserver\":\"{version}\"")), "{version}, {served}");
        Ok(())
    })
}

#[test]
fn root_logs_in_over_ssh() -> Result<()> {
    Lab::with_hosts(1).without_fleet().story(|lab| {
        let output = lab
            .command("ssh")
            .args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-i"])
            .arg(lab.folder().join("id"))
            .args([&format!("root@{}", lab.host(1)?.address()), "hostname"])
            .output()?;
        assert_eq!(String::from_utf8_lossy(&output.stdout), "h1\n", "{output:?}");
        Ok(())
    })
}

#[test]
fn a_laptop_reaches_one_host_and_no_other() -> Result<()> {
    Lab::with_hosts(2).without_fleet().story(|lab| {
        let (h1, h2) = (lab.host(1)?, lab.host(2)?);
        let mut laptop = lab.laptop(h1)?;
        laptop.write("key", &std::fs::read_to_string(lab.folder().join("id"))?)?;
        laptop.start_agent(&["key"])?;
        let log_in = |host: &Host| {
            let options = ["ssh", "-o", "StrictHostKeyChecking=no", "-o", "ConnectTimeout=5"];
            let hosts = ["-o", "UserKnownHostsFile=/dev/null", "-o", "IdentityFile=none"];
            let target = format!("root@{}", host.address());
            laptop.output(&[&options[..], &hosts, &[&target, "hostname"]].concat(), "")
        };
        assert_eq!(log_in(h1)?.stdout, "h1\n");
        let refused = log_in(h2)?;
        ensure!(refused.stderr.contains("Network is unreachable"), "{refused:?}");
        Ok(())
    })
}

#[test]
fn a_power_cut_is_silent_and_the_host_boots_again() -> Result<()> {
    Lab::with_hosts(2).without_fleet().story(|lab| {
        let (h1, h2) = (lab.host(1)?, lab.host(2)?);
        // h2 holds a connection to h1. Whoever dies politely closes it.
        let hold = "exec 3<>/dev/tcp/ADDRESS; head -n1 <&3; cat <&3; echo goodbye";
        let hold = hold.replace("ADDRESS", &ssh_of(h1));
        let listen = |unit: &str| -> Result<()> {
            h2.run(&["systemd-run", "--unit", unit, "--description=-", "bash", "-c", &hold])?;
            eventually("h2 hears h1", SOON, || heard(h2, unit, "SSH-2.0"))
        };
        listen("before")?;
        let boot_id = h1.run(&["cat", "/proc/sys/kernel/random/boot_id"])?;
        h1.power_cut()?;
        assert!(!h1.is_running());
        assert!(h1.output(&["true"]).is_err());
        assert!(heard(h2, "before", "goodbye").is_err());

        h1.boot()?;
        h1.wait_ready()?;
        assert_ne!(h1.run(&["cat", "/proc/sys/kernel/random/boot_id"])?, boot_id);
        // The same with a mere kill, to show that a goodbye would have been heard.
        listen("after")?;
        h1.run(&["systemctl", "kill", "--signal=KILL", "lab-sshd.service"])?;
        eventually("h2 hears the goodbye", SOON, || heard(h2, "after", "goodbye"))
    })
}

/// Returns the address of a host's sshd as bash's `/dev/tcp` wants it.
fn ssh_of(host: &Host) -> String {
    format!("{}/22", host.address())
}

fn heard(host: &Host, unit: &str, word: &str) -> Result<()> {
    let journal = host.journal(unit, 20);
    if journal.contains(word) { Ok(()) } else { bail!("it heard only {journal}") }
}

#[test]
fn a_partition_cuts_off_etcd_and_nothing_else() -> Result<()> {
    Lab::with_hosts(2).without_fleet().story(|lab| {
        let (h1, h2) = (lab.host(1)?, lab.host(2)?);
        let reach = |address: &str| -> Result<()> {
            let open = format!("exec 3<>/dev/tcp/{address}");
            h1.run(&["timeout", "1", "bash", "-c", &open]).map(drop)
        };
        let etcd = lab.etcd().url().replace("http://", "").replace(':', "/");
        reach(&etcd)?;
        h1.partition()?;
        assert!(reach(&etcd).is_err());
        reach(&ssh_of(h2))?;
        h1.heal()?;
        reach(&etcd)
    })
}

#[test]
fn etcd_keeps_its_data_and_can_hang() -> Result<()> {
    Lab::with_hosts(1).without_fleet().story(|lab| {
        let etcd = lab.etcd();
        // "k" and "v" in base64, as etcd's JSON gateway wants them.
        let put = || etcd.send("POST", "/v3/kv/put", Some(r#"{"key":"aw==","value":"dg=="}"#));
        let get = || -> Result<()> {
            let found = etcd.send("POST", "/v3/kv/range", Some(r#"{"key":"aw=="}"#))?;
            ensure!(found.contains(r#""value":"dg==""#), "it has {found}");
            Ok(())
        };
        put()?;
        etcd.freeze()?;
        assert!(get().is_err());
        etcd.thaw()?;
        eventually("etcd answers again", SOON, get)?;
        etcd.stop()?;
        assert!(etcd.process().is_none());
        etcd.start()?;
        get()?;
        assert!(etcd.metric("etcd_server_proposals_committed_total")? > 0.0);
        Ok(())
    })
}

#[test]
fn etcd_with_three_members_goes_on_without_the_one_that_led() -> Result<()> {
    Lab::with_hosts(1).etcd(3).without_fleet().story(|lab| {
        let etcd = lab.etcd();
        let body = r#"{"key":"aw==","value":"dg=="}"#;
        etcd.send("POST", "/v3/kv/put", Some(body))?;
        let is_followed = |former: &Member| {
            eventually("another one leads", SOON, || {
                let others = etcd.members().iter().filter(|other| other.name() != former.name());
                let leads = others.map(|other| other.leads().unwrap_or(false));
                ensure!(leads.filter(|leads| *leads).count() == 1, "not yet");
                etcd.send("POST", "/v3/kv/put", Some(body)).map(drop)
            })
        };

        let killed = etcd.leader()?;
        killed.kill()?;
        is_followed(killed)?;
        killed.start()?;
        etcd.wait_healthy()?;

        let alone = etcd.leader()?;
        alone.partition()?;
        is_followed(alone)?;
        ensure!(alone.health().is_err(), "it is cut off, and well");
        alone.heal()?;
        etcd.wait_healthy()?;

        // A host that is cut off reaches none of them.
        let h1 = lab.host(1)?;
        let reach = |member: &Member| -> Result<()> {
            let open = format!("exec 3<>/dev/tcp/{}/2379", member.address());
            h1.run(&["timeout", "1", "bash", "-c", &open]).map(drop)
        };
        etcd.members().iter().try_for_each(reach)?;
        h1.partition()?;
        assert!(etcd.members().iter().all(|member| reach(member).is_err()));
        etcd.kill()?;
        etcd.start()
    })
}

#[test]
fn a_lab_goes_down_with_its_story_even_when_that_panics() {
    let mut folder = None;
    let mut processes = Vec::new();
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        Lab::with_hosts(1).without_fleet().story(|lab| {
            folder = Some(lab.folder().to_owned());
            processes.extend(lab.etcd().process());
            processes.push(lab.host(1)?.init()?);
            panic!("the story ends badly (on purpose)")
        })
    }));
    assert!(told.is_err());
    assert_eq!(processes.len(), 2);
    assert!(!processes.iter().any(|process| process.is_alive()));
    assert!(!folder.expect("the story began").exists());
}

#[test]
fn a_lab_does_not_outlive_its_owner_and_the_next_one_clears_its_remains() -> Result<()> {
    let name = format!("orphan-{}", std::process::id());
    let folder = Path::new("/var/tmp").join(format!("fleet-lab-{name}"));
    let up = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
        command.args(["--name", &name, "up", "1", "--without-fleet"]).args(args);
        command
    };
    let mut owner = up(&["--foreground"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(owner.stdout.take().context("piped")?).lines();
    ensure!(lines.any(|line| line.is_ok_and(|line| line.starts_with("all of it"))), "never up");

    let init = Lab::open(&folder)?.host(1)?.init()?;
    owner.kill()?; // as SIGKILL does it: no chance to clean up
    owner.wait()?;
    init.wait_gone(SOON)?;
    eventually("the lab has ended", SOON, || {
        if Lab::open(&folder).is_ok() { bail!("it runs") } else { Ok(()) }
    })?;
    assert!(folder.exists());

    let mut next = up(&["--foreground"]).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    assert!(next.wait()?.success());
    assert!(!folder.exists());
    Ok(())
}
