//! Logging in as operators do: keys, host keys, hosts that misbehave, and terminals that must
//! come back as they were (ssh.md 2, 4 and 5).

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fleet_functional::{
    Host, Lab, Laptop, Output, Process, Stopwatch, Terminal, eventually, units,
};
use nix::sys::signal::Signal;

const SOON: Duration = Duration::from_secs(10);

/// `fleetctl ssh` to the host that the laptop reaches, without a tunnel to it: the endpoint is
/// its API.
struct Login<'a> {
    laptop: &'a Laptop,
    host: &'a Host,
    endpoint: String,
}

impl<'a> Login<'a> {
    fn new(laptop: &'a Laptop, host: &'a Host) -> Self {
        Self { laptop, host, endpoint: format!("http://{}:49153", host.address()) }
    }

    fn words<'b>(&'b self, flags: &[&'b str], command: &[&'b str]) -> Vec<&'b str> {
        let target = ["--endpoint", &self.endpoint, "ssh", self.host.machine_id()];
        [flags, &target, command].concat()
    }

    fn run(&self, flags: &[&str], command: &str, input: &str) -> Result<Output> {
        self.laptop.fleetctl(&self.words(flags, &[command]), input)
    }

    /// Checks that it works.
    fn works(&self, flags: &[&str]) -> Result<()> {
        let output = self.run(flags, "hostname", "")?;
        let as_wanted = output.code == Some(0) && output.stdout == "h1\n";
        ensure!(as_wanted, "{flags:?} gave {output:#?}");
        Ok(())
    }

    /// Checks that it doesn't, and that stderr has all these texts.
    fn fails(&self, flags: &[&str], texts: &[&str]) -> Result<Output> {
        let output = self.run(flags, "hostname", "")?;
        let told = texts.iter().all(|text| output.stderr.contains(text));
        ensure!(output.code == Some(1) && told, "{flags:?} gave {output:#?}, not {texts:?}");
        Ok(output)
    }

    fn on_terminal(&self, flags: &[&str], command: &[&str]) -> Result<Terminal> {
        self.laptop.terminal(&[&["fleetctl"], &*self.words(flags, command)].concat())
    }
}

#[test]
fn keys_of_every_kind_log_in_from_the_agent_and_from_files() -> Result<()> {
    Lab::with_hosts(1).story(|lab| {
        let h1 = lab.host(1)?;
        let mut laptop = lab.laptop(h1)?;
        laptop.know(lab.hosts())?;
        for kind in ["ed25519", "ecdsa", "rsa"] {
            let line = laptop.keygen(&format!("key-{kind}"), kind, "")?;
            laptop.authorize(&line, h1)?;
        }
        let line = laptop.keygen(".ssh/id_ecdsa", "ecdsa", "")?;
        laptop.authorize(&line, h1)?;
        let line = laptop.keygen("locked", "ed25519", "open sesame")?;
        laptop.authorize(&line, h1)?;
        laptop.keygen("stranger", "ed25519", "")?;
        laptop.keygen("certified", "ed25519", "")?;
        let authority = laptop.keygen("authority", "ed25519", "")?;
        laptop.authorize(&format!("cert-authority {authority}"), h1)?;
        let home = |name: &str| laptop.home().join(name).display().to_string();
        let sign = ["ssh-keygen", "-q", "-s", &home("authority"), "-I", "me", "-n", "root"];
        let signed = laptop.output(&[&sign[..], &[&home("certified.pub")]].concat(), "")?;
        ensure!(signed.code == Some(0), "{signed:?}");

        // Files: the usual ones, then named ones.
        let login = Login::new(&laptop, h1);
        login.works(&[])?;
        fs::remove_file(home(".ssh/id_ecdsa"))?;
        login.fails(&[], &["Failed building SSH client: ", "SSH_AUTH_SOCK"])?;
        for kind in ["ed25519", "ecdsa", "rsa"] {
            login.works(&["--ssh-identity", &home(&format!("key-{kind}"))])?;
        }
        login.works(&["--ssh-identity", &home("stranger"), "--ssh-identity", &home("key-rsa")])?;
        let refused = login.fails(&["--ssh-identity", &home("stranger")], &["unable to auth"])?;
        ensure!(refused.stderr.contains("stranger"), "it isn't said what was tried: {refused:?}");
        login.fails(&["--ssh-identity", &home("nothing")], &["nothing"])?;

        // An encrypted one asks on the terminal, and a wrong answer isn't the end.
        let flags = ["--ssh-identity", &home("locked")];
        let mut terminal = login.on_terminal(&flags, &["hostname"])?;
        let before = terminal.settings()?;
        for answer in ["wrong\n", "open sesame\n"] {
            terminal.expect("assphrase")?;
            terminal.expect(": ")?;
            terminal.send(answer)?;
        }
        terminal.expect("h1\r\n")?;
        assert_eq!(terminal.end()?, Some(0));
        assert_eq!(terminal.settings()?, before);
        ensure!(!terminal.all().contains("sesame"), "the passphrase was shown");

        // Agents, without any file.
        for key in ["key-ed25519", "key-ecdsa", "key-rsa", "certified"] {
            let mut agent = lab.laptop(h1)?;
            agent.start_agent(&[key])?;
            Login::new(&agent, h1).works(&[]).with_context(|| format!("agent with {key}"))?;
            agent.stop_agent()?;
        }
        // An agent whose keys are refused leaves it to the files.
        laptop.start_agent(&["stranger"])?;
        let login = Login::new(&laptop, h1);
        login.fails(&[], &["unable to authenticate", "stranger"])?;
        login.works(&["--ssh-identity", &laptop.home().join("key-rsa").display().to_string()])
    })
}

