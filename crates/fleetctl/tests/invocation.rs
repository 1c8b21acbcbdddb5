//! Words, streams, environment and endpoints, from the real binary (`fleetctl.md` 1 to 3).

mod support;

use std::{
    io::{Read, Write},
    os::unix::net::UnixListener,
    path::Path,
};

use insta::assert_snapshot;
use support::{
    Cluster, Desk, HELLO, run, run_unread, run_with_input,
    server::{Reply, Server},
};

/// Runs fleetctl where there is nothing.
fn alone(words: &str, variables: &[(&str, &str)]) -> support::Run {
    let words: Vec<&str> = words.split_whitespace().collect();
    run(Path::new("/"), &words, variables)
}

#[test]
fn an_unknown_command_gets_suggestions_once() {
    assert_snapshot!(alone("list-", &[]).transcript(), @r#"
    rc 2
    err|Error: unknown command "list-" for "fleetctl"
    err|
    err|Did you mean this?
    err|→list-machines
    err|→list-unit-files
    err|→list-units
    err|
    err|Run 'fleetctl --help' for usage.
    "#);
    assert_snapshot!(alone("frobnicate", &[]).transcript(), @r#"
    rc 2
    err|Error: unknown command "frobnicate" for "fleetctl"
    err|
    err|Run 'fleetctl --help' for usage.
    "#);
}

#[test]
fn a_wrong_flag_exits_with_2_and_says_so_once() {
    assert_snapshot!(alone("start --bogus x", &[]).transcript(), @r"
    rc 2
    err|Error: unknown flag: --bogus
    err|
    err|Usage: fleetctl start [--no-block|--block-attempts=N] [--replace] [--no-warn] UNIT...
    err|Run 'fleetctl start --help' for usage.
    ");
    assert_snapshot!(alone("list-units --full=maybe", &[]).transcript(), @r#"
    rc 2
    err|Error: invalid argument "maybe" for --full=maybe: expected one of 1, t, T, TRUE, true, True, 0, f, F, FALSE, false, False
    err|
    err|Usage: fleetctl list-units [--no-legend] [-l|--full] [--fields]
    err|Run 'fleetctl list-units --help' for usage.
    "#);
}

#[test]
fn the_version_needs_nobody() {
    for words in ["version", "--version", "-v", "version extra", "list-units --version", "vers"] {
        let run = alone(words, &[("FLEETCTL_ENDPOINT", "nonsense")]);
        let text = concat!("rc 0\nout|fleetctl version v", env!("CARGO_PKG_VERSION"), "\n");
        assert_eq!(run.transcript(), text, "{words}");
    }
    let run = alone("list-units", &[("FLEETCTL_VERSION", "true"), ("FLEETCTL_ENDPOINT", "x")]);
    assert_eq!(run.code, Some(0));
    assert!(run.out.starts_with("fleetctl version v"), "{}", run.out);
}

#[test]
fn help_of_a_command_has_its_sections() {
    let overview = alone("", &[]).out;
    let (_, global) = overview.split_once("\nOPTIONS:\n").unwrap();
    let mut run = alone("help start", &[]);
    let text = run.out.clone();
    run.out = text.strip_suffix(&format!("GLOBAL OPTIONS:\n{global}")).unwrap().to_owned();
    assert_snapshot!(run.transcript(), @r#"
    rc 0
    out|NAME:
    out|→start - Instruct systemd to start one or more units in the cluster, first submitting and loading if necessary.
    out|
    out|USAGE:
    out|→fleetctl start [--no-block|--block-attempts=N] [--replace] [--no-warn] UNIT...
    out|
    out|DESCRIPTION:
    out|→Start one or more units in the cluster. Units that the cluster doesn't have are
    out|→submitted first, and units without a machine get one. Instances of a template are
    out|→made of the template in the cluster, else of the local one.
    out|→
    out|→Waits until systemd reports the units active, unless --no-block is given;
    out|→--block-attempts bounds the wait. Units that run on all machines are only waited for
    out|→where their content was replaced. Fails when a unit fails, also one that was started
    out|→before: restart runs such a unit again.
    out|→
    out|→Start a single unit:
    out|→→fleetctl start foo.service
    out|→
    out|→Start an instance of a template:
    out|→→fleetctl start foo@1.service
    out|
    out|OPTIONS:
    out|      --block-attempts int   Wait for the units in at most that many attempts of 2 seconds; 0 to wait as long as it takes
    out|      --no-block             Do not wait for the units
    out|      --no-warn              Do not warn of what systemd will not run, or ignore, in the local files
    out|      --replace              Replace units in the cluster that differ from the local files
    out|      --sign                 DEPRECATED: do not use this flag.
    out|
    "#);
    for words in
        ["start --help", "start -h x", "--help start", "-h star", "star --h", "help star x"]
    {
        assert_eq!(alone(words, &[]).out, text, "{words}");
    }
}

#[test]
fn help_lists_all_commands() {
    let run = alone("", &[]);
    assert_snapshot!(run.transcript(), @r#"
    rc 0
    out|NAME:
    out|→fleetctl - fleetctl is a command-line interface to fleet, the cluster-wide CoreOS init system.
    out|
    out|USAGE:
    out|→fleetctl [global options] <command> [command options] [arguments...]
    out|
    out|VERSION:
    out|→v2.0.0
    out|
    out|COMMANDS:
    out|→cat→→Output the contents of a submitted unit
    out|→destroy→→Destroy one or more units in the cluster
    out|→fd-forward→Proxy stdin and stdout to a unix domain socket
    out|→help→→Help about any command
    out|→journal→→Print the journal of a unit in the cluster to stdout
    out|→list-machines→Enumerate the current hosts in the cluster
    out|→list-unit-files→List the units that exist in the cluster.
    out|→list-units→List the current state of units in the cluster
    out|→load→→Schedule one or more units in the cluster, first submitting them if necessary.
    out|→restart→→Instruct systemd to rolling restart one or more units in the cluster.
    out|→ssh→→Open interactive shell on a machine in the cluster
    out|→start→→Instruct systemd to start one or more units in the cluster, first submitting and loading if necessary.
    out|→status→→Output the status of one or more units in the cluster
    out|→stop→→Instruct systemd to stop one or more units in the cluster.
    out|→submit→→Upload one or more units to the cluster without starting them
    out|→unload→→Unschedule one or more units in the cluster.
    out|→verify→→
    out|→version→→Print the version and exit
    out|
    out|DESCRIPTION:
    out|→fleetctl hands unit files to a cluster, tells it what to do with them, and shows what becomes of them.
    out|→To get help on a command: fleetctl help [command]
    out|
    out|OPTIONS:
    out|      --ca-file string             Authorities that the endpoint is verified against instead of the system's, a PEM file
    out|      --cert-file string           Client certificate to show to the endpoint, a PEM file
    out|      --debug                      Print debug output to stderr
    out|      --driver string              What the endpoint speaks: API, or etcd to work on the registry without fleetd (default "API")
    out|      --endpoint string            Location of the fleet API: unix:///PATH, http://HOST:PORT or https://HOST:PORT; comma-separated etcd URLs with --driver=etcd (default "unix:///var/run/fleet.sock")
    out|      --etcd-cafile string         DEPRECATED: do not use this flag.
    out|      --etcd-certfile string       DEPRECATED: do not use this flag.
    out|      --etcd-key-prefix string     Where the registry is in etcd, with --driver=etcd (default "/_coreos.com/fleet/")
    out|      --etcd-keyfile string        DEPRECATED: do not use this flag.
    out|      --experimental-api           DEPRECATED: do not use this flag. (default true)
    out|  -h, --help                       Print help and exit
    out|      --key-file string            Key of the client certificate, a PEM file
    out|      --known-hosts-file string    Where the keys of SSH hosts are kept (default "~/.fleetctl/known_hosts")
    out|      --request-timeout float      Time in seconds a request may take, 0 for no limit (default 3)
    out|      --ssh-identity string        Private key to log in with over SSH after the agent's keys; may be given several times
    out|      --ssh-timeout float          Time in seconds that connecting to each SSH host may take, more than 0 (default 10)
    out|      --ssh-username string        Name to log in with over SSH (default "core")
    out|      --strict-host-key-checking   Verify the keys of SSH hosts (default true)
    out|      --tunnel string              Reach the cluster through this host, HOST[:PORT], over SSH
    out|      --version                    Print the version and exit
    out|
    "#);
    for words in ["help", "--help", "-h", "--h"] {
        assert_eq!(alone(words, &[]).out, run.out, "{words}");
    }
    let unknown = alone("help nope", &[]);
    assert_eq!((unknown.code, &*unknown.out), (Some(1), &*run.out));
    assert_eq!(unknown.err, "Unknown help topic [`nope`].\n");
}

#[test]
fn verify_says_that_it_was_given_up() {
    for words in ["verify", "verify a b", "veri --endpoint=nonsense"] {
        assert_eq!(
            alone(words, &[]).transcript(),
            "rc 2\nerr|Command \"verify\" is deprecated, DEPRECATED - No longer works\nerr|WARNING: The signed/verified units feature is DEPRECATED and cannot be used.\n",
            "{words}"
        );
    }
    for words in ["submit --sign x", "load --sign=1 x", "--sign start x"] {
        assert_eq!(
            alone(words, &[]).transcript(),
            "rc 2\nerr|WARNING: The signed/verified units feature is DEPRECATED and cannot be used.\n",
            "{words}"
        );
    }
}

#[test]
fn commands_that_work_over_ssh_are_found_by_their_beginnings() {
    for (words, text) in [
        ("j", "One unit file must be provided."),
        ("ss", "Unable to proceed: one machine or unit must be provided"),
        (
            "ssh --machine a --unit b",
            "Both machine and unit flags provided, please specify only one.",
        ),
    ] {
        assert_eq!(alone(words, &[]).transcript(), format!("rc 1\nerr|{text}\n"), "{words}");
    }
    assert_eq!(alone("stat", &[]).transcript(), "rc 0\n");
    let harmless = "--strict-host-key-checking=false --ssh-username=me --ssh-timeout=5 \
                    --known-hosts-file=/dev/null --ssh-identity=/nowhere list-units";
    assert_eq!(Desk::at(Cluster::empty()).run(harmless).code, Some(0));
}

#[test]
fn a_limit_of_nothing_is_refused() {
    let why = "expected a number of seconds greater than 0, such as 10 or 0.5";
    for value in ["0", "-1", "0.0001", "abc"] {
        let flag = alone(&format!("list-units --ssh-timeout={value}"), &[]);
        let text =
            format!("Error: invalid argument \"{value}\" for --ssh-timeout={value}: {why}\n");
        assert!(flag.code == Some(2) && flag.err.starts_with(&text), "{}", flag.err);
        let variable = alone("list-units", &[("FLEETCTL_SSH_TIMEOUT", value)]);
        let text = format!(
            "Error: invalid value \"{value}\" of environment variable FLEETCTL_SSH_TIMEOUT: {why}\n"
        );
        assert!(variable.code == Some(2) && variable.err.starts_with(&text), "{}", variable.err);
    }
}

#[test]
fn a_tunnel_that_leads_nowhere_ends_commands_but_for_those_that_need_no_cluster() {
    // A port of the loopback interface that nobody listens at, and no agent.
    for tunnel in ["127.0.0.1:1", "[::1]:1"] {
        let tunnel = [("FLEETCTL_TUNNEL", tunnel)];
        for words in [
            "list-units",
            "start",
            "ssh",
            "status",
            "journal a",
            "cat",
            "--driver=etcd list-units --endpoint=http://e",
        ] {
            let run = alone(words, &tunnel);
            let text = "Unable to initialize client: failed initializing SSH client: ";
            assert!(run.code == Some(1) && run.err.starts_with(text), "{words}: {}", run.err);
        }
        for (words, code) in [("version", 0), ("help", 0), ("list-units --help", 0), ("verify", 2)]
        {
            assert_eq!(alone(words, &tunnel).code, Some(code), "{words}");
        }
        let forward = alone("fd-forward /nowhere/f.sock", &tunnel);
        assert!(forward.err.starts_with("Failed dialing remote address: "), "{}", forward.err);
    }
    let wrong = alone("list-units --endpoint=foo", &[("FLEETCTL_TUNNEL", "127.0.0.1:1")]);
    assert_eq!(wrong.transcript(), "rc 1\nerr|Unable to initialize client: URL scheme undefined\n");
}

#[test]
fn drivers_are_named_exactly() {
    for driver in ["foo", "api", "ETCD", ""] {
        let run = alone(&format!("list-units --driver={driver}"), &[]);
        let text =
            format!("rc 1\nerr|Unable to initialize client: unrecognized driver \"{driver}\"\n");
        assert_eq!(run.transcript(), text, "{driver}");
    }
}

#[test]
fn wrong_environment_is_refused_by_name() {
    for (variable, value) in [
        ("FLEETCTL_DEBUG", "yes"),
        ("FLEETCTL_VERSION", "maybe"),
        ("FLEETCTL_REQUEST_TIMEOUT", "10s"),
        ("FLEETCTL_STRICT_HOST_KEY_CHECKING", "yes"),
        ("FLEETCTL_SSH_TIMEOUT", "10s"),
        ("FLEETCTL_EXPERIMENTAL_API", "off"),
        ("FLEETCTL_STRICT_HOST_KEY_CHECKING", "maybe"),
    ] {
        let run = alone("list-units", &[(variable, value)]);
        assert_eq!((run.code, &*run.out), (Some(2), ""), "{variable}");
        let text = format!("Error: invalid value \"{value}\" of environment variable {variable}: ");
        assert!(run.err.starts_with(&text), "{}", run.err);
    }
}

#[test]
fn endpoints_that_mean_nothing_are_refused_at_once() {
    for (endpoint, text) in [
        ("foo", "URL scheme undefined"),
        ("unix://var/run/x", "unable to connect to host \"var\" with scheme \"unix\""),
        ("ftp://x", "unsupported protocol scheme \"ftp\""),
        ("localhost:49153", "unsupported protocol scheme \"localhost\""),
    ] {
        for run in [
            alone(&format!("list-units --endpoint={endpoint}"), &[]),
            alone("list-units", &[("FLEETCTL_ENDPOINT", endpoint)]),
            alone(&format!("--endpoint {endpoint} cat x"), &[("FLEETCTL_ENDPOINT", "http://h")]),
        ] {
            let text = format!("rc 1\nerr|Unable to initialize client: {text}\n");
            assert_eq!(run.transcript(), text, "{endpoint}");
        }
    }
}

#[test]
fn passwords_in_endpoints_are_refused_and_not_shown() {
    for endpoint in
        ["http://alice:hidden@h", "http://alice:hid,den@h", "alice:hidden@h", "hidden://a@h"]
    {
        for driver in ["API", "etcd"] {
            let run = alone(&format!("--driver={driver} --endpoint={endpoint} list-units"), &[]);
            let shown = run.transcript();
            assert_eq!(run.code, Some(1), "{driver} {endpoint}: {shown}");
            assert!(shown.contains("must not carry a user or"), "{driver} {endpoint}: {shown}");
            assert!(!shown.contains("hid"), "{driver} {endpoint}: {shown}");
        }
    }
}

#[test]
fn a_missing_socket_is_named() {
    let run = alone("--endpoint=unix:///nowhere/fleet.sock list-machines", &[]);
    assert_eq!(run.code, Some(1));
    let text = "Error retrieving list of active machines from fleet API (Get \"unix:///nowhere/fleet.sock/fleet/v1/machines?alt=json\": dial unix /nowhere/fleet.sock: connect: no such file or directory)";
    assert!(run.err.starts_with(text), "{}", run.err);
    assert!(run.err.contains("cannot be established to any etcd servers\n"), "{}", run.err);
    assert!(
        run.err.contains("\nNobody serves /nowhere/fleet.sock: is fleetd running"),
        "{}",
        run.err
    );
    assert!(run.err.ends_with("run fleetd --dev.\n"), "{}", run.err);
}

#[test]
fn a_server_on_a_socket_that_hangs_is_given_up_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.sock");
    let _server = Server::unix(&path, |_| Reply::Hang);
    let endpoint = format!("unix://{}", path.display());
    let run = run(
        folder.path(),
        &["list-units", "--request-timeout=0.1"],
        &[("FLEETCTL_ENDPOINT", &*endpoint)],
    );
    let text = format!(
        "rc 1\nerr|Error retrieving list of units from repository: Get \"{endpoint}/fleet/v1/state?alt=json\": no answer from {endpoint} within 0.1s\n"
    );
    assert_eq!(run.transcript(), text);
}

#[test]
fn only_the_first_of_several_endpoints_is_used() {
    let cluster = Cluster::empty();
    let endpoint = cluster.server.endpoint();
    let run = alone(&format!("list-units --endpoint={endpoint},http://198.18.0.1"), &[]);
    let text = format!(
        "rc 0\nout|UNIT→MACHINE→ACTIVE→SUB\nerr|DATE TIME WARN SOURCE: multiple endpoints provided but only the first ({endpoint}) is used\n"
    );
    assert_eq!(run.transcript(), text);
}

#[test]
fn proxies_are_ignored() {
    let cluster = Cluster::empty();
    let proxy = "http://127.0.0.1:1";
    let variables = [
        ("HTTP_PROXY", proxy),
        ("http_proxy", proxy),
        ("ALL_PROXY", proxy),
        ("FLEETCTL_ENDPOINT", &*cluster.server.endpoint()),
    ];
    assert_eq!(alone("list-units", &variables).code, Some(0));
}

#[test]
fn debug_output_tells_of_each_request() {
    for words in ["--debug list-units", "list-units --debug"] {
        let run = Desk::at(Cluster::empty()).run(words);
        assert_eq!(
            run.transcript(),
            "rc 0\nout|UNIT→MACHINE→ACTIVE→SUB\nerr|DATE TIME DEBUG SOURCE: HTTP GET http://ENDPOINT/fleet/v1/state?alt=json\nerr|DATE TIME DEBUG SOURCE: HTTP GET http://ENDPOINT/fleet/v1/state?alt=json 200 OK\n"
        );
    }
    let cluster = Cluster::empty();
    let endpoint = cluster.server.endpoint();
    let run = alone("list-units", &[("FLEETCTL_DEBUG", "1"), ("FLEETCTL_ENDPOINT", &endpoint)]);
    assert_eq!(run.err.lines().count(), 2, "{}", run.err);
}

#[test]
fn fd_forward_passes_the_end_of_its_input_on_and_waits_for_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let request: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let (code, out) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            stream.read_to_end(&mut seen).unwrap();
            seen.reverse();
            stream.write_all(&seen).unwrap();
        });
        run_with_input(&["fd-forward", path.to_str().unwrap()], &request)
    });
    assert_eq!(code, Some(0));
    assert!(out.iter().eq(request.iter().rev()));
}

