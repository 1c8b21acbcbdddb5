//! Ctrl-C and TERM while the user is asked or a shell is open: fleetctl ends, and the terminal is as
//! it was (`ssh.md` 5).

mod support;

#[path = "../../ssh/tests/support/mod.rs"]
mod openssh;

use std::{
    fs::File,
    io::Read,
    os::fd::OwnedFd,
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
};

use fleet_testkit::eventually;
use openssh::{LIMIT, Sshd, generate};
use rustix::{
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{LocalModes, tcgetattr},
};
use support::{Cluster, HELLO, MACHINE, server::Reply};
use tokio::process::{Child, Command};

/// fleetctl on a terminal of its own.
struct Seat {
    /// The terminal as programs have it.
    near: OwnedFd,
    /// As the user has it.
    far: File,
    seen: Arc<Mutex<String>>,
    before: String,
    child: Child,
}

impl Seat {
    /// Opens a shell on the only machine of a cluster, which is `server`.
    fn at(server: &Sshd, key: &Path, variables: &[(&str, &str)]) -> Self {
        let units = [("j1.service", HELLO, "launched", "launched")];
        let cluster = Cluster::ruled(&units, |request| {
            let machines =
                format!(r#"{{"machines":[{{"id":"{MACHINE}","primaryIP":"127.0.0.1"}}]}}"#);
            request.target.contains("/machines").then_some(Reply::Send(200, machines))
        });
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let far = openpt(flags).unwrap();
        grantpt(&far).unwrap();
        unlockpt(&far).unwrap();
        let near = ioctl_tiocgptpeer(&far, flags).unwrap();
        let own = || Stdio::from(near.try_clone().unwrap());
        let before = settings(&near);
        let home = key.parent().unwrap();
        // The terminal becomes the one of a new session, whose only process fleetctl is.
        let child = Command::new("setsid")
            .args(["--ctty", env!("CARGO_BIN_EXE_fleetctl"), "ssh", "j1"])
            .arg(format!("--ssh-port={}", server.port))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", home)
            .env("FLEETCTL_ENDPOINT", cluster.server.endpoint())
            .env("FLEETCTL_SSH_USERNAME", server.hop().user)
            .env("FLEETCTL_SSH_IDENTITY", key)
            .envs(variables.iter().copied())
            .stdin(own())
            .stdout(own())
            .stderr(own())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let seen = Arc::default();
        let far = File::from(far);
        watch(far.try_clone().unwrap(), Arc::clone(&seen));
        Self { near, far, seen, before, child }
    }

    async fn shows(&self, text: &str) {
        let what = format!("the terminal shows {text:?}");
        let shown = async || self.seen.lock().unwrap().contains(text).then_some(());
        eventually(&what, LIMIT, shown).await;
    }

    /// Types Ctrl-C.
    fn interrupt(&mut self) {
        use std::io::Write;
        self.far.write_all(b"\x03").unwrap();
    }

    async fn terminate(&self) {
        signal("TERM", &self.child).await;
    }

    /// Waits for the end; the terminal must be as it was before.
    async fn ends_with(mut self, code: i32) {
        let status = tokio::time::timeout(LIMIT, self.child.wait()).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(code), "{}", self.seen.lock().unwrap());
        assert_eq!(settings(&self.near), self.before);
    }
}

async fn signal(name: &str, child: &Child) {
    let pid = child.id().unwrap().to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).status().await.unwrap();
    assert!(sent.success());
}

fn settings(terminal: &OwnedFd) -> String {
    format!("{:?}", tcgetattr(terminal).unwrap())
}

/// Collects what the terminal shows; ends with the test process.
fn watch(mut far: File, seen: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        let mut piece = [0; 1024];
        while let Ok(length @ 1..) = far.read(&mut piece) {
            seen.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..length]));
        }
    });
}

const ANY_HOST: [(&str, &str); 1] = [("FLEETCTL_STRICT_HOST_KEY_CHECKING", "false")];