#[test]
fn hosts_are_known_by_their_keys() -> Result<()> {
    Lab::with_hosts(1).story(|lab| {
        let h1 = lab.host(1)?;
        let mut laptop = lab.laptop(h1)?;
        let line = laptop.keygen("key", "ed25519", "")?;
        laptop.authorize(&line, h1)?;
        laptop.start_agent(&["key"])?;
        let known = Known { login: Login::new(&laptop, h1), address: h1.address().to_string() };
        known.unknown_hosts_are_asked_about().context("unknown")?;
        known.every_line_has_its_say().context("lines")?;
        known.changed_keys_are_refused().context("changed")?;
        laptop.know(lab.hosts())?;
        known.files_of_openssh_count().context("OpenSSH")
    })
}

/// The file of known hosts of a laptop, and the host that is in it.
struct Known<'a> {
    login: Login<'a>,
    address: String,
}

impl Known<'_> {
    fn file(&self) -> PathBuf {
        self.login.laptop.home().join(".fleetctl/known_hosts")
    }

    fn text(&self) -> Result<String> {
        Ok(fs::read_to_string(self.file())?)
    }

    fn set(&self, text: &str) -> Result<()> {
        self.login.laptop.write(".fleetctl/known_hosts", text)
    }

    fn ecdsa(&self) -> Result<String> {
        let keys = self.login.host.host_keys()?;
        Ok(keys.last().context("a host has keys")?.clone())
    }

    fn unknown_hosts_are_asked_about(&self) -> Result<()> {
        let (login, address) = (&self.login, &self.address);
        let output = login.run(&[], "cat", "no\nrest\n")?;
        ensure!(output.code == Some(1) && self.text().is_err(), "{output:?}");
        let lines: Vec<&str> = output.stderr.lines().collect();
        assert_eq!(lines[0], format!("The authenticity of host '{address}' can't be established."));
        ensure!(lines[1].starts_with("ECDSA key fingerprint is "), "{output:?}");
        ensure!(output.stderr.contains("Host key verification failed."), "{output:?}");
        ensure!(output.stderr.contains("unauthorized host"), "{output:?}");

        // The answer is one line; the rest of stdin is the command's.
        let output = login.run(&[], "cat", "yes\nrest1\nrest2\n")?;
        ensure!(output.stdout == "rest1\nrest2\n", "{output:?}");
        let added =
            format!("Warning: Permanently added '{address}' (ECDSA) to the list of known hosts.\n");
        ensure!(output.stderr.ends_with(&added), "{output:?}");
        assert_eq!(self.text()?, format!("{address} {}\n", self.ecdsa()?));
        let output = login.run(&[], "true", "")?;
        assert_eq!((output.code, &*output.stderr), (Some(0), ""));
        Ok(())
    }

    fn every_line_has_its_say(&self) -> Result<()> {
        let (login, address, ecdsa) = (&self.login, &self.address, self.ecdsa()?);
        // Known at another port only; and lines that say nothing. What is added spoils none of it,
        // though the last line has no end.
        let before = format!("[{address}]:2222 {ecdsa}\nbroken\n{address} ssh-rsa AAAA");
        self.set(&before)?;
        let output = login.run(&[], "true", "yes\n")?;
        let asked = output.stderr.contains("can't be established");
        let warned = output.stderr.contains(":2 - bad format (insufficient fields)");
        ensure!(output.code == Some(0) && asked && warned, "{output:?}");
        assert_eq!(self.text()?, format!("{before}\n{address} {ecdsa}\n"));

        // Another port is another name.
        login.host.sshd("Port 22\nPort 2222\n")?;
        self.set(&format!("{address} {ecdsa}\n"))?;
        let words = ["--endpoint", &login.endpoint, "ssh", "--ssh-port=2222"];
        let words = [&words[..], &[login.host.machine_id(), "true"]].concat();
        let output = login.laptop.fleetctl(&words, "yes\n")?;
        let name = format!("The authenticity of host '[{address}]:2222'");
        ensure!(output.code == Some(0) && output.stderr.starts_with(&name), "{output:?}");
        login.host.sshd("")?;

        // One wrong key and the right one.
        let wrong = login.laptop.keygen("wrong", "ecdsa", "")?;
        self.set(&format!("{address} {wrong}{address} {ecdsa}\n"))?;
        login.works(&[])
    }

    fn changed_keys_are_refused(&self) -> Result<()> {
        let (login, h1) = (&self.login, self.login.host);
        let changed = "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!";
        self.set(&format!("{} {}\n", self.address, self.ecdsa()?))?;
        // Every kind of key; none of them is of the known kind.
        h1.run(&["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", "/etc/ssh/hostkey-rsa"])?;
        for (kind, label) in [("ed25519", "ssh-ed25519"), ("rsa", "RSA")] {
            h1.sshd(&format!("HostKey /etc/ssh/hostkey-{kind}\n"))?;
            login.fails(&[], &[changed, "no common algorithm for host key"])?;
            fs::remove_file(self.file())?;
            let output = login.run(&[], "hostname", "yes\n")?;
            ensure!(output.stderr.contains(&format!("'{}' ({label})", self.address)), "{output:?}");
            login.works(&[])?;
            login.works(&["--strict-host-key-checking=false"])?;
        }
        // Another key of the known kind.
        self.set(&format!("{} {}\n", self.address, self.ecdsa()?))?;
        h1.run(&["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", "/etc/ssh/hostkey-new"])?;
        h1.sshd("HostKey /etc/ssh/hostkey-new\n")?;
        login.fails(&[], &[changed, "host key mismatch"])?;
        h1.sshd("")
    }

    /// Hidden names, and a key that must never be taken again.
    fn files_of_openssh_count(&self) -> Result<()> {
        let (login, file) = (&self.login, self.file().display().to_string());
        let hidden = login.laptop.output(&["ssh-keygen", "-q", "-H", "-f", &file], "")?;
        ensure!(hidden.code == Some(0) && self.text()?.starts_with("|1|"), "{hidden:?}");
        login.works(&[])?;
        self.set(&format!("@revoked * {}\n{}", self.ecdsa()?, self.text()?))?;
        login.host.sshd("HostKey /etc/ssh/hostkey-ecdsa\n")?;
        login.fails(&[], &["revoked"]).map(drop)
    }
}

