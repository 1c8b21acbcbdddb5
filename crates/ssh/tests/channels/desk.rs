//! This end of a job: pipes or a terminal, and what came out of them.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    sync::Arc,
};

use fleet_ssh::{Connection, End, Event, Events, Job, Local, RunError};
use rustix::{
    pipe::{PipeFlags, pipe_with},
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{Termios, Winsize, tcgetattr, tcsetwinsize},
};
use tokio::{sync::mpsc, task};

use super::support::{Script, Sshd, route};

/// Logs in to `server`.
pub(crate) async fn connect(server: &Sshd) -> Arc<Connection> {
    let hop = server.hop_with_key().await;
    Connection::open(&route([hop]), Arc::new(Script::default())).await.unwrap()
}

pub(crate) fn job(command: &str) -> Job {
    Job { command: Some(command.to_owned()), forward_agent: false, shows: false }
}

pub(crate) fn pipe() -> (OwnedFd, OwnedFd) {
    pipe_with(PipeFlags::CLOEXEC).unwrap()
}

/// How a job ended and what it said.
pub(crate) struct Told {
    pub(crate) end: Result<End, RunError>,
    pub(crate) output: Vec<u8>,
    pub(crate) errors: Vec<u8>,
}

impl Told {
    pub(crate) fn status(&self) -> u8 {
        self.end.as_ref().unwrap().status
    }

    pub(crate) fn output(&self) -> &str {
        std::str::from_utf8(&self.output).unwrap()
    }

    pub(crate) fn errors(&self) -> &str {
        std::str::from_utf8(&self.errors).unwrap()
    }
}

/// Runs `job` with pipes, and `input` in that of stdin.
pub(crate) async fn run(connection: &Connection, job: &Job, input: Vec<u8>) -> Told {
    let (stdin, keyboard) = pipe();
    let (screen, stdout) = pipe();
    let (other, stderr) = pipe();
    // A job needn't take its input.
    let typing = task::spawn_blocking(move || drop(File::from(keyboard).write_all(&input)));
    let output = task::spawn_blocking(move || all(screen));
    let errors = task::spawn_blocking(move || all(other));
    let mut local = Local::new(stdin, stdout, stderr, Events::scripted().1);
    let end = connection.run(job, &mut local).await;
    drop(local);
    typing.await.unwrap();
    Told { end, output: output.await.unwrap(), errors: errors.await.unwrap() }
}

/// All that comes out of a pipe or a terminal.
pub(crate) fn all(source: OwnedFd) -> Vec<u8> {
    let mut all = Vec::new();
    // A terminal's other end that is closed is an error.
    let _ = File::from(source).read_to_end(&mut all);
    all
}

/// A terminal: what the user sees and types, what a program has, and its events.
pub(crate) struct Seat {
    pub(crate) far: File,
    pub(crate) near: OwnedFd,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) local: Local,
}

impl Seat {
    /// A terminal of that size.
    pub(crate) fn new(columns: u16, rows: u16) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let far = openpt(flags).unwrap();
        grantpt(&far).unwrap();
        unlockpt(&far).unwrap();
        let near = ioctl_tiocgptpeer(&far, flags).unwrap();
        let (events, script) = Events::scripted();
        let own = || near.try_clone().unwrap();
        let local = Local::new(own(), own(), own(), script);
        let seat = Self { far: far.into(), near, events, local };
        seat.resize(columns, rows);
        seat
    }

    /// Gives it another size.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.near, size).unwrap();
    }

    /// Its settings.
    pub(crate) fn settings(&self) -> Settings {
        Settings::of(&tcgetattr(&self.near).unwrap())
    }
}

/// All settings of a terminal, to compare.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings(String);

impl Settings {
    fn of(settings: &Termios) -> Self {
        Self(format!("{settings:?}"))
    }
}
