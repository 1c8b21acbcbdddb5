//! The real binary against a scripted cluster, in an environment without anything of this machine.

#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test binary uses a part of it")]

#[path = "../../../client/tests/support/mod.rs"]
pub mod server;

mod cluster;

use std::{
    fs,
    io::{Read, Write},
    path::Path,
    process::{Command, Stdio},
};

pub use cluster::{Cluster, MACHINE, error};
use tempfile::TempDir;

/// The file of most tests.
pub const HELLO: &str = "[Unit]\nDescription=Hello\n[Service]\nExecStart=/bin/sleep 1d\n";
/// Another one.
pub const OTHER: &str = "[Unit]\nDescription=Other\n[Service]\nExecStart=/bin/sleep 1d\n";
/// One that runs everywhere.
pub const GLOBAL: &str = "[Service]\nExecStart=/bin/sleep 1d\n[X-Fleet]\nGlobal=true\n";

/// A folder with unit files, a cluster, and fleetctl to be run between them.
pub struct Desk {
    pub folder: TempDir,
    pub cluster: Cluster,
    endpoint: String,
}

impl Desk {
    /// A desk at `cluster`.
    pub fn at(cluster: Cluster) -> Self {
        let endpoint = cluster.server.endpoint();
        Self { folder: tempfile::tempdir().unwrap(), cluster, endpoint }
    }

    /// Writes a unit file.
    pub fn file(self, name: &str, text: &str) -> Self {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Runs fleetctl with these words.
    pub fn run(&self, words: &str) -> Run {
        let before = self.cluster.server.requests().len();
        let words: Vec<&str> = words.split_whitespace().collect();
        let mut run = run(self.folder.path(), &words, &[("FLEETCTL_ENDPOINT", &self.endpoint)]);
        run.requests = self.cluster.server.lines().split_off(before);
        let hide = |text: &str| text.replace(&self.endpoint, "http://ENDPOINT");
        run.out = hide(&run.out);
        run.err = hide(&run.err);
        run
    }
}

/// What came of a run.
pub struct Run {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
    pub requests: Vec<String>,
}

impl Run {
    /// Exit code and streams as the specification writes them.
    pub fn transcript(&self) -> String {
        let code = self.code.map_or_else(|| "killed".to_owned(), |code| code.to_string());
        format!("rc {code}\n{}{}", prefixed("out|", &self.out), prefixed("err|", &self.err))
    }

    /// The same, followed by what was asked of the server. What is of one kind may go out at the same
    /// time, and is sorted.
    pub fn with_requests(&self) -> String {
        let mut requests = self.requests.clone();
        let kind = |request: &String| request.split(' ').next().map(str::to_owned);
        requests.chunk_by_mut(|one, next| kind(one) == kind(next)).for_each(<[String]>::sort);
        format!("{}{}", self.transcript(), prefixed("req|", &requests.join("\n")))
    }
}

/// TABs are shown; times and positions of diagnostics are not.
fn prefixed(prefix: &str, text: &str) -> String {
    let ends_well = text.is_empty() || text.ends_with('\n') || prefix == "req|";
    let lines = text.lines().map(|line| format!("{prefix}{}\n", undated(&line.replace('\t', "→"))));
    let mut all: String = lines.collect();
    if !ends_well {
        all.push_str("(no newline)\n");
    }
    all
}

fn undated(line: &str) -> String {
    let mut words = line.splitn(5, ' ');
    let mut next = || words.next().unwrap_or_default();
    let (date, time, level, source, text) = (next(), next(), next(), next(), next());
    if date.len() == 10 && date.matches('/').count() == 2 && time.matches(':').count() == 2 {
        assert!(source.ends_with(':'), "{line}");
        return format!("DATE TIME {level} SOURCE: {text}");
    }
    line.to_owned()
}

/// Runs fleetctl in `folder` with nothing but `variables` in its environment.
pub fn run(folder: &Path, words: &[&str], variables: &[(&str, &str)]) -> Run {
    let output = command(folder, words, variables).output().unwrap();
    Run {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
        requests: Vec::new(),
    }
}

/// Runs fleetctl with a stdout that nobody reads.
pub fn run_unread(
    folder: &Path,
    words: &[&str],
    variables: &[(&str, &str)],
) -> (Option<i32>, String) {
    let mut child = command(folder, words, variables)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (child.wait().unwrap().code(), err)
}

/// Runs fleetctl with this on its stdin.
pub fn run_with_input(words: &[&str], input: &[u8]) -> (Option<i32>, Vec<u8>) {
    let mut command = command(Path::new("/"), words, &[]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        let output = child.wait_with_output().unwrap();
        (output.status.code(), output.stdout)
    })
}

fn command(folder: &Path, words: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetctl"));
    command.args(words).current_dir(folder).env_clear().stdin(Stdio::null());
    command.envs(variables.iter().copied());
    command
}
