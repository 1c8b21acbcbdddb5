//! From the laptop: the cluster through one host, over its real sshd (ssh.md 3, 6, 7 and 8).

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use fleet_functional::{Host, Lab, Laptop, Output, eventually, units};

const SOON: Duration = Duration::from_secs(10);

/// A service that runs on host `i`.
fn on_host(i: usize, script: &str) -> String {
    format!(
        "[Service]\nExecStart=/bin/sh -c '{script}; exec sleep infinity'\n\
         [X-Fleet]\nMachineMetadata=hostname=h{i}\n"
    )
}

struct Day<'a> {
    laptop: &'a Laptop,
    near: String,
}

impl Day<'_> {
    fn tunnelled(&self, args: &[&str], input: &str) -> Result<Output> {
        self.laptop.fleetctl(&[&["--tunnel", &self.near], args].concat(), input)
    }

    /// Checks what one command does: its code, and its stdout unless that is `None`.
    fn gives(&self, args: &[&str], input: &str, code: i32, stdout: Option<&str>) -> Result<()> {
        let output = self.tunnelled(args, input)?;
        let as_wanted =
            output.code == Some(code) && stdout.is_none_or(|text| output.stdout == text);
        ensure!(as_wanted, "{args:?} gave {output:#?}");
        Ok(())
    }
}

#[test]
fn a_day_at_the_laptop() -> Result<()> {
    Lab::with_hosts(3).story(|lab| {
        let (h1, h2) = (lab.host(1)?, lab.host(2)?);
        let laptop = lab.trusted_laptop(h1)?;
        let day = Day { laptop: &laptop, near: h1.address().to_string() };

        let listed = laptop.tunnelled(&["list-machines", "--full", "--no-legend"])?;
        for host in lab.hosts() {
            ensure!(listed.contains(host.machine_id()), "{listed}");
        }
        laptop.write("j1.service", &on_host(2, "echo said by j1"))?;
        laptop.write("g.service", units::EVERYWHERE)?;
        let files = ["j1.service", "g.service"].map(|name| laptop.home().join(name));
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        laptop.tunnelled(&["start", &files[0], &files[1]])?;
        eventually("all run", SOON, || {
            for host in lab.hosts() {
                host.active("g.service")?;
            }
            h2.active("j1.service")
        })?;
        let listed = laptop.tunnelled(&["list-units", "--no-legend"])?;
        ensure!(listed.contains("j1.service") && listed.lines().count() == 4, "{listed}");

        commands(&day, h1, h2)?;
        status_and_journal(lab, &day)?;
        other_ways(lab, &day)
    })
}

/// The rows of ssh.md 8 about commands.
fn commands(day: &Day<'_>, h1: &Host, h2: &Host) -> Result<()> {
    let machine = &h2.machine_id()[..8];
    day.gives(&["ssh", "j1", "hostname"], "", 0, Some("h2\n"))?;
    day.gives(&["ssh", machine, "hostname"], "", 0, Some("h2\n"))?;
    day.gives(&["ssh", "--machine", machine, "hostname"], "", 0, Some("h2\n"))?;
    for (command, code) in [
        ("exit 7", 7),
        ("exit 255", 255),
        ("nosuchcmd", 127),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
    ] {
        day.gives(&["ssh", "j1", command], "", code, None)?;
    }
    let output = day.tunnelled(&["ssh", "j1", "echo out; echo err >&2"], "")?;
    ensure!((&*output.stdout, &*output.stderr) == ("out\n", "err\n"), "{output:?}");
    day.gives(&["ssh", "j1", "cat"], "abc\n", 0, Some("abc\n"))?;
    day.gives(&["ssh", "j1"], "exit 3\n", 3, None)?;
    day.gives(&["ssh", "j1", "ls", "-ld", "/"], "", 0, None)?;
    day.gives(&["ssh", "j1", "--", "ls", "-d", "/"], "", 0, Some("/\n"))?;
    let output = day.tunnelled(&["ssh", "j1", "echo $SSH_CONNECTION"], "")?;
    ensure!(output.stdout.starts_with(&format!("{} ", h1.address())), "{output:?}");
    Ok(())
}

