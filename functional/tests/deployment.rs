//! The ways to run fleetd: with the units, the user and the rules that are installed with it,
//! for one user, for trying it out, and with an etcd that shows and wants certificates
//! (fleetd.md 2, 6, 9 and 10).

use std::env;
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fleet_functional::{Host, Lab, Output, eventually, units};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

const SOON: Duration = Duration::from_secs(10);

/// Installs fleet below `/usr/local` of a host, in the place of what the lab runs there. Returns
/// the commands that `build.sh install` says are left to do.
fn install(host: &Host) -> Result<Vec<String>> {
    let tree = tempfile::tempdir()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut installer = Command::new(root.join("build.sh"));
    installer.args(["install", "/usr/local"]).env("DESTDIR", tree.path());
    // What cargo sets for this test would make it build again what is built.
    for (name, _) in env::vars_os() {
        let kept = ["CARGO_HOME", "CARGO_TARGET_DIR"].iter().any(|kept| name == *kept);
        if name.to_string_lossy().starts_with("CARGO_") && !kept {
            installer.env_remove(name);
        }
    }
    let installer = installer.output()?;
    ensure!(installer.status.success(), "{}", String::from_utf8_lossy(&installer.stderr));
    let dead = dead_links(&tree.path().join("usr/local/share/doc/fleet"))?;
    ensure!(dead.is_empty(), "links that lead nowhere: {dead:?}");
    let archive = tree.path().join("installed.tar");
    let tar = Command::new("tar")
        .args([Path::new("-cf"), &archive, Path::new("-C"), tree.path(), Path::new("usr")])
        .status()?;
    ensure!(tar.success(), "tar: {tar}");

    remove_units_of_lab(host)?;
    host.run(&["mkdir", "-p", "/srv"])?;
    let unpacked =
        host.command("tar")?.args(["-C", "/srv", "-x"]).stdin(File::open(&archive)?).status()?;
    ensure!(unpacked.success(), "tar: {unpacked}");
    // The machine's own /usr is there for all hosts to read.
    host.run(&["mount", "--bind", "/srv/usr/local", "/usr/local"])?;
    let said = String::from_utf8(installer.stdout)?;
    let commands = said.lines().filter_map(|line| line.strip_prefix("  "));
    Ok(commands.filter_map(|line| line.split("  ").next()).map(str::to_owned).collect())
}

/// Takes away the units that the lab runs fleet with.
fn remove_units_of_lab(host: &Host) -> Result<()> {
    let units = ["fleet.socket", "fleet.service"];
    host.run(&[&["systemctl", "stop"][..], &units].concat())?;
    host.run(&[&["systemctl", "disable"][..], &units].concat())?;
    let files = units.map(|unit| format!("/etc/systemd/system/{unit}"));
    host.run(&["rm", "-r", "/run/fleet", &files[0], &files[1]]).map(drop)
}

/// Runs a command as another user of the host.
fn run_as(host: &Host, user: &str, command: &[&str]) -> Result<Output> {
    let switch = ["setpriv", "--reuid", user, "--regid", user, "--init-groups"];
    host.output(&[&switch, command].concat())
}

/// Adds users to a host; `groups` are lines such as `m alice fleet`.
fn add_users(host: &Host, lines: &str) -> Result<()> {
    host.run(&["mkdir", "-p", "/etc/sysusers.d"])?;
    host.write("/etc/sysusers.d/lab.conf", lines)?;
    host.run(&["systemd-sysusers"]).map(drop)
}

/// The user that the process of a unit runs as.
fn user_of(host: &Host, unit: &str) -> Result<String> {
    let pid = host.show(unit, "MainPID")?["MainPID"].clone();
    let user = host.run(&["stat", "--format=%U", &format!("/proc/{pid}")])?;
    Ok(user.trim().to_owned())
}

/// What installed documents link to and isn't there. What only the source has may be missing.
fn dead_links(folder: &Path) -> Result<Vec<String>> {
    let mut dead = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            dead.extend(dead_links(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            let text = std::fs::read_to_string(&path)?;
            let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
            let local = links.filter(|link| !link.contains("://") && !link.contains("functional/"));
            dead.extend(
                local
                    .filter(|link| !folder.join(link).exists())
                    .map(|link| format!("{}: {link}", path.display())),
            );
        }
    }
    Ok(dead)
}