#[test]
fn hosts_that_misbehave_are_named_in_time() -> Result<()> {
    Lab::with_hosts(2).story(|lab| {
        let (h1, h2) = (lab.host(1)?, lab.host(2)?);
        let laptop = lab.trusted_laptop(h1)?;
        let login = Login::new(&laptop, h1);
        let address = h1.address().to_string();

        // Packets of any size vanish after the greeting, in the middle of the key exchange.
        let rules = |chain: &str| h1.run(&["nft", chain]);
        rules("add table ip wall")?;
        rules("add chain ip wall in { type filter hook input priority 0; }")?;
        rules("add rule ip wall in tcp dport 22 ip length > 400 drop")?;
        let watch = Stopwatch::start();
        let timed_out = "timed out while initiating SSH connection";
        login.fails(&["--ssh-timeout=1"], &[timed_out, &address])?;
        let through = ["--tunnel", &address, "--ssh-timeout=1", "list-machines"];
        let output = laptop.fleetctl(&through, "")?;
        let prefix = "Unable to initialize client: failed initializing SSH client: ";
        let told = output.stderr.contains(prefix) && output.stderr.contains(timed_out);
        ensure!(output.code == Some(1) && told, "{output:?}");
        ensure!(watch.elapsed() < SOON, "it took {:?}", watch.elapsed());
        rules("delete table ip wall")?;
        login.works(&[])?;

        // The second hop: silent, and refusing.
        h2.run(&["nft", "add table ip wall"])?;
        h2.run(&["nft", "add chain ip wall in { type filter hook input priority 0; }"])?;
        h2.run(&["nft", "add rule ip wall in tcp dport 22 drop"])?;
        let second = ["--tunnel", &address, "--ssh-timeout=1", "ssh", h2.machine_id(), "true"];
        let output = laptop.fleetctl(&second, "")?;
        let names = output.stderr.contains(&h2.address().to_string());
        ensure!(output.code == Some(1) && output.stderr.contains(timed_out) && names, "{output:?}");
        h2.run(&["nft", "delete table ip wall"])?;
        h2.run(&["systemctl", "stop", "lab-sshd"])?;
        let output = laptop.fleetctl(&second, "")?;
        let told = output.stderr.contains("Connection refused");
        ensure!(output.code == Some(1) && told, "{output:?}");

        // Nobody there at all.
        h1.run(&["systemctl", "stop", "lab-sshd"])?;
        login.fails(&[], &["Failed building SSH client: ", "refused", &address])?;
        h1.run(&["systemctl", "start", "lab-sshd"])?;

        // A value that means nothing opens no connection.
        let mut command = laptop.command("env");
        command.args(["FLEETCTL_STRICT_HOST_KEY_CHECKING=yes", "fleetctl"]);
        let output = command.args(login.words(&[], &["true"])).stdin(Stdio::null()).output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        let told = stderr.contains("FLEETCTL_STRICT_HOST_KEY_CHECKING") && stderr.contains("yes");
        ensure!(output.status.code() == Some(2) && told, "{output:?}");
        Ok(())
    })
}

