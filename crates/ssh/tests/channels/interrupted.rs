//! Jobs that this process gives up: nothing of them stays on the host.

use std::{fs, path::Path, time::Duration};

use fleet_ssh::{Event, Events, Local, Stop};
use fleet_testkit::eventually;
use rustix::process::{Pid, getuid, test_kill_process};

use super::{
    desk::{connect, job, pipe},
    support::Sshd,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// What a host may send on a channel before it hears that something was taken: the library's own.
const WINDOW: u64 = 2 << 20;

/// The process whose number is in `file`.
async fn pid(file: &Path) -> Pid {
    let pid = eventually("the command runs", PATIENCE, async || {
        fs::read_to_string(file).ok()?.trim().parse::<i32>().ok()
    });
    Pid::from_raw(pid.await).unwrap()
}

/// How much it has written.
fn written(pid: Pid) -> u64 {
    let io = fs::read_to_string(format!("/proc/{}/io", pid.as_raw_nonzero())).unwrap();
    let written = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    written.unwrap().parse().unwrap()
}

async fn gone(pid: Pid) {
    eventually("the command is gone", PATIENCE, async || test_kill_process(pid).err()).await;
}

fn noting(file: &Path, command: &str) -> String {
    format!("echo $$ > {0}.new; mv {0}.new {0}; exec {command}", file.display())
}

#[tokio::test]
async fn a_signal_ends_the_command() {
    let server = Sshd::start().await;
    let connection = connect(&server).await;
    let file = server.folder.path().join("pid");
    // The server passes no signals on to root's commands: these end for want of input.
    let command = if getuid().is_root() { "cat" } else { "sleep 1000" };
    let job = job(&noting(&file, command));
    let ((stdin, _keyboard), (_screen, stdout), (_other, stderr)) = (pipe(), pipe(), pipe());
    let (events, script) = Events::scripted();
    let mut local = Local::new(stdin, stdout, stderr, script);
    let interrupting = async {
        let pid = pid(&file).await;
        events.send(Event::Stop(Stop::Interrupt)).await.unwrap();
        pid
    };
    let (end, pid) = tokio::join!(connection.run(&job, &mut local), interrupting);
    let end = end.unwrap();
    assert_eq!((end.status, end.stopped), (130, Some(Stop::Interrupt)));
    gone(pid).await;
    let said = if getuid().is_root() { "session signalling requires" } else { "signal INT" };
    eventually("the signal is in the log", PATIENCE, async || {
        let log = server.log();
        if log.contains(said) { Ok(()) } else { Err(log) }
    })
    .await;
}

#[tokio::test]
async fn a_signal_gets_through_while_output_waits_to_be_taken() {
    let server = Sshd::start().await;
    let connection = connect(&server).await;
    let file = server.folder.path().join("pid");
    let job = job(&noting(&file, "cat /dev/zero"));
    let ((stdin, _keyboard), (screen, stdout), (_other, stderr)) = (pipe(), pipe(), pipe());
    let (events, script) = Events::scripted();
    let mut local = Local::new(stdin, stdout, stderr, script);
    let interrupting = async {
        let pid = pid(&file).await;
        eventually("more is under way than the host may send", PATIENCE, async || {
            let written = written(pid);
            if written > WINDOW { Ok(()) } else { Err(written) }
        })
        .await;
        events.send(Event::Stop(Stop::Terminate)).await.unwrap();
        pid
    };
    let (end, pid) = tokio::join!(connection.run(&job, &mut local), interrupting);
    assert_eq!(end.unwrap().status, 143);
    drop(screen);
    gone(pid).await;
}

#[tokio::test]
async fn a_closed_output_ends_the_command_quietly() {
    let server = Sshd::start().await;
    let connection = connect(&server).await;
    let file = server.folder.path().join("pid");
    let job = job(&noting(&file, "yes"));
    let ((stdin, _keyboard), (screen, stdout), (_other, stderr)) = (pipe(), pipe(), pipe());
    let mut local = Local::new(stdin, stdout, stderr, Events::scripted().1);
    let closing = async {
        let pid = pid(&file).await;
        drop(screen);
        pid
    };
    let (end, pid) = tokio::join!(connection.run(&job, &mut local), closing);
    let end = end.unwrap();
    assert_eq!((end.status, end.stopped), (141, None));
    gone(pid).await;
}

#[tokio::test]
async fn a_connection_serves_one_job_after_the_other() {
    let server = Sshd::start().await;
    let connection = connect(&server).await;
    let ((stdin, _keyboard), (_screen, stdout), (_other, stderr)) = (pipe(), pipe(), pipe());
    let (events, script) = Events::scripted();
    let mut local = Local::new(stdin, stdout, stderr, script);
    // More than the sessions that a server allows at once.
    for round in 0..12 {
        let file = server.folder.path().join(format!("pid{round}"));
        let cat = job(&noting(&file, "cat"));
        let interrupting = async {
            let pid = pid(&file).await;
            events.send(Event::Stop(Stop::Terminate)).await.unwrap();
            pid
        };
        let (end, pid) = tokio::join!(connection.run(&cat, &mut local), interrupting);
        assert_eq!(end.unwrap().status, 143);
        // The server takes a session for open until its command is gone.
        gone(pid).await;
        assert_eq!(connection.run(&job("exit 2"), &mut local).await.unwrap().status, 2);
    }
}