#[test]
fn fd_forward_fails_where_nothing_is() {
    let variables = [("FLEETCTL_ENDPOINT", "nonsense")];
    for words in ["fd-forward", "fd-forward a b"] {
        let text = "rc 1\nerr|Provide a single argument\n";
        assert_eq!(alone(words, &variables).transcript(), text);
    }
    assert_snapshot!(alone("fd-forward /nowhere/f.sock", &variables).transcript(), @r"
    rc 1
    err|Failed dialing remote address: dial unix /nowhere/f.sock: connect: no such file or directory
    ");
}

#[test]
fn a_closed_pipe_is_a_quiet_exit() {
    let desk = Desk::at(Cluster::with(&[("a.service", HELLO, "loaded", "loaded")]));
    let endpoint = desk.cluster.server.endpoint();
    for words in [&["list-units"][..], &["cat", "a"], &["help"], &["version"]] {
        let (code, err) = run_unread(Path::new("/"), words, &[("FLEETCTL_ENDPOINT", &*endpoint)]);
        assert_eq!((code, &*err), (Some(0), ""), "{words:?}");
    }
}

#[test]
fn a_closed_pipe_keeps_no_command_from_its_work() {
    let desk = Desk::at(Cluster::with(&[
        ("a.service", HELLO, "inactive", "inactive"),
        ("b.service", HELLO, "inactive", "inactive"),
    ]));
    let endpoint = desk.cluster.server.endpoint();
    let unread = |words: &[&str]| {
        let (code, err) = run_unread(Path::new("/"), words, &[("FLEETCTL_ENDPOINT", &*endpoint)]);
        assert_eq!((code, &*err), (Some(0), ""), "{words:?}");
        desk.cluster.desired()
    };
    assert_eq!(unread(&["load", "a", "b"]), ["a.service=loaded", "b.service=loaded"]);
    assert_eq!(unread(&["start", "a", "b"]), ["a.service=launched", "b.service=launched"]);
    assert!(unread(&["destroy", "a", "b"]).is_empty());
}