/// A pattern for processes with these words, which isn't found in the looking itself.
fn pattern(words: &str) -> String {
    let (first, rest) = words.split_at(1);
    format!("[{first}]{rest}")
}

/// No process with these words is left on the host.
fn gone(host: &Host, words: &str) -> Result<()> {
    eventually(&format!("{words} is gone"), SOON, || {
        let found = host.output(&["pgrep", "-af", &pattern(words)])?;
        ensure!(found.stdout.is_empty(), "{}", found.stdout);
        Ok(())
    })
}

/// A process with these words is there.
fn there(host: &Host, words: &str) -> Result<()> {
    eventually(&format!("{words} runs"), SOON, || {
        host.run(&["pgrep", "-af", &pattern(words)]).map(drop)
    })
}

#[test]
fn a_terminal_comes_back_as_it_was() -> Result<()> {
    Lab::with_hosts(1).story(|lab| {
        let h1 = lab.host(1)?;
        let laptop = lab.trusted_laptop(h1)?;
        let line = laptop.keygen("locked", "ed25519", "secret")?;
        laptop.authorize(&line, h1)?;
        let login = Login::new(&laptop, h1);

        // A shell, with a window that changes.
        let mut terminal = login.on_terminal(&[], &[])?;
        let before = terminal.settings()?;
        terminal.expect("# ")?;
        terminal.send("stty size; echo $TERM\n")?;
        terminal.expect("24 80\r\n")?;
        terminal.expect("xterm-256color\r\n")?;
        terminal.resize(132, 50)?;
        eventually("the far side has the new size", SOON, || {
            terminal.send("stty size\n")?;
            terminal.expect("50 132\r\n").map(drop)
        })?;
        terminal.send("exit 9\n")?;
        assert_eq!(terminal.end()?, Some(9));
        assert_eq!(terminal.settings()?, before);

        // Ended by a signal, from far and from near.
        let mut terminal = login.on_terminal(&[], &["kill -TERM $$"])?;
        assert_eq!(terminal.end()?, Some(143));
        assert_eq!(terminal.settings()?, before);
        for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
            let mut terminal = login.on_terminal(&[], &["echo here; exec sleep 1234"])?;
            terminal.expect("here\r\n")?;
            ensure!(terminal.settings()? != before, "the terminal isn't raw");
            terminal.signal("fleetctl", signal)?;
            assert_eq!(terminal.end()?, Some(code));
            assert_eq!(terminal.settings()?, before);
            gone(h1, "sleep 1234")?;
        }

        // While it asks for a passphrase.
        let key = laptop.home().join("locked").display().to_string();
        let without_agent = lab.laptop(h1)?;
        let asking = Login::new(&without_agent, h1);
        let mut terminal = asking.on_terminal(&["--ssh-identity", &key], &["true"])?;
        terminal.expect("assphrase")?;
        terminal.signal("fleetctl", Signal::SIGTERM)?;
        assert_eq!(terminal.end()?, Some(143));
        assert_eq!(terminal.settings()?, before);

        // The connection is lost: its process on the host is killed.
        let mut terminal = login.on_terminal(&[], &["echo here; exec sleep 1235"])?;
        terminal.expect("here\r\n")?;
        // Since OpenSSH 9.8 it is called sshd-session.
        h1.run(&["sh", "-c", "kill -KILL $(pgrep -f '^sshd(-session)?: root')"])?;
        assert_eq!(terminal.end()?, Some(255));
        assert_eq!(terminal.settings()?, before);
        ensure!(
            terminal.all().contains("wait: remote command exited without"),
            "{}",
            terminal.all()
        );

        // The host has no terminal to give.
        h1.sshd("PermitTTY no\n")?;
        let mut terminal = login.on_terminal(&[], &["true"])?;
        let end = terminal.end()?;
        ensure!(end.is_some_and(|code| code != 0), "{end:?} {}", terminal.all());
        assert_eq!(terminal.settings()?, before);
        Ok(())
    })
}

