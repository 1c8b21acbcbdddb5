//! Statuses and streams (`ssh.md` 5, 8).

use std::{fs, sync::Arc, time::Duration};

use fleet_ssh::{Connection, Events, Job, Local, RunError};
use fleet_testkit::eventually;
use rustix::process::{Pid, Signal, kill_process};

use super::{
    desk::{connect, job, pipe, run},
    support::{Agent, Script, Sshd, generate, route},
};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn statuses_are_those_of_the_command() {
    let server = Sshd::start().await;
    let connection = connect(&server).await;
    let commands = [
        ("true", 0),
        ("exit 7", 7),
        ("exit 255", 255),
        ("nosuchcommand", 127),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
    ];
    for (command, status) in commands {
        let told = run(&connection, &job(command), Vec::new()).await;
        assert_eq!(told.status(), status, "{command}");
    }
}

#[tokio::test]
async fn streams_are_separate_and_complete() {
    // The server's own words are on the command's stderr otherwise: it doesn't run as a daemon.
    let server = Sshd::with(&["LogLevel ERROR"]).await;
    let connection = connect(&server).await;
    let told = run(&connection, &job("echo out; echo err >&2; exit 3"), Vec::new()).await;
    assert_eq!((told.status(), told.output(), told.errors()), (3, "out\n", "err\n"));
    let told = run(&connection, &job("seq 100000"), Vec::new()).await;
    assert!(told.output().ends_with("\n99999\n100000\n"));
    assert_eq!(told.output().lines().count(), 100_000);
}

#[tokio::test]
async fn the_end_of_the_input_is_passed_on() {
    let server = Sshd::start().await;
    let connection = connect(&server).await;
    let told = run(&connection, &job("cat; echo done"), b"abc".to_vec()).await;
    assert_eq!((told.status(), told.output()), (0, "abcdone\n"));
    let told = run(&connection, &job("wc -c"), Vec::new()).await;
    assert_eq!(told.output().trim(), "0");
}