#[test]
fn what_was_installed_runs_as_the_installer_says() -> Result<()> {
    Lab::with_hosts(1).story(|lab| {
        let h1 = lab.host(1)?;
        let commands = install(h1)?;
        assert_eq!(commands.len(), 3, "{commands:?}");
        for command in &commands {
            h1.run(&command.split(' ').collect::<Vec<_>>())?;
        }
        let pid = h1.show("fleet.service", "MainPID")?["MainPID"].clone();
        let program = h1.run(&["readlink", &format!("/proc/{pid}/exe")])?;
        assert_eq!(program, "/usr/local/bin/fleetd\n");
        let socket = h1.run(&["stat", "--format=%a %U %G", "/run/fleet.sock"])?;
        assert_eq!(socket, "660 root fleet\n");

        let file = units::hand_over(h1, "a.service", units::SLEEPER)?;
        let fleetctl = |args: &[&str]| h1.run(&[&["/usr/local/bin/fleetctl"], args].concat());
        fleetctl(&["start", &file])?;
        h1.active("a.service")?;
        let list = fleetctl(&["list-units", "--no-legend", "--fields=unit,active"])?;
        assert_eq!(list, "a.service\tactive\n");
        h1.run(&["systemctl", "disable", "--now", "fleet.socket", "fleet.service"])?;
        h1.not_active("a.service")
    })
}

#[test]
fn fleetd_runs_as_user_fleet_for_the_members_of_its_group() -> Result<()> {
    Lab::with_hosts(1).story(|lab| {
        let h1 = lab.host(1)?;
        install(h1)?;
        let (drop_ins, rules) = ("/etc/systemd/system/fleet.service.d", "/etc/polkit-1/rules.d");
        h1.run(&["mkdir", "-p", drop_ins, rules])?;
        h1.run(&["cp", "/usr/local/share/doc/fleet/user.conf", drop_ins])?;
        add_users(h1, "u alice -\nm alice fleet\nu bob -\n")?;
        h1.run(&["systemctl", "daemon-reload"])?;

        // Without the rule systemd doesn't let it, and it says so. A newer polkit finds it where it is
        // installed (Debian 13), an older one doesn't look in /usr/local.
        h1.run(&["mv", "/usr/local/share/polkit-1/rules.d/50-fleet.rules", "/root"])?;
        h1.run(&["systemctl", "start", "fleet.socket", "fleet.service"])?;
        assert_eq!(user_of(h1, "fleet.service")?, "fleet");
        h1.api()?.put("a.service", units::SLEEPER, "launched")?;
        eventually("the refusal is in the log", SOON, || {
            let log = h1.journal("fleet.service", 1000);
            ensure!(log.contains("AgentReconciler task failed: "), "{log}");
            h1.not_active("a.service")
        })?;

        h1.run(&["cp", "/root/50-fleet.rules", rules])?;
        h1.run(&["systemctl", "restart", "polkit.service"])?;
        eventually("the rule lets it", SOON * 2, || h1.active("a.service"))?;
        // With [Install] it has to enable, and to reload systemd.
        let installed = format!("{}[Install]\nWantedBy=multi-user.target\n", units::SLEEPER);
        h1.api()?.put("b.service", &installed, "launched")?;
        eventually("it runs too", SOON, || h1.active("b.service"))?;

        // The socket is for root and the group.
        let socket = h1.run(&["stat", "--format=%a %U %G", "/run/fleet.sock"])?;
        assert_eq!(socket, "660 root fleet\n");
        let list = ["/opt/fleet/fleetctl", "list-units", "--no-legend", "--fields=unit"];
        let member = run_as(h1, "alice", &list)?;
        assert_eq!((member.code, member.stdout.as_str()), (Some(0), "a.service\nb.service\n"));
        let other = run_as(h1, "bob", &list)?;
        assert_eq!((other.code, other.stdout.as_str()), (Some(1), ""));
        assert!(other.stderr.to_lowercase().contains("permission denied"), "{other:?}");

        // Reload and stop work for it as well.
        let fleetd = h1.fleetd()?;
        h1.run(&["systemctl", "reload", "fleet.service"])?;
        eventually("it goes on", SOON, || h1.api()?.machines())?;
        assert_eq!(h1.fleetd()?, fleetd);
        h1.run(&["systemctl", "stop", "fleet.socket", "fleet.service"])?;
        let shown = h1.show("fleet.service", "Result,ExecMainStatus")?;
        assert_eq!((shown["Result"].as_str(), shown["ExecMainStatus"].as_str()), ("success", "0"));
        h1.not_active("a.service")?;
        assert_eq!(h1.run(&["ls", "/run/fleet/units"])?, "");
        Ok(())
    })
}

