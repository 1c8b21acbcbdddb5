//! `ssh`, `status`, `journal` and `--tunnel` from the real binary on a real OpenSSH server
//! (`ssh.md` 2 to 8).

mod support;

#[path = "../../ssh/tests/support/mod.rs"]
mod openssh;

use std::{
    convert::Infallible,
    fs,
    path::PathBuf,
    process::{Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use fleet_schema::{Unit, to_json};
use fleet_testkit::EtcdServer;
use openssh::{Agent, LIMIT, Sshd, generate};
use support::{
    Cluster, GLOBAL, HELLO, MACHINE, Run, error,
    server::{
        Reply, Server,
        tls::{Authority, Clients},
    },
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::Notify,
    task::JoinSet,
    time::timeout,
};

/// The machine that has no address.
const BARE: &str = "c9000000000000000000000000000000";

/// A cluster whose machines are all one SSH server, and a user with a key and a home.
struct Desk {
    server: Sshd,
    cluster: Cluster,
    home: TempDir,
    key: PathBuf,
}

impl Desk {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    /// The same with further lines in the server's configuration.
    async fn with(lines: &[&str]) -> Self {
        // What it says of itself on stderr would be taken for the command's.
        let lines: Vec<&str> = ["LogLevel ERROR"].iter().chain(lines).copied().collect();
        let server = Sshd::with(&lines).await;
        let home = tempfile::tempdir().unwrap();
        let key = generate(home.path(), "key", "ed25519").await;
        server.authorize(&key);
        Self { server, cluster: cluster(), home, key }
    }

    /// Runs fleetctl without a tunnel, and with machines reached at the server's port.
    async fn run(&self, words: &[&str]) -> Run {
        self.type_into(words, "", &[]).await
    }

    async fn type_into(&self, words: &[&str], input: &str, variables: &[(&str, &str)]) -> Run {
        let endpoint = self.cluster.server.endpoint();
        let user = self.server.hop().user;
        let variables: Vec<_> = [
            ("FLEETCTL_ENDPOINT", &*endpoint),
            ("FLEETCTL_SSH_USERNAME", &*user),
            ("FLEETCTL_SSH_IDENTITY", self.key.to_str().unwrap()),
            ("FLEETCTL_STRICT_HOST_KEY_CHECKING", "false"),
        ]
        .into_iter()
        .chain(variables.iter().copied())
        .collect();
        let port = format!("--ssh-port={}", self.server.port);
        let words: Vec<&str> =
            words.iter().map(|word| if *word == "PORT" { &*port } else { word }).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleetctl"));
        command.args(&words).env_clear().env("HOME", self.home.path()).envs(variables);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Not everything that is run takes its input.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let Output { status, stdout, stderr } = child.wait_with_output().await.unwrap();
        Run {
            code: status.code(),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
            requests: Vec::new(),
        }
    }

    /// The same through a tunnel by this server.
    async fn through(&self, words: &[&str], variables: &[(&str, &str)]) -> Run {
        let tunnel = format!("127.0.0.1:{}", self.server.port);
        let variables: Vec<_> =
            [("FLEETCTL_TUNNEL", &*tunnel)].into_iter().chain(variables.iter().copied()).collect();
        self.type_into(words, "", &variables).await
    }
}

fn cluster() -> Cluster {
    let units = [
        ("j1.service", HELLO, "launched", "launched"),
        ("bare.service", HELLO, "launched", "launched"),
        ("idle.service", HELLO, "inactive", "inactive"),
        ("c31e.service", HELLO, "launched", "launched"),
        ("all.service", GLOBAL, "launched", ""),
    ];
    let cluster = Cluster::ruled(&units, |request| {
        let machines = format!(
            r#"{{"machines":[{{"id":"{MACHINE}","primaryIP":"127.0.0.1"}},{{"id":"{BARE}"}}]}}"#
        );
        let path = request.target.trim_start_matches("/fleet/v1/");
        let broken = path.starts_with("units/broken").then(|| error(500, "boom"));
        broken.or_else(|| path.starts_with("machines").then_some(Reply::Send(200, machines)))
    });
    let mut all = cluster.units.lock().unwrap();
    all.get_mut("bare.service").unwrap().machine_id = BARE.to_owned();
    let global = all.get_mut("all.service").unwrap();
    global.machine_id = MACHINE.to_owned();
    drop(all);
    cluster
}

#[tokio::test]
async fn commands_end_with_the_status_of_the_host() {
    let desk = Desk::new().await;
    for (command, code, out, err) in [
        ("exit 7", 7, "", ""),
        ("exit 255", 255, "", ""),
        ("kill -TERM $$", 143, "", ""),
        ("kill -KILL $$", 137, "", ""),
        ("echo out; echo err >&2", 0, "out\n", "err\n"),
        ("echo   a  'b  c'", 0, "a b  c\n", ""),
    ] {
        let run = desk.run(&["ssh", "PORT", "j1", command]).await;
        assert_eq!((run.code, &*run.out, &*run.err), (Some(code), out, err), "{command}");
    }
    let missing = desk.run(&["ssh", "PORT", "j1", "nosuchcmd"]).await;
    assert_eq!(missing.code, Some(127), "{}", missing.err);
}

#[tokio::test]
async fn words_of_a_command_are_joined_and_not_looked_at() {
    let desk = Desk::new().await;
    for (words, out) in [
        (&["PORT", "j1", "echo", "-n", "x"][..], "x"),
        (&["j1", "PORT", "--", "echo", "-n", "x"], "x"),
        (&["PORT", "--machine=c31e4", "echo", "--machine"], "--machine\n"),
        (&["--unit", "j1", "PORT", "echo", "a", "--", "b"], "a b\n"),
        (&["PORT", "j1", "echo", "a  b", "'c  d'", "$((1+1))"], "a b c  d 2\n"),
    ] {
        let words: Vec<&str> = ["ssh"].into_iter().chain(words.iter().copied()).collect();
        let run = desk.run(&words).await;
        assert_eq!((run.code, &*run.out, &*run.err), (Some(0), out, ""), "{words:?}");
    }
}

#[tokio::test]
async fn input_reaches_commands_and_shells() {
    let desk = Desk::new().await;
    let cat = desk.type_into(&["ssh", "PORT", "j1", "cat"], "abc\n", &[]).await;
    assert_eq!((cat.code, &*cat.out), (Some(0), "abc\n"), "{}", cat.err);
    let shell = desk.type_into(&["ssh", "PORT", MACHINE], "echo here; exit 3\n", &[]).await;
    assert_eq!((shell.code, &*shell.out), (Some(3), "here\n"), "{}", shell.err);
}

#[tokio::test]
async fn what_is_meant_is_looked_up_and_misses_are_told_apart() {
    let desk = Desk::new().await;
    for (words, text) in [
        ("", "Unable to proceed: one machine or unit must be provided"),
        ("nope", "Unable to proceed: could not find matching unit or machine"),
        ("idle", "Unable to proceed: could not find matching unit or machine"),
        ("bare", "Unable to proceed: could not find matching unit or machine"),
        ("c", "Unable to proceed: found more than one machine"),
        ("broken", "Unable to proceed: googleapi: Error 500: boom"),
        ("all", "Unable to proceed: global units unsupported"),
        (
            "c31e",
            "Unable to proceed: ambiguous argument, both machine and unit found for `c31e`.\nPlease use flag `--machine` or `--unit` to refine the search",
        ),
        ("/", "Unable to proceed: invalid argument \"/\": unit name cannot be empty"),
        ("--machine=nope", "Unable to proceed: machine does not exist"),
        ("--machine=c ls", "Unable to proceed: found more than one machine"),
        ("--machine=c9", "Could not determine address of machine."),
        ("c9", "Could not determine address of machine."),
        ("--unit=nope ls", "Unable to proceed: unit does not exist"),
        ("--unit=all", "Unable to proceed: global units unsupported"),
        ("--unit=idle", "Could not determine address of machine."),
        ("--unit=bare", "Could not determine address of machine."),
        ("--unit=broken", "Unable to proceed: googleapi: Error 500: boom"),
        ("--machine=a --unit=b", "Both machine and unit flags provided, please specify only one."),
        ("--machine= --unit=", "Unable to proceed: one machine or unit must be provided"),
    ] {
        let words: Vec<&str> = ["ssh"].into_iter().chain(words.split_whitespace()).collect();
        let run = desk.run(&words).await;
        assert_eq!(run.transcript(), format!("rc 1\n{}", errors(text)), "{words:?}");
    }
    assert_eq!(desk.server.connections(), 0);
}

fn errors(text: &str) -> String {
    text.lines().map(|line| format!("err|{line}\n")).collect()
}

#[tokio::test]
async fn connections_that_fail_say_which_command_needed_them() {
    let desk = Desk::new().await;
    let refused = ["--ssh-port=1"];
    for (words, prefix, code) in [
        (&["ssh", "j1", "ls"][..], "Failed building SSH client: dial tcp ", 1),
        (&["status", "j1"], "Unable to SSH to remote host: dial tcp ", 255),
        (&["journal", "j1"], "Unable to SSH to remote host: dial tcp ", 255),
    ] {
        let words: Vec<&str> =
            words[..1].iter().chain(&refused).chain(&words[1..]).copied().collect();
        let run = desk.run(&words).await;
        assert_eq!((run.code, run.err.starts_with(prefix)), (Some(code), true), "{}", run.err);
        assert!(run.err.contains("connect: connection refused"), "{}", run.err);
    }
    let nobody = [("FLEETCTL_SSH_IDENTITY", "")];
    let run = desk.type_into(&["ssh", "PORT", "j1", "ls"], "", &nobody).await;
    let text = "Failed building SSH client: SSH_AUTH_SOCK environment variable is not set. ";
    assert!(run.code == Some(1) && run.err.starts_with(text), "{}", run.err);
}

#[tokio::test]
async fn hosts_see_the_commands_of_status_and_journal_by_the_letter() {
    let seen = tempfile::tempdir().unwrap();
    let file = seen.path().join("seen");
    let line = format!("ForceCommand echo \"$SSH_ORIGINAL_COMMAND\" >> {}; exit 3", file.display());
    let desk = Desk::with(&[&line]).await;
    for (words, command) in [
        (&["status", "j1", "PORT"][..], r#"systemctl "status" "-l" "--" "j1.service""#),
        (
            &["journal", "PORT", "j1"],
            r#"journalctl "--unit" "j1.service" "--no-pager" "-n" "10" "--output" "short""#,
        ),
        (
            &["journal", "PORT", "--sudo", "-f", "--lines=5", "--output=$(id)", "j1"],
            r#"sudo "journalctl" "--unit" "j1.service" "--no-pager" "-n" "5" "--output" '$(id)' "-f""#,
        ),
        (&["status", "PORT", "all", "--machine=c31"], r#"systemctl "status" "--" "all.service""#),
    ] {
        let run = desk.run(words).await;
        assert_eq!((run.code, &*run.err), (Some(3), ""), "{words:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("{command}\n"));
        fs::remove_file(&file).unwrap();
    }
    // Two units of a machine need one connection.
    let before = desk.server.connections();
    assert_eq!(desk.run(&["status", "PORT", "j1", "c31e.service"]).await.code, Some(3));
    assert_eq!(desk.server.connections(), before + 1);
}

#[tokio::test]
async fn through_a_tunnel_the_api_is_reached_by_its_socket() {
    let desk = Desk::new().await;
    let path = desk.home.path().join("fleet.sock");
    let _server = Server::unix(&path, machines);
    let endpoint = format!("unix://{}", path.display());
    let run =
        desk.through(&["list-machines", "--no-legend"], &[("FLEETCTL_ENDPOINT", &endpoint)]).await;
    assert_eq!(run.transcript(), "rc 0\nout|c31e44e1...→127.0.0.1→-\n");
    let missing = [("FLEETCTL_ENDPOINT", "unix:///nowhere/fleet.sock")];
    let run = desk.through(&["list-machines"], &missing).await;
    let text = "Error retrieving list of active machines from fleet API (Get \"unix:///nowhere/fleet.sock/fleet/v1/machines?alt=json\": ";
    assert!(run.code == Some(1) && run.err.starts_with(text), "{}", run.err);
}

fn machines(_: &support::server::Request) -> Reply {
    Reply::Send(200, format!(r#"{{"machines":[{{"id":"{MACHINE}","primaryIP":"127.0.0.1"}}]}}"#))
}

#[tokio::test]
async fn a_host_without_channels_to_sockets_runs_its_fleetctl() {
    let bin = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_fleetctl"), bin.path().join("fleetctl"))
        .unwrap();
    let path = format!("SetEnv PATH={}:/usr/bin:/bin", bin.path().display());
    let desk = Desk::with(&["AllowStreamLocalForwarding no", &path]).await;
    let socket = desk.home.path().join("it's fleet.sock");
    let _server = Server::unix(&socket, machines);
    let endpoint = format!("unix://{}", socket.display());
    let endpoint = [("FLEETCTL_ENDPOINT", &*endpoint)];
    let run = desk.through(&["list-machines", "--no-legend"], &endpoint).await;
    assert_eq!(run.transcript(), "rc 0\nout|c31e44e1...→127.0.0.1→-\n");
    // Without it the user is told what is missing, and where.
    fs::remove_file(bin.path().join("fleetctl")).unwrap();
    let run = desk.through(&["list-machines"], &endpoint).await;
    assert_eq!(run.code, Some(1));
    assert!(run.err.contains("Process exited with status 127"), "{}", run.err);
}

#[tokio::test]
async fn through_a_tunnel_ports_are_reached_from_its_host_also_over_tls() {
    let desk = Desk::new().await;
    let before = desk.server.connections();
    let run = desk.through(&["list-units", "--no-legend", "--fields=unit"], &[]).await;
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.out.contains("j1.service"), "{}", run.out);
    assert_eq!(desk.server.connections(), before + 1);

    let authority = Authority::new();
    let server = Server::tls(&authority.certify("127.0.0.1"), Clients::Anybody, machines);
    let ca = desk.home.path().join("ca.pem");
    fs::write(&ca, &authority.pem).unwrap();
    let endpoint = server.https_endpoint();
    let variables = [("FLEETCTL_ENDPOINT", &*endpoint), ("FLEETCTL_CA_FILE", ca.to_str().unwrap())];
    let run = desk.through(&["list-machines", "--no-legend"], &variables).await;
    assert_eq!(run.transcript(), "rc 0\nout|c31e44e1...→127.0.0.1→-\n");
}

#[tokio::test]
async fn machines_behind_a_tunnel_share_its_connection() {
    let desk = Desk::new().await;
    let before = desk.server.connections();
    let run = desk.through(&["ssh", "PORT", "j1", "echo $SSH_CONNECTION"], &[]).await;
    assert_eq!((run.code, &*run.err), (Some(0), ""));
    assert!(run.out.starts_with("127.0.0.1 "), "{}", run.out);
    // The API and the second hop go through one connection; the hop is one more.
    assert_eq!(desk.server.connections(), before + 2);
}

#[tokio::test]
async fn etcd_is_reached_through_a_tunnel() {
    let desk = Desk::new().await;
    let etcd = EtcdServer::shared();
    let endpoint = etcd.endpoint();
    let variables = [
        ("FLEETCTL_ENDPOINT", &*endpoint),
        ("FLEETCTL_DRIVER", "etcd"),
        ("FLEETCTL_ETCD_KEY_PREFIX", "/tunnel"),
    ];
    let file = desk.home.path().join("hello.service");
    fs::write(&file, HELLO).unwrap();
    let run = desk.through(&["submit", file.to_str().unwrap()], &variables).await;
    assert_eq!(run.transcript(), "rc 0\nout|Unit hello.service inactive\n");
    let run = desk.through(&["list-unit-files", "--no-legend", "--fields=unit"], &variables).await;
    assert_eq!(run.transcript(), "rc 0\nout|hello.service\n");
}

#[tokio::test]
async fn a_tunnel_that_fails_names_itself() {
    let desk = Desk::new().await;
    let stranger = generate(desk.home.path(), "stranger", "ed25519").await;
    let stranger = [("FLEETCTL_SSH_IDENTITY", stranger.to_str().unwrap())];
    let run = desk.through(&["list-units"], &stranger).await;
    let text = "Unable to initialize client: failed initializing SSH client: ssh: handshake failed: ssh: unable to authenticate";
    assert!(run.code == Some(1) && run.err.starts_with(text), "{}", run.err);
    // A host that may not be gone through.
    let closed = Desk::with(&["AllowTcpForwarding no"]).await;
    let run = closed.through(&["list-units"], &[]).await;
    let rejected = "ssh: rejected: administratively prohibited";
    assert!(run.code == Some(1) && run.err.contains(rejected), "{}", run.err);
    // One that nobody answers behind.
    let run = desk.through(&["list-units"], &[("FLEETCTL_ENDPOINT", "http://127.0.0.1:1")]).await;
    let refused = "ssh: rejected: connect failed";
    assert!(run.code == Some(1) && run.err.contains(refused), "{}", run.err);
}

#[tokio::test]
async fn a_socket_with_a_host_is_reported_after_the_tunnel() {
    let desk = Desk::new().await;
    let endpoint = [("FLEETCTL_ENDPOINT", "unix://var/run/fleet.sock")];
    let run = desk.through(&["list-units"], &endpoint).await;
    let text = "unable to connect to host \"var\" with scheme \"unix\"";
    assert_eq!(run.transcript(), format!("rc 1\nerr|Unable to initialize client: {text}\n"));
    assert_eq!(desk.server.connections(), 1);
    // What is wrong with other endpoints comes before.
    let run = desk.through(&["list-units"], &[("FLEETCTL_ENDPOINT", "localhost")]).await;
    assert_eq!(run.transcript(), "rc 1\nerr|Unable to initialize client: URL scheme undefined\n");
    assert_eq!(desk.server.connections(), 1);
}

#[tokio::test]
async fn a_command_that_waits_outlives_its_tunnel() {
    let cut = Arc::new(Notify::new());
    let desk = Desk::new().await;
    let (polls, cutter) = (AtomicUsize::new(0), Arc::clone(&cut));
    let unit = desk.cluster.units.lock().unwrap()["j1.service"].clone();
    let units = [("j1.service", HELLO, "launched", "launched")];
    let waiting = Cluster::ruled(&units, move |request| {
        if !request.target.contains("/units/j1.service") {
            return None;
        }
        if request.method == "PUT" {
            polls.store(1, Ordering::Relaxed);
            return Some(Reply::Send(204, String::new()));
        }
        // Nothing counts before the unit was told to start.
        let poll = polls.load(Ordering::Relaxed);
        polls.store(if poll > 0 { poll + 1 } else { 0 }, Ordering::Relaxed);
        if poll == 3 {
            cutter.notify_one();
        }
        let state = |launched| if launched { "launched" } else { "loaded" }.to_owned();
        let (current_state, desired_state) = (state(poll > 6), state(poll > 0));
        let unit = Unit { current_state, desired_state, ..unit.clone() };
        Some(Reply::Send(200, to_json(&unit)))
    });
    let gate = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tunnel = gate.local_addr().unwrap().to_string();
    let endpoint = waiting.server.endpoint();
    let variables = [("FLEETCTL_TUNNEL", &*tunnel), ("FLEETCTL_ENDPOINT", &endpoint)];
    let run = tokio::select! {
        run = timeout(LIMIT, desk.type_into(&["start", "j1"], "", &variables)) => run.unwrap(),
        never = pass(&gate, desk.server.port, &cut) => match never {},
    };
    assert_eq!((run.code, &*run.err), (Some(0), ""), "{}", run.out);
    assert_eq!(desk.server.connections(), 2);
}

/// Passes connections on to a port of this machine, and cuts those that there are when told to.
async fn pass(gate: &TcpListener, port: u16, cut: &Notify) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = gate.accept() => {
                let (mut near, _) = accepted.unwrap();
                connections.spawn(async move {
                    let mut far = TcpStream::connect(("127.0.0.1", port)).await?;
                    copy_bidirectional(&mut near, &mut far).await
                });
            }
            () = cut.notified() => connections.abort_all(),
        }
    }
}

#[tokio::test]
async fn machines_that_cannot_be_reached_are_tried_once() {
    let desk = Desk::new().await;
    let strict = [("FLEETCTL_STRICT_HOST_KEY_CHECKING", "")];
    let run = desk.type_into(&["status", "PORT", "j1", "c31e.service"], "no\nno\n", &strict).await;
    assert_eq!(run.code, Some(255));
    assert_eq!(run.err.matches("(yes/no)?").count(), 1, "{}", run.err);
    let text = "Unable to SSH to remote host: ssh: handshake failed: unauthorized host";
    assert_eq!(run.err.matches(text).count(), 2, "{}", run.err);
}

#[tokio::test]
async fn unknown_hosts_are_asked_about_and_known_ones_are_not() {
    let desk = Desk::new().await;
    let strict = [("FLEETCTL_STRICT_HOST_KEY_CHECKING", "")];
    let words = ["ssh", "PORT", "j1", "cat"];
    let refused = desk.type_into(&words, "no\nrest\n", &strict).await;
    assert_eq!((refused.code, &*refused.out), (Some(1), ""));
    assert!(
        refused.err.contains("Are you sure you want to continue connecting (yes/no)? "),
        "{}",
        refused.err
    );
    let text = "Failed building SSH client: ssh: handshake failed: unauthorized host";
    assert!(refused.err.contains(text), "{}", refused.err);
    let accepted = desk.type_into(&words, "yes\nrest\n", &strict).await;
    assert_eq!((accepted.code, &*accepted.out), (Some(0), "rest\n"), "{}", accepted.err);
    let known = desk.home.path().join(".fleetctl/known_hosts");
    assert!(
        fs::read_to_string(known)
            .unwrap()
            .starts_with(&format!("[127.0.0.1]:{} ", desk.server.port))
    );
    let again = desk.type_into(&words, "rest\n", &strict).await;
    assert_eq!((again.code, &*again.out, &*again.err), (Some(0), "rest\n", ""));
    // An empty name is no file: nothing is known, and nothing can be kept.
    let words = ["--known-hosts-file=", "ssh", "PORT", "j1", "cat"];
    let nowhere = desk.type_into(&words, "yes\nrest\n", &strict).await;
    assert_eq!((nowhere.code, &*nowhere.out), (Some(0), "rest\n"), "{}", nowhere.err);
    let text = "\nFailed to add the host to the list of known hosts ().\n";
    let shown = nowhere.err.replace("(yes/no)? ", "\n");
    assert!(shown.contains(text), "{}", nowhere.err);
}

#[tokio::test]
async fn hosts_are_reached_as_the_users_configuration_says() {
    let (bastion, desk) = (Sshd::start().await, Desk::new().await);
    let ssh = desk.home.path().join(".ssh");
    fs::create_dir(&ssh).unwrap();
    let gate = generate(&ssh, "gate", "ed25519").await;
    bastion.authorize(&gate);
    let known = bastion.known("ed25519") + &desk.server.known("ed25519");
    fs::write(ssh.join("known"), &known).unwrap();
    let user = desk.server.hop().user;
    let config = format!(
        "Host bastion\n HostName 127.0.0.1\n Port {}\n User {user}\n IdentityFile ~/.ssh/gate\n \
         IdentitiesOnly yes\nHost 127.0.0.*\n ProxyJump bastion\n Port {}\n User {user}\n \
         IdentityFile ${{HOME}}/key\nHost *\n UserKnownHostsFile ~/.ssh/known\n",
        bastion.port, desk.server.port
    );
    fs::write(ssh.join("config"), config).unwrap();
    // Nothing else says who logs in and with what; the agent has a key that isn't wanted.
    let agent = Agent::with(&generate(desk.home.path(), "other", "ed25519").await).await;
    let unsaid = [
        ("FLEETCTL_SSH_USERNAME", ""),
        ("FLEETCTL_SSH_IDENTITY", ""),
        ("FLEETCTL_STRICT_HOST_KEY_CHECKING", ""),
        ("SSH_AUTH_SOCK", agent.socket.to_str().unwrap()),
    ];
    let command = ["ssh", "j1", "echo $SSH_CONNECTION"];
    let run = desk.type_into(&command, "", &unsaid).await;
    assert_eq!((run.code, &*run.err), (Some(0), ""));
    assert!(run.out.ends_with(&format!(" 127.0.0.1 {}\n", desk.server.port)), "{}", run.out);
    assert_eq!((bastion.connections(), desk.server.connections()), (1, 1));
    let offered = bastion.log().matches("userauth-request").count();
    assert_eq!(offered, 3, "none, the question whether the key would do, and the key");

    // The same host as tunnel, by its name, for the API and for the machine behind it.
    let tunnel: Vec<_> = unsaid.iter().copied().chain([("FLEETCTL_TUNNEL", "bastion")]).collect();
    let run = desk.type_into(&command, "", &tunnel).await;
    assert_eq!((run.code, &*run.err), (Some(0), ""));
    assert_eq!((bastion.connections(), desk.server.connections()), (2, 2));

    // Flags win over all of it, but for the login of a jump host.
    for (flag, why) in [
        ("--ssh-username=nobody-here", " as nobody-here through jump host bastion; tried "),
        ("--ssh-identity=/nowhere/key", "key file /nowhere/key: no such file or directory"),
        ("--ssh-port=1", "ssh: rejected: connect failed"),
    ] {
        let run = desk.type_into(&["ssh", flag, "j1", "true"], "", &unsaid).await;
        assert!(run.code == Some(1) && run.err.contains(why), "{flag}: {}", run.err);
    }
    let (empty, more) = (desk.home.path().join("empty"), desk.home.path().join("more"));
    fs::write(&empty, "").unwrap();
    fs::write(&more, &known).unwrap();
    for (file, code) in [(&empty, 1), (&more, 0)] {
        let flag = format!("--known-hosts-file={}", file.display());
        let run = desk.type_into(&["ssh", &flag, "j1", "true"], "no\n", &unsaid).await;
        let asked = run.err.contains("continue connecting (yes/no)? ");
        assert_eq!((run.code, asked), (Some(code), code == 1), "{}", run.err);
    }
}

#[tokio::test]
async fn known_hosts_that_never_end_take_no_longer_than_the_limit() {
    let desk = Desk::new().await;
    let fifo = desk.home.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().await.unwrap().success());
    let variables = [
        ("FLEETCTL_STRICT_HOST_KEY_CHECKING", ""),
        ("FLEETCTL_KNOWN_HOSTS_FILE", fifo.to_str().unwrap()),
        ("FLEETCTL_SSH_TIMEOUT", "0.5"),
    ];
    let run = timeout(LIMIT, desk.through(&["list-units"], &variables)).await.unwrap();
    let text = "Unable to initialize client: failed initializing SSH client: timed out while \
                initiating SSH connection";
    assert!(run.code == Some(1) && run.err.starts_with(text), "{}", run.err);
}

#[tokio::test]
async fn the_agent_is_forwarded_only_when_that_is_wanted() {
    let desk = Desk::new().await;
    let agent = Agent::with(&desk.key).await;
    let agent = [("SSH_AUTH_SOCK", agent.socket.to_str().unwrap()), ("FLEETCTL_SSH_IDENTITY", "")];
    let command = "ssh-add -l | grep -c ED25519";
    for (words, code, out) in [
        (&["ssh", "PORT", "-A", "j1", command][..], 0, "1\n"),
        (&["ssh", "PORT", "--A", "j1", command], 0, "1\n"),
        (&["ssh", "PORT", "j1", "--forward-agent", command], 0, "1\n"),
        (&["ssh", "PORT", "j1", command], 1, "0\n"),
        (&["ssh", "PORT", "j1", command, "-A", "1"], 1, "0\n"),
    ] {
        let run = desk.type_into(words, "", &agent).await;
        assert_eq!((run.code, &*run.out), (Some(code), out), "{words:?} {}", run.err);
    }
}

#[tokio::test]
async fn an_agent_that_cannot_be_lent_is_told_of_and_not_offered() {
    let desk = Desk::new().await;
    for (socket, text) in [
        ("", "Warning: no agent is forwarded: SSH_AUTH_SOCK environment variable is not set. "),
        (
            "/nowhere/agent",
            "Warning: no agent is forwarded: dial unix /nowhere/agent: connect: no such file or directory\n",
        ),
    ] {
        let words = ["ssh", "PORT", "-A", "j1", "echo \"${SSH_AUTH_SOCK-none}\""];
        let run = desk.type_into(&words, "", &[("SSH_AUTH_SOCK", socket)]).await;
        assert_eq!((run.code, &*run.out), (Some(0), "none\n"), "{}", run.err);
        assert!(run.err.starts_with(text), "{}", run.err);
        assert_eq!(desk.run(&["ssh", "PORT", "j1", "true"]).await.err, "");
    }
}
