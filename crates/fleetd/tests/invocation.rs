//! The real binary: what it says and how it ends (`fleetd.md` 1 and 11).

use std::{
    os::unix::net::UnixListener,
    path::Path,
    process::{Command, Output, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Runs fleetd with nothing in its environment but `variables`, for cases in which it ends by
/// itself. The bus it is pointed to isn't there, wherever the test runs.
fn fleetd(args: &[&str], variables: &[(&str, &str)]) -> Output {
    command(args, variables).output().unwrap()
}

fn command(args: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut fleetd = Command::new(env!("CARGO_BIN_EXE_fleetd"));
    fleetd
        .args(args)
        .env_clear()
        .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/system_bus_socket")
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")
        .envs(variables.iter().copied());
    fleetd
}

/// stderr without the place in the source that each log line names.
fn stderr(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    let line = |line: &str| {
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        match words.as_slice() {
            [level @ ("INFO" | "WARN" | "ERROR" | "FATAL" | "DEBUG"), place, rest] => {
                let (file, number) = place.trim_end_matches(':').split_once(':').unwrap();
                assert!(file.ends_with(".rs") && number.parse::<u32>().is_ok(), "{line}");
                format!("{level} {rest}\n")
            }
            _ => format!("{line}\n"),
        }
    };
    text.lines().map(line).collect()
}

fn assert_run(output: &Output, code: i32, expected: &str) {
    assert_eq!((stderr(output).as_str(), output.status.code()), (expected, Some(code)));
    assert!(output.stdout.is_empty(), "stdout is for the version and the dump");
}

const STARTING: &str = concat!("INFO Starting fleetd version v", env!("CARGO_PKG_VERSION"), "\n");

#[test]
fn the_version_goes_to_stdout_and_usage_to_stderr() {
    let version = concat!("fleetd version v", env!("CARGO_PKG_VERSION"), "\n");
    for args in [&["--version"][..], &["-version"], &["--version=true"], &["version", "foo"]] {
        let output = fleetd(args, &[]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), version, "{args:?}");
        assert!(output.stderr.is_empty() && output.status.success(), "{args:?}");
    }
    let usage = format!("Usage of {}:\n", env!("CARGO_BIN_EXE_fleetd"));
    for help in ["-h", "-help", "--help"] {
        let output = fleetd(&[help], &[]);
        let text = stderr(&output);
        assert!(output.status.success() && output.stdout.is_empty());
        assert!(text.contains(&usage) && text.contains("-config") && text.contains("-version"));
    }
}

#[test]
fn a_stray_word_or_flag_is_answered_with_usage() {
    let program = env!("CARGO_BIN_EXE_fleetd");
    let stray = format!("{program} takes no arguments. Did you mean to invoke fleetctl instead?\n");
    let usage = stderr(&fleetd(&["-h"], &[]));
    for (args, first, code) in [
        (&["foo"][..], stray.as_str(), 1),
        (&["--version", "extra"], &stray, 1),
        (&["--bogus"], "flag provided but not defined: -bogus\n", 2),
        (&["-"], &stray, 1),
        (&["--", "foo"], &stray, 1),
        (&["-bogus=1"], "flag provided but not defined: -bogus\n", 2),
    ] {
        assert_run(&fleetd(args, &[]), code, &format!("{first}{usage}"));
    }
}

#[test]
fn a_version_that_can_not_be_written_is_an_error() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = command(&["--version"], &[]).stdout(full).output().unwrap();
    assert_run(&output, 1, "write version: no space left on device\n");
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let status = command(&["--help"], &[]).stderr(full).status().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_config_file_that_can_not_be_used_is_fatal() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fleet.conf");
    std::fs::write(&file, "agent_ttl=5s\nword\n").unwrap();
    let (file, directory) = (file.to_str().unwrap(), folder.path().to_str().unwrap());
    for (args, fatal) in [
        (
            ["--config", "/nonexist"],
            "Unable to use config file /nonexist: stat /nonexist: no such file or directory"
                .to_owned(),
        ),
        (["-config", directory], format!("Provided config {directory} is a directory, not a file")),
        (["-config", file], format!("{file}: iniparser: syntax error at ':2'.")),
    ] {
        assert_run(&fleetd(&args, &[]), 1, &format!("{STARTING}FATAL {fatal}\n"));
    }
}

/// A config file with `text`, and what fleetd logs first when it is named.
fn with_file(text: &str) -> (tempfile::NamedTempFile, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let using = format!("{STARTING}INFO Using provided config file {}\n", file.path().display());
    (file, using)
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}

#[test]
fn a_bad_ttl_is_fatal_before_the_bus_is_tried() {
    let (file, using) = with_file("agent_ttl=10s\n");
    for (value, reason) in [
        ("30", "time: missing unit in duration \"30\""),
        ("abc", "time: invalid duration \"abc\""),
        ("30x", "time: unknown unit \"x\" in duration \"30x\""),
    ] {
        let output = fleetd(&["-config", path(&file)], &[("FLEET_AGENT_TTL", value)]);
        let place = "(option agent_ttl in environment variable FLEET_AGENT_TTL)";
        let fatal = format!("{using}FATAL Failed creating Server: {reason} {place}\n");
        assert_run(&output, 1, &fatal);
    }
}

