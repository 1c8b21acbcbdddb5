//! Unit files as people write them: what is accepted runs, what can't run is warned of, and what
//! would hide something is refused. One lab of a host, on which nothing here is in another's way.

use anyhow::{Context, Result, ensure};
use fleet_functional::{Host, Lab, units};

#[test]
fn unit_files_run_as_they_are_written() -> Result<()> {
    Lab::with_hosts(1).story(|lab| {
        let host = lab.host(1)?;
        what_systemd_takes_is_taken(host).context("accepted")?;
        names_are_no_options(host).context("names")?;
        hidden_lines_are_refused(host).context("hidden")?;
        what_does_not_run_is_warned_of(host).context("warned")?;
        every_option_of_this_systemd_is_known(host).context("options")
    })
}

/// Starts a unit with this content and returns what its command wrote, and what `cat` shows.
fn started(host: &Host, unit: &str, text: &str, wrote: &str) -> Result<String> {
    let file = units::hand_over(host, unit, text)?;
    host.fleetctl(&["start", &file])?;
    host.run(&["journalctl", "--sync"])?;
    // Without what systemd says of it, which comes in between.
    let of_unit = format!("--unit={unit}");
    let log = host.run(&["journalctl", "--output=cat", &of_unit, "_TRANSPORT=stdout"])?;
    ensure!(log.contains(wrote), "{unit} wrote {log}");
    host.fleetctl(&["cat", "--", unit])
}

fn what_systemd_takes_is_taken(host: &Host) -> Result<()> {
    let text = concat!(
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/echo started \\   \n",
        "  --name=web \\\n  --rm image\n\n[X-Fleet]\nGlobal=false\n",
    );
    let kept = started(host, "bsblank.service", text, "started --name=web --rm image\n")?;
    ensure!(kept == text.replace("\\   \n  --name", "\\\n--name"), "{kept}");

    let text = concat!(
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c \"echo one; \\\n",
        "# a comment \\\n  echo two; \\\n; another\n  echo three\"\n",
    );
    let kept = started(host, "contcomment.service", text, "one\ntwo\nthree\n")?;
    let without: String =
        text.split_inclusive('\n').filter(|l| !l.starts_with(['#', ';'])).collect();
    ensure!(kept == without, "{kept}");

    let long = "x".repeat(100_000);
    let begin = "[Service]\nType=oneshot\nRemainAfterExit=yes\n";
    let text = format!("{begin}ExecStart=/bin/sh -c 'echo {long} | wc -c'\n");
    ensure!(started(host, "longline.service", &text, "100001\n")? == text, "longline");
    let text = format!("{begin}Environment=\"C={long}\"\nExecStart=/bin/sh -c 'echo $${{#C}}'\n");
    ensure!(started(host, "longenv.service", &text, "100000\n")? == text, "longenv");

    let text = format!("{begin}ExecStart=/bin/echo a\\\\\nExecStart=/bin/echo b\n");
    ensure!(started(host, "even.service", &text, "a\\\nb\n")? == text, "even");
    Ok(())
}

fn names_are_no_options(host: &Host) -> Result<()> {
    let unit = "-Hroot@evil.service";
    started(
        host,
        unit,
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/echo me\n",
        "me\n",
    )?;
    let status = host.fleetctl(&["status", "--", unit])?;
    ensure!(status.contains("Active: active (exited)"), "{status}");
    let journal = host.fleetctl(&["journal", "--", unit])?;
    ensure!(journal.contains("]: me\n"), "{journal}");
    host.fleetctl(&["destroy", "--", unit])?;

    let long = units::hand_over(host, &format!("{}.service", "a".repeat(247)), units::SLEEPER)?;
    host.fleetctl(&["start", &long])?;
    let too_long = format!("{}.service", "b".repeat(248));
    let reply = host.api()?.put(&too_long, units::SLEEPER, "launched");
    let refused = reply.err().context("256 bytes were accepted")?.to_string();
    ensure!(refused.contains("unit name exceeds maximum length (255)"), "{refused}");
    Ok(())
}

fn hidden_lines_are_refused(host: &Host) -> Result<()> {
    for text in [
        "[Unit]\nDescription=x\r[Service]\rExecStart=/bin/touch /root/evil\n",
        "[Unit]\nDescription=x\0[Service]\0ExecStart=/bin/touch /root/evil\n",
    ] {
        let file = units::hand_over(host, "hidden.service", text)?;
        let output = host.output(&["fleetctl", "start", &file])?;
        ensure!(output.code == Some(1) && output.stderr.contains("(line 2"), "{output:#?}");
    }
    ensure!(host.output(&["fleetctl", "cat", "hidden"])?.code == Some(1), "it was taken");
    Ok(())
}

fn what_does_not_run_is_warned_of(host: &Host) -> Result<()> {
    for (unit, text, line, option) in [
        (
            "noexec.service",
            "[Unit]\nDescription=no exec\n[Service]\nRestart=always\n",
            3,
            "ExecStart=",
        ),
        (
            "unbalanced.service",
            "[Service]\nExecStart=/bin/sh -c \"echo unbalanced\n",
            2,
            "ExecStart",
        ),
        ("relpath.service", "[Service]\nExecStart=relative/path\n", 2, "ExecStart"),
        ("typo.service", "[Service]\nExecStrat=/bin/a\nExecStart=/bin/true\n", 2, "ExecStrat"),
        (
            "envmeta.service",
            "[Service]\nExecStart=/bin/true\n[X-Fleet]\nMachineMetadata=a=${N}\n",
            4,
            "${N}",
        ),
    ] {
        let file = units::hand_over(host, unit, text)?;
        let output = host.output(&["fleetctl", "submit", &file])?;
        let warned = format!("{file}:{line}: warning: ");
        ensure!(
            output.code == Some(0)
                && output.stdout == format!("Unit {unit} inactive\n")
                && output.stderr.starts_with(&warned)
                && output.stderr.contains(option),
            "{output:#?}"
        );
    }
    Ok(())
}

/// The table of options is that of the systemd that is installed: see `advice/table.sh`.
fn every_option_of_this_systemd_is_known(host: &Host) -> Result<()> {
    let dump = host.run(&["/lib/systemd/systemd", "--dump-configuration-items"])?;
    let sections: Vec<&str> = dump.split("\n\n").filter(|part| part.starts_with('[')).collect();
    let of = |section: &str| {
        let part = sections.iter().find(|part| part.starts_with(&format!("[{section}]")));
        part.map(|part| part.trim()).with_context(|| format!("no [{section}] in {dump}"))
    };
    for section in ["Service", "Socket", "Timer", "Path", "Mount", "Automount"] {
        let unit = format!("all.{}", section.to_lowercase());
        let text = format!("{}\n\n{}\n\n{}\n", of("Unit")?, of(section)?, of("Install")?);
        let file = units::hand_over(host, &unit, &text)?;
        let output = host.output(&["fleetctl", "submit", &file])?;
        for remark in ["unknown", "belongs into"] {
            ensure!(!output.stderr.contains(remark), "run advice/table.sh anew: {}", output.stderr);
        }
        ensure!(output.code == Some(0), "{output:#?}");
    }
    Ok(())
}
