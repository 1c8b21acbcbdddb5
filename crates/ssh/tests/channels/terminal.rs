//! Terminals (`ssh.md` 5).

use std::{io::Read, os::fd::AsFd, thread, time::Duration};

use fleet_ssh::{Event, Job, RunError, Stop};
use fleet_testkit::eventually;
use tokio::sync::watch;

use super::{
    desk::{Seat, connect, job},
    support::Sshd,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// What the user sees, as it grows. The thread ends with the terminal.
fn seen(seat: &Seat) -> watch::Receiver<String> {
    let (sender, seen) = watch::channel(String::new());
    let mut far = seat.far.try_clone().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = far.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            sender.send_modify(|seen| seen.push_str(&text));
        }
    });
    seen
}

async fn sees(seen: &watch::Receiver<String>, what: &str) {
    eventually(what, PATIENCE, async || {
        let seen = seen.borrow().clone();
        if seen.contains(what) { Ok(()) } else { Err(seen) }
    })
    .await;
}

#[tokio::test]
async fn the_host_gets_the_size_and_learns_of_another() {
    let server = Sshd::start().await;
    let connection = connect(&server).await;
    let mut seat = Seat::new(81, 25);
    let seen = seen(&seat);
    let before = seat.settings();
    let near = seat.near.try_clone().unwrap();
    let job = job("stty size; echo $TERM; read x; stty size; stty -a | grep -o ' echo '; exit 4");
    let events = seat.events.clone();
    let user = async {
        sees(&seen, "25 81\r\nxterm-256color\r\n").await;
        let size = rustix::termios::Winsize { ws_row: 50, ws_col: 132, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&near, size).unwrap();
        events.send(Event::Resized).await.unwrap();
        rustix::io::write(seat.far.as_fd(), b"\r").unwrap();
    };
    let (end, ()) = tokio::join!(connection.run(&job, &mut seat.local), user);
    assert_eq!(end.unwrap().status, 4);
    sees(&seen, "50 132\r\n").await;
    sees(&seen, " echo ").await;
    assert_eq!(seat.settings(), before);
}

#[tokio::test]
async fn keys_go_to_the_host_as_they_are() {
    let server = Sshd::start().await;
    let connection = connect(&server).await;
    let mut seat = Seat::new(80, 24);
    let seen = seen(&seat);
    let job = job("echo ready; exec sleep 1000");
    let user = async {
        sees(&seen, "ready").await;
        rustix::io::write(seat.far.as_fd(), b"\x03").unwrap();
    };
    let (end, ()) = tokio::join!(connection.run(&job, &mut seat.local), user);
    let end = end.unwrap();
    assert_eq!((end.status, end.stopped), (130, None));
}

#[tokio::test]
async fn a_shell_on_a_terminal_passes_on_its_status() {
    let server = Sshd::start().await;
    let connection = connect(&server).await;
    let mut seat = Seat::new(80, 24);
    let _seen = seen(&seat);
    rustix::io::write(seat.far.as_fd(), b"exit 6\n").unwrap();
    let shell = Job { command: None, forward_agent: false, shows: false };
    assert_eq!(connection.run(&shell, &mut seat.local).await.unwrap().status, 6);
}

#[tokio::test]
async fn settings_come_back_when_the_host_gives_no_terminal() {
    let server = Sshd::with(&["PermitTTY no"]).await;
    let connection = connect(&server).await;
    let mut seat = Seat::new(80, 24);
    let before = seat.settings();
    let error = connection.run(&job("true"), &mut seat.local).await.unwrap_err();
    assert!(matches!(error, RunError::NoTerminal), "{error}");
    assert_eq!(error.to_string(), "ssh: pty-req failed");
    assert_eq!(seat.settings(), before);
}

#[tokio::test]
async fn settings_come_back_after_each_signal() {
    let server = Sshd::start().await;
    let connection = connect(&server).await;
    for stop in [
        Stop::HangUp,
        Stop::Interrupt,
        Stop::Quit,
        Stop::User1,
        Stop::User2,
        Stop::Alarm,
        Stop::Terminate,
    ] {
        let mut seat = Seat::new(80, 24);
        let seen = seen(&seat);
        let before = seat.settings();
        let near = seat.near.try_clone().unwrap();
        let events = seat.events.clone();
        let job = job("echo ready; sleep 1000");
        let user = async {
            sees(&seen, "ready").await;
            let raw = rustix::termios::tcgetattr(&near).unwrap();
            assert!(!raw.local_modes.contains(rustix::termios::LocalModes::ECHO));
            events.send(Event::Stop(stop)).await.unwrap();
        };
        let (end, ()) = tokio::join!(connection.run(&job, &mut seat.local), user);
        let end = end.unwrap();
        assert_eq!((end.status, end.stopped), (stop.status(), Some(stop)));
        assert_eq!(seat.settings(), before, "{stop:?}");
    }
}

#[tokio::test]
async fn settings_come_back_when_a_job_is_dropped_or_lost() {
    let server = Sshd::start().await;
    let connection = connect(&server).await;
    let mut seat = Seat::new(80, 24);
    let seen = seen(&seat);
    let before = seat.settings();
    let waiting = job("echo ready; sleep 1000");
    tokio::select! {
        end = connection.run(&waiting, &mut seat.local) => panic!("it ended: {end:?}"),
        () = sees(&seen, "ready") => {}
    }
    assert_eq!(seat.settings(), before);

    // The shell's parent is the server's process.
    let killer = job("kill -9 $PPID; sleep 1000");
    let error = connection.run(&killer, &mut seat.local).await.unwrap_err();
    assert!(matches!(error, RunError::Lost), "{error}");
    assert_eq!(seat.settings(), before);
}