fn status_and_journal(lab: &Lab, day: &Day<'_>) -> Result<()> {
    let (h2, h3) = (lab.host(2)?, lab.host(3)?);
    let output = day.tunnelled(&["status", "j1"], "")?;
    let shown = output.stdout.contains("j1.service") && output.stdout.contains("active (running)");
    ensure!(output.code == Some(0) && shown, "{output:#?}");
    let output = day.tunnelled(&["journal", "--output=cat", "j1"], "")?;
    ensure!(output.stdout.contains("said by j1\n"), "{output:#?}");

    // A global unit: a block of every machine, in their order.
    let mut machines: Vec<&str> = lab.hosts().iter().map(Host::machine_id).collect();
    machines.sort_unstable();
    for command in ["status", "journal"] {
        let output = day.tunnelled(&[command, "g.service"], "")?;
        ensure!(output.code == Some(0), "{output:#?}");
        let places = machines.iter().map(|id| output.stdout.find(&id[..8]));
        let places: Vec<Option<usize>> = places.collect();
        ensure!(places.iter().all(Option::is_some) && places.is_sorted(), "{output:#?}");
        let output = day.tunnelled(&[command, "--machine", h2.machine_id(), "g.service"], "")?;
        let other = output.stdout.contains(&h3.machine_id()[..8]);
        ensure!(output.code == Some(0) && !other, "{output:#?}");
    }

    // One that can't be reached: what the registry knows, and why that is all.
    h3.run(&["systemctl", "stop", "lab-sshd"])?;
    let output = day.tunnelled(&["status", "g.service"], "")?;
    h3.run(&["systemctl", "start", "lab-sshd"])?;
    ensure!(output.code == Some(0) && output.stderr.contains("refused"), "{output:#?}");
    let block = output.stdout.split(&h3.machine_id()[..8]).nth(1).unwrap_or_default();
    ensure!(block.contains("active") && block.contains("running"), "{output:#?}");
    Ok(())
}

/// The endpoints that a tunnel leads to, and what it needs on the host.
fn other_ways(lab: &Lab, day: &Day<'_>) -> Result<()> {
    let h1 = lab.host(1)?;
    let listed = |args: &[&str]| -> Result<()> {
        let output = day.tunnelled(&[args, &["list-machines", "--no-legend"]].concat(), "")?;
        let all = output.code == Some(0) && output.stdout.lines().count() == lab.hosts().len();
        ensure!(all, "{args:?} gave {output:#?}");
        Ok(())
    };
    // `localhost` is the far side's.
    listed(&["--endpoint", "http://localhost:49153"])?;
    listed(&["--driver", "etcd", "--endpoint", &lab.etcd().url()])?;
    // No fleetctl on the host.
    h1.sshd("SetEnv PATH=/usr/bin:/bin\n")?;
    listed(&[])?;
    // Its sshd forwards no sockets: fleetctl does.
    h1.sshd("AllowStreamLocalForwarding no\n\
         ForceCommand echo \"$SSH_ORIGINAL_COMMAND\" >>/root/asked; exec sh -c \"$SSH_ORIGINAL_COMMAND\"\n",
    )?;
    listed(&[])?;
    let asked = h1.run(&["sort", "-u", "/root/asked"])?;
    assert_eq!(asked, "fleetctl fd-forward /var/run/fleet.sock\n");
    // Neither: it says what is missing.
    h1.sshd("AllowStreamLocalForwarding no\nSetEnv PATH=/usr/bin:/bin\n")?;
    let output = day.tunnelled(&["list-machines"], "")?;
    let told = ["Process exited with status 127", "PATH"];
    ensure!(
        output.code == Some(1) && told.iter().all(|t| output.stderr.contains(t)),
        "{output:#?}"
    );
    // It forwards no TCP: the other hosts are out of reach.
    h1.sshd("AllowTcpForwarding no\n")?;
    let output = day.tunnelled(&["ssh", "j1", "true"], "")?;
    let told = ["Failed building SSH client: ", "administratively prohibited"];
    ensure!(
        output.code == Some(1) && told.iter().all(|t| output.stderr.contains(t)),
        "{output:#?}"
    );
    h1.sshd("")
}

#[test]
fn much_goes_through_and_many_at_a_time() -> Result<()> {
    Lab::with_hosts(2).story(|lab| {
        let (h1, h2) = (lab.host(1)?, lab.host(2)?);
        let laptop = lab.trusted_laptop(h1)?;
        let near = h1.address().to_string();
        let tunnel = format!("fleetctl --tunnel {near}");
        let machine = h2.machine_id();
        let script = |text: &str| -> Result<String> {
            let output = laptop.output(&["bash", "-c", &format!("set -euo pipefail; {text}")], "")?;
            ensure!(output.code == Some(0), "{text} gave {output:#?}");
            Ok(output.stdout)
        };
        script("head -c 64M /dev/urandom >~/much")?;
        script(&format!("{tunnel} ssh {machine} 'cat >/root/much' <~/much"))?;
        script(&format!("{tunnel} ssh {machine} 'cat /root/much' | cmp - ~/much"))?;
        // Both ways at once: neither side may wait for the other.
        script(&format!("{tunnel} ssh {machine} cat <~/much | cmp - ~/much"))?;

        let all = script(&format!(
            "for i in $(seq 10); do {tunnel} ssh {machine} 'echo $(hostname)' & jobs+=\" $!\"; done; \
             for job in $jobs; do wait $job; done"
        ))?;
        assert_eq!(all, "h2\n".repeat(10));
        let all = script(&format!(
            "for i in $(seq 10); do {tunnel} list-machines --no-legend & jobs+=\" $!\"; done; \
             for job in $jobs; do wait $job; done"
        ))?;
        assert_eq!(all.lines().count(), 20, "{all}");
        fs::remove_file(laptop.home().join("much"))?;
        Ok(())
    })
}