#[tokio::test]
async fn a_shell_passes_on_its_status() {
    let server = Sshd::start().await;
    let connection = connect(&server).await;
    let shell = Job { command: None, forward_agent: false, shows: false };
    let told = run(&connection, &shell, b"echo in a shell\nexit 9\n".to_vec()).await;
    assert_eq!(told.status(), 9);
    assert!(told.output().contains("in a shell"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_mebibytes_go_both_ways_unharmed() {
    let server = Sshd::start().await;
    let connection = connect(&server).await;
    let mut state = 1_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()
    };
    let data: Vec<u8> = (0..16 << 20).flat_map(|_| random()).collect();
    let told = run(&connection, &job("cat"), data.clone()).await;
    assert_eq!(told.status(), 0);
    assert_eq!(told.output.len(), data.len());
    assert!(told.output == data, "the bytes differ");
}

#[tokio::test]
async fn output_that_nobody_takes_stops_the_command() {
    let server = Sshd::start().await;
    let connection = connect(&server).await;
    let progress = server.folder.path().join("progress");
    // One mebibyte a line.
    let command = format!(
        "for i in $(seq 200); do head -c 1048576 /dev/zero; echo >> {}; done",
        progress.display()
    );
    let (screen, stdout) = pipe();
    let (stdin, _keyboard) = pipe();
    let (_other, stderr) = pipe();
    let mut local = Local::new(stdin, stdout, stderr, Events::scripted().1);
    let job = job(&command);
    let running = connection.run(&job, &mut local);
    let lines = || fs::read(&progress).unwrap_or_default().len();
    let stuck = eventually("the command is stuck", PATIENCE, async || {
        let before = lines();
        tokio::time::sleep(Duration::from_millis(500)).await;
        (before > 0 && lines() == before).then_some(before)
    });
    let stuck = tokio::select! {
        stuck = stuck => stuck,
        end = running => panic!("it ended: {end:?}"),
    };
    assert!(stuck < 40, "{stuck} MiB are under way");
    drop(screen);
}

#[tokio::test]
async fn input_that_the_command_does_not_take_is_left_alone() {
    let server = Sshd::start().await;
    let connection = connect(&server).await;
    let (stdin, keyboard) = pipe();
    let (screen, stdout) = pipe();
    let (_other, stderr) = pipe();
    let typed = std::thread::spawn(move || {
        let chunk = [0; 65536];
        let mut typed = 0;
        while let Ok(written) = rustix::io::write(&keyboard, &chunk) {
            typed += written;
        }
        typed
    });
    let mut local = Local::new(stdin, stdout, stderr, Events::scripted().1);
    let end = connection.run(&job("echo ready; sleep 1"), &mut local).await.unwrap();
    drop((local, screen));
    assert_eq!(end.status, 0);
    let typed = typed.join().unwrap();
    assert!(typed < 40 << 20, "{typed} bytes were taken");
}

#[tokio::test]
async fn a_lost_connection_is_no_end() {
    let server = Sshd::start().await;
    let connection = connect(&server).await;
    let pids = server.folder.path().join("pid");
    let command = format!("echo $PPID > {}.new; mv {0}.new {0}; sleep 60", pids.display());
    let killing = async {
        let pid = eventually("the command runs", PATIENCE, async || {
            fs::read_to_string(&pids).ok()?.trim().parse::<i32>().ok()
        })
        .await;
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    };
    let job = job(&command);
    let (told, ()) = tokio::join!(run(&connection, &job, Vec::new()), killing);
    let error = told.end.unwrap_err();
    assert!(matches!(error, RunError::Lost), "{error}");
    assert!(error.started());
    assert_eq!(error.to_string(), "wait: remote command exited without exit status or exit signal");
}

#[tokio::test]
async fn sessions_that_the_host_refuses_are_not_started() {
    let server = Sshd::with(&["MaxSessions 0"]).await;
    let connection = connect(&server).await;
    let error = run(&connection, &job("true"), Vec::new()).await.end.unwrap_err();
    assert!(matches!(error, RunError::Channel(_)), "{error}");
    assert!(!error.started());
}

#[tokio::test]
async fn the_agent_is_forwarded_only_when_the_host_wants_it() {
    let server = Sshd::with(&["AllowAgentForwarding no"]).await;
    let connection = connect(&server).await;
    let wanted = Job { forward_agent: true, ..job("true") };
    let error = run(&connection, &wanted, Vec::new()).await.end.unwrap_err();
    assert_eq!(error.to_string(), "forwarding request denied");

    let server = Sshd::start().await;
    let connection = connect(&server).await;
    let command = "test -n \"$SSH_AUTH_SOCK\"";
    let wanted = Job { forward_agent: true, ..job(command) };
    assert_eq!(run(&connection, &job(command), Vec::new()).await.status(), 1);
    assert_eq!(run(&connection, &wanted, Vec::new()).await.status(), 0);
}

#[tokio::test]
async fn commands_reach_the_agent_that_was_forwarded() {
    let server = Sshd::start().await;
    let agent = Agent::with(&generate(server.folder.path(), "held", "ed25519").await).await;
    let mut hop = server.hop_with_key().await;
    hop.identities.agent = Some(agent.socket.clone());
    let connection = Connection::open(&route([hop]), Arc::default() as Arc<Script>).await.unwrap();
    // More often than channels to the agent may be open at once.
    let command = "for i in $(seq 20); do ssh-add -l || exit; done";
    let forwarded = Job { forward_agent: true, ..job(command) };
    let told = run(&connection, &forwarded, Vec::new()).await;
    assert_eq!(told.status(), 0, "{}", told.errors());
    assert_eq!(told.output().matches(" held (ED25519)\n").count(), 20, "{}", told.output());

    let signing = format!(
        "cd {} && echo data > data && ssh-keygen -q -Y sign -n test -f held.pub data",
        server.folder.path().display()
    );
    // Only the agent has the key, and it signs for whoever is behind the host.
    fs::remove_file(server.folder.path().join("held")).unwrap();
    let forwarded = Job { forward_agent: true, ..job(&signing) };
    let told = run(&connection, &forwarded, Vec::new()).await;
    assert_eq!(told.status(), 0, "{}", told.errors());

    let another = connect(&server).await;
    let without = run(&another, &job("ssh-add -l"), Vec::new()).await;
    assert_eq!(without.status(), 2, "{}", without.output());
}