#[test]
fn dev_needs_no_etcd_and_no_file() -> Result<()> {
    Lab::with_hosts(1).story(|lab| {
        let h1 = lab.host(1)?;
        h1.run(&["systemctl", "stop", "fleet.socket", "fleet.service"])?;
        lab.etcd().stop()?;
        h1.run(&["rm", "/etc/fleet/fleet.conf"])?;
        let theirs = h1.run(&["find", "/run/fleet", "-printf", "%p %t\\n"])?;
        h1.run(&["systemd-run", "--quiet", "--unit=dev", "/opt/fleet/fleetd", "--dev"])?;
        eventually("it serves", SOON, || h1.api()?.machines())?;
        h1.fleetctl(&["start", &units::hand_over(h1, "a.service", units::SLEEPER)?])?;
        h1.active("a.service")?;
        let machines = h1.api()?.list("machines")?;
        let address = machines[0]["primaryIP"].as_str().map(str::to_owned);
        assert_eq!(address, Some(h1.address().to_string()), "the address is detected");
        h1.run(&["systemctl", "kill", "--signal=HUP", "dev.service"])?;
        eventually("it has reloaded", SOON, || {
            let log = h1.journal("dev.service", 1000);
            ensure!(log.contains("hrt.Beat() success"), "{log}");
            Ok(())
        })?;
        h1.api()?.active_on("a.service").context("what it knew is kept over a reload")?;
        h1.run(&["systemctl", "stop", "dev.service"])?;
        let log = h1.journal("dev.service", 1000);
        assert!(log.contains("--dev: this fleetd is a cluster of its own"), "{log}");
        let after = h1.run(&["find", "/run/fleet", "-printf", "%p %t\\n"])?;
        assert_eq!(after, theirs, "the machine's fleetd finds its files as it left them");
        h1.not_active("a.service")
    })
}

#[test]
fn units_of_a_user_run_in_the_users_systemd() -> Result<()> {
    Lab::with_hosts(1).story(|lab| {
        let h1 = lab.host(1)?;
        add_users(h1, "u alice -\n")?;
        // As user@.service does it, which needs logind and PAM.
        let at_home = "XDG_RUNTIME_DIR=/run/alice";
        let start = |unit: &str, options: &[&str], program: &[&str]| -> Result<()> {
            let unit = format!("--unit={unit}");
            let run = ["systemd-run", "--quiet", &unit, "-p", "User=alice", "--setenv", at_home];
            h1.run(&[&run, options, program].concat()).map(drop)
        };
        let delegated = ["-p", "Delegate=yes", "-p", "RuntimeDirectory=alice"];
        start("manager", &delegated, &["/usr/lib/systemd/systemd", "--user"])?;
        eventually("alice has a bus", SOON, || h1.run(&["test", "-S", "/run/alice/bus"]))?;

        let conf = "systemd_user=true\nunits_directory=/run/alice/units\n\
                    runtime_directory=/run/alice/fleet\napi_listen=unix:///run/alice/fleet.sock\n";
        let servers = format!("etcd_servers={}\netcd_key_prefix=/alice/\n", lab.etcd().url());
        h1.write("/etc/fleet/alice.conf", &format!("{conf}{servers}"))?;
        start("fleet-alice", &[], &["/opt/fleet/fleetd", "-config", "/etc/fleet/alice.conf"])?;
        let fleetctl = |args: &[&str]| -> Result<String> {
            let output = run_as(
                h1,
                "alice",
                &[&["/opt/fleet/fleetctl", "--endpoint=unix:///run/alice/fleet.sock"], args]
                    .concat(),
            )?;
            ensure!(output.code == Some(0), "{args:?}: {output:?}");
            Ok(output.stdout)
        };
        eventually("it serves", SOON, || fleetctl(&["list-machines"]))?;
        h1.run(&["sh", "-c", &format!("printf '{}' > /tmp/mine.service", units::SLEEPER)])?;
        fleetctl(&["start", "/tmp/mine.service"])?;
        let show = ["env", at_home, "systemctl", "--user", "is-active", "mine.service"];
        assert_eq!(run_as(h1, "alice", &show)?.stdout, "active\n");
        h1.not_active("mine.service").context("it is none of the machine's")?;
        // The machine's own fleetd has another prefix, and nothing to do with it.
        assert!(h1.api()?.states()?.is_empty());
        h1.run(&["systemctl", "stop", "fleet-alice.service"])?;
        assert_ne!(run_as(h1, "alice", &show)?.stdout, "active\n");
        Ok(())
    })
}