#[test]
fn a_journal_that_is_followed_ends_without_a_trace() -> Result<()> {
    Lab::with_hosts(1).story(|lab| {
        let h1 = lab.host(1)?;
        let laptop = lab.trusted_laptop(h1)?;
        // It says nothing more, so that no write shows the far side that nobody listens.
        let text = "[Service]\nExecStart=/bin/sh -c 'echo beat; exec sleep infinity'\n";
        let file = units::hand_over(h1, "beat.service", text)?;
        h1.fleetctl(&["start", &file])?;
        let near = h1.address().to_string();
        let follow = ["fleetctl", "--tunnel", &near, "journal", "-f", "--output=cat", "beat"];

        let mut terminal = laptop.terminal(&follow)?;
        let before = terminal.settings()?;
        terminal.expect("beat\r\n")?;
        there(h1, "journalctl.*beat")?;
        terminal.send("\u{3}")?;
        ensure!(terminal.end()?.is_some(), "fleetctl was killed");
        assert_eq!(terminal.settings()?, before);
        gone(h1, "journalctl.*beat")?;

        // Without a terminal the signal is fleetctl's.
        let mut command = laptop.command("fleetctl");
        let mut child = command
            .args(&follow[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        there(h1, "journalctl.*beat")?;
        let own = Process::find(i32::try_from(child.id())?).context("it runs")?;
        own.child("fleetctl").context("fleetctl runs")?.signal(Signal::SIGINT)?;
        gone(h1, "journalctl.*beat")?;
        let status = eventually("fleetctl ends", SOON, || child.try_wait()?.context("not yet"))?;
        ensure!(status.code() == Some(130), "{status:?}");
        Ok(())
    })
}

#[test]
fn the_agent_is_lent_only_when_asked() -> Result<()> {
    Lab::with_hosts(1).story(|lab| {
        let h1 = lab.host(1)?;
        let laptop = lab.trusted_laptop(h1)?;
        let login = Login::new(&laptop, h1);
        let line = fs::read_to_string(laptop.home().join("key.pub"))?;
        let list = "ssh-add -L; echo code $?";
        let output = login.run(&[], list, "")?;
        ensure!(output.stdout == "code 2\n", "{output:?}");
        for flag in ["-A", "--forward-agent", "--A"] {
            let words = ["--endpoint", &login.endpoint, "ssh", flag, h1.machine_id(), list];
            let output = laptop.fleetctl(&words, "")?;
            ensure!(output.stdout == format!("{line}code 0\n"), "{flag}: {output:?}");
        }
        h1.sshd("AllowAgentForwarding no\n")?;
        let words = ["--endpoint", &login.endpoint, "ssh", "-A", h1.machine_id(), "true"];
        let output = laptop.fleetctl(&words, "")?;
        let told = output.stderr.contains("forwarding request denied");
        ensure!(output.code != Some(0) && told, "{output:?}");
        Ok(())
    })
}