#[test]
fn no_bus_is_fatal_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let units = folder.path().join("units");
    let text = format!("units_directory={0}\nruntime_directory={0}/run\n", units.display());
    let (file, using) = with_file(&text);
    if Path::new("/run/systemd/private").exists() {
        return; // root's last resort works on this machine: there is nothing to refuse
    }
    let output = fleetd(&["--config", path(&file)], &[]);
    let is_root = std::fs::metadata(file.path()).is_ok_and(|file| {
        use std::os::unix::fs::MetadataExt as _;
        file.uid() == 0
    });
    let socket = if is_root { "/run/systemd/private" } else { "/nonexistent/system_bus_socket" };
    let fatal = format!(
        "{using}FATAL Failed creating Server: dial unix {socket}: connect: no such file or directory\n"
    );
    assert_run(&output, 1, &fatal);
}

#[test]
fn signals_are_heard_while_systemd_does_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display();
    let bus = folder.path().join("bus");
    let listener = UnixListener::bind(&bus).unwrap();
    let (file, using) =
        with_file(&format!("units_directory={at}/units\nruntime_directory={at}/run\n"));
    let address = format!("unix:path={}", bus.display());
    for last in [Signal::SIGTERM, Signal::SIGINT] {
        let mut fleetd =
            command(&["-config", path(&file)], &[("DBUS_SYSTEM_BUS_ADDRESS", &address)]);
        let fleetd = fleetd.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let tell = |signal| kill(Pid::from_raw(fleetd.id().try_into().unwrap()), signal).unwrap();
        // It waits for an answer when it has connected: at once, and again when it has reloaded.
        let _first = listener.accept().unwrap();
        tell(Signal::SIGUSR1);
        tell(Signal::SIGHUP);
        let _second = listener.accept().unwrap();
        tell(last);
        let again = using.trim_start_matches(STARTING);
        let said = format!(
            "{using}INFO Reloading configuration from {}\n{again}INFO Gracefully shutting down\n",
            path(&file)
        );
        assert_run(&fleetd.wait_with_output().unwrap(), 0, &said);
    }
}

#[test]
fn what_is_odd_is_said_before_it_ends() {
    let (file, using) =
        with_file("verify_units=true\nauthorized_keys_file=/keys\nenable_grpc=1\nnew_option=1\n");
    let output = fleetd(&["-config", path(&file)], &[("FLEET_SYSTEMD_USER", "true")]);
    let file = path(&file);
    let said = format!(
        "{using}\
         WARN unknown config option \"new_option\" in {file} line 4 - ignoring\n\
         WARN Config option enable_grpc is no longer needed - ignoring\n\
         ERROR Config option verify_units is no longer supported - ignoring\n\
         ERROR Config option authorized_keys_file is no longer supported - ignoring\n\
         FATAL Failed creating Server: "
    );
    let text = stderr(&output);
    assert!(text.starts_with(&said), "{text}\nis not\n{said}");
    assert!(text.contains("/nonexistent/bus") && output.status.code() == Some(1), "{text}");
}

#[test]
fn dev_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = folder.path().to_str().unwrap();
    let units = format!("{runtime}/units");
    let variables = [
        ("XDG_RUNTIME_DIR", runtime),
        ("FLEET_SYSTEMD_USER", "true"),
        ("FLEET_UNITS_DIRECTORY", &units),
        ("FLEET_RUNTIME_DIRECTORY", runtime),
    ];
    let output = fleetd(&["--dev"], &variables);
    let warning = "WARN --dev: this fleetd is a cluster of its own, without etcd; nothing is kept \
                   when it ends\n";
    let text = stderr(&output);
    assert!(text.starts_with(&format!("{STARTING}{warning}FATAL ")), "{text}");
}

#[test]
fn the_journal_is_told_levels_and_nobody_else_is() {
    use std::os::unix::fs::MetadataExt as _;
    let levels = |stream: fn(&std::fs::Metadata) -> String| {
        let log = tempfile::NamedTempFile::new().unwrap();
        let named = stream(&log.as_file().metadata().unwrap());
        let mut fleetd = command(&["--config", "/nonexist"], &[("JOURNAL_STREAM", &named)]);
        fleetd.stderr(log.reopen().unwrap()).status().unwrap();
        let text = std::fs::read_to_string(log.path()).unwrap();
        let levels = text.lines().filter_map(|line| line.split_once(' '));
        levels.map(|(level, _)| level.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(levels(|log| format!("{}:{}", log.dev(), log.ino())), ["<6>INFO", "<2>FATAL"]);
    // It was inherited from a service, say, whose child writes elsewhere.
    assert_eq!(levels(|log| format!("{}:{}", log.dev(), log.ino() + 1)), ["INFO", "FATAL"]);
}

#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    use std::io::Write as _;
    let (_reader, mut writer) = std::io::pipe().unwrap();
    // All that a pipe takes, or it would take the few lines below as well.
    nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))
        .unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    while writer.write(b"x").is_ok() {}
    nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty())).unwrap();
    let mut fleetd = command(&["--config=/nonexistent"], &[]).stderr(writer).spawn().unwrap();
    let begun = tokio::time::Instant::now();
    while fleetd.try_wait().unwrap().is_none() {
        if begun.elapsed() > std::time::Duration::from_secs(20) {
            fleetd.kill().unwrap();
            fleetd.wait().unwrap();
            panic!("fleetd waits for its log");
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