#[tokio::test]
async fn the_question_about_a_host_can_be_interrupted() {
    let server = Sshd::start().await;
    let home = tempfile::tempdir().unwrap();
    let key = generate(home.path(), "key", "ed25519").await;
    let mut seat = Seat::at(&server, &key, &[]);
    seat.shows("continue connecting (yes/no)? ").await;
    seat.interrupt();
    seat.ends_with(130).await;
    let seat = Seat::at(&server, &key, &[]);
    seat.shows("continue connecting (yes/no)? ").await;
    seat.terminate().await;
    seat.ends_with(143).await;
}

#[tokio::test]
async fn the_question_for_a_passphrase_can_be_interrupted() {
    let server = Sshd::start().await;
    let home = tempfile::tempdir().unwrap();
    let key = generate(home.path(), "key", "ed25519").await;
    server.authorize(&key);
    let encrypt = ["-q", "-p", "-P", "", "-N", "secret", "-f"];
    let encrypted = Command::new("ssh-keygen")
        .args(encrypt)
        .arg(&key)
        .stdout(Stdio::null())
        .status()
        .await
        .unwrap();
    assert!(encrypted.success());
    let silent = async |seat: &Seat| {
        let is_silent = async || {
            let modes = tcgetattr(&seat.near).unwrap().local_modes;
            (!modes.contains(LocalModes::ECHO)).then_some(())
        };
        eventually("the terminal doesn't echo", LIMIT, is_silent).await;
    };
    let mut seat = Seat::at(&server, &key, &ANY_HOST);
    silent(&seat).await;
    seat.interrupt();
    seat.ends_with(130).await;
    let seat = Seat::at(&server, &key, &ANY_HOST);
    silent(&seat).await;
    seat.terminate().await;
    seat.ends_with(143).await;
}

#[tokio::test]
async fn a_shell_is_left_with_the_terminal_as_it_was() {
    use std::io::Write;
    let server = Sshd::start().await;
    let home = tempfile::tempdir().unwrap();
    let key = generate(home.path(), "key", "ed25519").await;
    server.authorize(&key);
    let mut seat = Seat::at(&server, &key, &ANY_HOST);
    seat.far.write_all(b"echo $((40+2)) is here; exit 5\n").unwrap();
    seat.shows("42 is here").await;
    seat.ends_with(5).await;
    for (name, code) in
        [("TERM", 143), ("HUP", 129), ("QUIT", 131), ("USR1", 138), ("USR2", 140), ("ALRM", 142)]
    {
        let mut seat = Seat::at(&server, &key, &ANY_HOST);
        seat.far.write_all(b"echo $((40+2)) is here\n").unwrap();
        seat.shows("42 is here").await;
        signal(name, &seat.child).await;
        seat.ends_with(code).await;
    }
}

#[tokio::test]
async fn output_that_nobody_reads_can_be_given_up() {
    let server = Sshd::start().await;
    let home = tempfile::tempdir().unwrap();
    let key = generate(home.path(), "key", "ed25519").await;
    server.authorize(&key);
    let units: Vec<String> = (0..500).map(|i| format!("a-unit-{i}.service")).collect();
    let units: Vec<_> = units.iter().map(|unit| (&**unit, HELLO, "launched", "launched")).collect();
    let cluster = Cluster::with(&units);
    let (unread, stdout) = std::io::pipe().unwrap();
    let room = rustix::pipe::fcntl_setpipe_size(&unread, 4096).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_fleetctl"))
        .arg("list-units")
        .env_clear()
        .env("HOME", home.path())
        .env("FLEETCTL_ENDPOINT", cluster.server.endpoint())
        .env("FLEETCTL_TUNNEL", format!("127.0.0.1:{}", server.port))
        .env("FLEETCTL_SSH_USERNAME", server.hop().user)
        .env("FLEETCTL_SSH_IDENTITY", &key)
        .envs(ANY_HOST)
        .stdout(stdout)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let full = async || {
        let held = rustix::io::ioctl_fionread(&unread).unwrap();
        if held == room as u64 { Ok(()) } else { Err(held) }
    };
    eventually("the pipe is full", LIMIT, full).await;
    signal("TERM", &child).await;
    let status = tokio::time::timeout(LIMIT, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(143));
}