/// An authority's certificate, and what makes certificates of it.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { pem, issuer: Issuer::new(params, key) })
    }

    /// Puts a certificate for `127.0.0.1` and its key on a host.
    fn certify(&self, host: &Host, name: &str) -> Result<()> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()])?;
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        host.write(&format!("/root/{name}.pem"), &certificate)?;
        host.write(&format!("/root/{name}.key"), &key.serialize_pem())
    }
}

#[test]
fn etcd_may_show_a_certificate_and_want_one() -> Result<()> {
    Lab::with_hosts(1).story(|lab| {
        let h1 = lab.host(1)?;
        let (authority, stranger) = (Authority::new()?, Authority::new()?);
        h1.write("/root/ca.pem", &authority.pem)?;
        h1.write("/root/stranger.pem", &stranger.pem)?;
        authority.certify(h1, "server")?;
        authority.certify(h1, "client")?;
        let url = "https://127.0.0.1:22379";
        h1.run(&[
            "systemd-run",
            "--quiet",
            "--unit=secure-etcd",
            "/usr/bin/etcd",
            "--data-dir=/var/secure-etcd",
            // The defaults name localhost, which hosts don't know.
            "--listen-peer-urls=http://127.0.0.1:22380",
            "--initial-advertise-peer-urls=http://127.0.0.1:22380",
            "--initial-cluster=default=http://127.0.0.1:22380",
            &format!("--listen-client-urls={url}"),
            &format!("--advertise-client-urls={url}"),
            "--cert-file=/root/server.pem",
            "--key-file=/root/server.key",
            "--client-cert-auth",
            "--trusted-ca-file=/root/ca.pem",
        ])?;
        eventually("that etcd is up", SOON, || {
            let log = h1.journal("secure-etcd.service", 100);
            // As 3.4 and as 3.5 says it.
            let words = ["serving client requests", "serving client traffic"];
            ensure!(words.iter().any(|words| log.contains(words)), "{log}");
            Ok(())
        })?;
        let identity = "etcd_certfile=/root/client.pem\netcd_keyfile=/root/client.key\n";
        let serves = || -> Result<()> {
            let reply = h1.api()?.send("GET", "/machines", None)?;
            ensure!(reply.status == 200, "{reply:?}");
            Ok(())
        };
        let start = |conf: &str| -> Result<()> {
            h1.write("/etc/fleet/fleet.conf", &format!("etcd_servers={url}\n{conf}"))?;
            h1.run(&["systemctl", "kill", "--kill-whom=main", "--signal=HUP", "fleet.service"])?;
            Ok(())
        };
        // Who can't verify it, or shows nothing, gets nowhere.
        for conf in [
            format!("etcd_cafile=/root/stranger.pem\n{identity}"),
            "etcd_cafile=/root/ca.pem\n".to_owned(),
        ] {
            start(&conf)?;
            eventually("the API says that there is no etcd", SOON, || {
                let reply = h1.api()?.send("GET", "/machines", None)?;
                ensure!(reply.status == 503, "{reply:?}");
                Ok(())
            })?;
        }
        start(&format!("etcd_cafile=/root/ca.pem\n{identity}"))?;
        eventually("it serves", SOON * 2, serves)?;
        h1.fleetctl(&["start", &units::hand_over(h1, "a.service", units::SLEEPER)?])?;
        h1.active("a.service").map(drop)
    })
}
