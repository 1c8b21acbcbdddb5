use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use tracing::{debug, info, warn};

use super::*;

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines that `work` logs, with the numbers of source lines as `N`.
fn logged(in_journal: bool, work: impl FnOnce(&Verbosity)) -> Vec<String> {
    let log = Log::default();
    let writer = {
        let log = log.clone();
        move || log.clone()
    };
    let (subscriber, verbosity) = subscriber(in_journal, writer);
    tracing::subscriber::with_default(subscriber, || work(&verbosity));
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    let without_number = |line: &str| {
        let (head, rest) = line.split_once("tests.rs:").unwrap();
        format!("{head}tests.rs:N{}", rest.trim_start_matches(|c: char| c.is_ascii_digit()))
    };
    text.split_terminator('\n').map(without_number).collect()
}

#[test]
fn lines_have_level_place_message_and_fields() {
    let lines = logged(false, |_| {
        info!("Starting fleetd version {}", "v2");
        warn!(unit = %"a.service", machine = ?Some(1), path = "/x y", "step failed");
        error!(target: FATAL, "no");
    });
    assert_eq!(
        lines,
        [
            "INFO tests.rs:N: Starting fleetd version v2",
            "WARN tests.rs:N: step failed unit=a.service machine=Some(1) path=\"/x y\"",
            "FATAL tests.rs:N: no",
        ]
    );
}

#[test]
fn nothing_from_outside_can_forge_a_line() {
    let evil = "a\nFATAL fleetd.rs:1: gone\r\u{1b}[31m\u{85}\u{2028}x\tü";
    let shown = "a\\nFATAL fleetd.rs:1: gone\\r\\u{1b}[31m\\u{85}\\u{2028}x ü";
    for (line, expected) in [
        (logged(false, |_| info!("{evil}")), format!("INFO tests.rs:N: {shown}")),
        (logged(false, |_| info!(unit = %evil, "m")), format!("INFO tests.rs:N: m unit={shown}")),
    ] {
        assert_eq!(line, [expected]);
    }
    assert_eq!(logged(true, |_| info!(unit = evil, "m")).len(), 1);
}

#[test]
fn the_journal_is_told_the_level() {
    let lines = logged(true, |verbosity| {
        verbosity.set(true);
        debug!("d");
        info!("i");
        warn!("w");
        error!("e");
        error!(target: FATAL, "f");
    });
    let starts: Vec<_> = lines.iter().filter_map(|line| line.split_once(" tests")).collect();
    let starts: Vec<_> = starts.iter().map(|(start, _)| *start).collect();
    assert_eq!(starts, ["<7>DEBUG", "<6>INFO", "<4>WARN", "<3>ERROR", "<2>FATAL"]);
}

#[test]
fn debug_is_switched_on_and_off() {
    let lines = logged(false, |verbosity| {
        for on in [false, true, false] {
            verbosity.set(on);
            debug!("it is {on}");
        }
    });
    assert_eq!(lines, ["DEBUG tests.rs:N: it is true"]);
}

#[test]
fn libraries_are_heard_only_when_something_goes_wrong() {
    let lines = logged(false, |verbosity| {
        verbosity.set(true);
        info!(target: "hyper", "chatter");
        error!(target: "hyper", "trouble");
    });
    assert_eq!(lines, ["ERROR tests.rs:N: trouble"]);
}

#[test]
fn only_the_stream_that_is_named_is_the_journal() {
    use std::os::{fd::AsFd as _, unix::fs::MetadataExt as _};
    let stream = tempfile::tempfile().unwrap();
    let metadata = stream.metadata().unwrap();
    let (device, inode) = (metadata.dev(), metadata.ino());
    for (named, expected) in [
        (Some(format!("{device}:{inode}")), true),
        (Some(format!("{device}:{}", inode + 1)), false),
        (Some(format!("{}:{inode}", device + 1)), false),
        (Some("8".to_owned()), false),
        (Some("a:b".to_owned()), false),
        (None, false),
    ] {
        assert_eq!(is_stream(named.as_deref(), stream.as_fd()), expected, "{named:?}");
    }
}
