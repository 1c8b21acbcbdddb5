//! Streams (`ssh.md` 3).

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use fleet_ssh::{Cause, Far, Refusal};
use fleet_testkit::eventually;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, split},
    net::{TcpListener, UnixListener},
    task::JoinSet,
    time::timeout,
};

use super::{desk::connect, support::Sshd};

const PATIENCE: Duration = Duration::from_secs(60);

/// A server that gives back what it is sent, and then ends.
struct Echo {
    path: PathBuf,
    open: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Echo {
    fn start(path: PathBuf) -> Self {
        let listener = UnixListener::bind(&path).unwrap();
        let open = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&open);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut echoes = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let open = Arc::clone(&counted);
                open.fetch_add(1, Ordering::SeqCst);
                echoes.spawn(async move {
                    echo(stream).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { path, open, _tasks: tasks }
    }

    fn far(&self) -> Far {
        Far::Unix(self.path.clone())
    }

    async fn has_open(&self, count: usize) {
        eventually("streams are open", PATIENCE, async || {
            let open = self.open.load(Ordering::SeqCst);
            if open == count { Ok(()) } else { Err(open) }
        })
        .await;
    }
}

async fn echo(stream: impl AsyncRead + AsyncWrite) {
    let (mut reader, mut writer) = split(stream);
    // Whoever hangs up first.
    let _ = copy(&mut reader, &mut writer).await;
    let _ = writer.shutdown().await;
}

/// Sends `data`, ends, and returns what comes back until the end.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    data: &[u8],
) -> std::io::Result<Vec<u8>> {
    let (mut reader, mut writer) = split(stream);
    let mut back = Vec::new();
    let sending = async {
        writer.write_all(data).await?;
        writer.shutdown().await
    };
    tokio::try_join!(sending, reader.read_to_end(&mut back))?;
    Ok(back)
}

/// A folder in the PATH of the server's commands, and the line for its configuration.
fn path_of_commands() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("SetEnv PATH={}:/usr/bin:/bin", folder.path().display());
    (folder, line)
}

/// A `fleetctl` that notes its arguments in `calls` and does what `script` says.
fn fake_fleetctl(folder: &Path, script: &str) {
    let file = folder.join("fleetctl");
    let note = format!("echo \"$@\" >> {}", folder.join("calls").display());
    fs::write(&file, format!("#!/bin/sh\n{note}\n{script}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Connects standard streams with the socket `$2`, as `fd-forward` does: a process for each way,
/// since each may have to wait for the other.
const FORWARD: &str = "exec perl -MIO::Socket::UNIX -e '
my $socket = IO::Socket::UNIX->new(Peer => $ARGV[0]);
if (!$socket) { print STDERR \"no socket: $!\\n\"; exit 1 }
sub pass {
  my ($from, $to) = @_;
  while (my $read = sysread($from, my $bytes, 65536)) {
    for (my $done = 0; $done < $read;) {
      $done += syswrite($to, $bytes, $read - $done, $done) // exit 1;
    }
  }
}
my $child = fork;
if ($child) { pass($socket, \\*STDOUT); kill TERM => $child }
else { pass(\\*STDIN, $socket); shutdown($socket, 1) }
' \"$2\"";

#[tokio::test]
async fn a_socket_is_reached_straight() {
    let server = Sshd::start().await;
    let connection = connect(&server).await;
    let far = Echo::start(server.folder.path().join("echo"));
    let stream = connection.dial(&far.far()).await.unwrap();
    assert_eq!(exchange(stream, b"hello").await.unwrap(), b"hello");
    assert!(server.log().contains("direct-streamlocal@openssh.com"));
    far.has_open(0).await;
}

#[tokio::test]
async fn a_port_is_reached_by_a_name_of_the_host() {
    let server = Sshd::start().await;
    let connection = connect(&server).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let far = Far::Tcp { host: "localhost".into(), port };
    let stream = connection.dial(&far).await.unwrap();
    let serving = async { echo(listener.accept().await.unwrap().0).await };
    let (back, ()) = tokio::join!(exchange(stream, b"hello"), serving);
    assert_eq!(back.unwrap(), b"hello");
    drop(listener);

    let error = connection.dial(&far).await.err().unwrap();
    assert!(
        matches!(error.cause, Cause::Rejected { refusal: Refusal::ConnectFailed, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn ports_that_the_host_forbids_are_refused() {
    let server = Sshd::with(&["AllowTcpForwarding no"]).await;
    let connection = connect(&server).await;
    let error = connection.dial(&Far::Tcp { host: "localhost".into(), port: 1 }).await;
    let error = error.err().unwrap().to_string();
    assert!(error.contains("ssh: rejected: administratively prohibited (open failed)"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_goes_both_ways_unharmed() {
    let (commands, path) = path_of_commands();
    fake_fleetctl(commands.path(), FORWARD);
    let data: Vec<u8> = (0_u32..2 << 20).flat_map(u32::to_be_bytes).collect();
    for lines in [vec![], vec!["AllowStreamLocalForwarding no", &path]] {
        let server = Sshd::with(&lines).await;
        let connection = connect(&server).await;
        let far = Echo::start(server.folder.path().join("echo"));
        let stream = connection.dial(&far.far()).await.unwrap();
        let back = exchange(stream, &data).await.unwrap();
        assert!(back == data, "{lines:?}: {} bytes came back", back.len());
    }
}

#[tokio::test]
async fn a_dropped_stream_is_closed_on_the_host() {
    let (commands, path) = path_of_commands();
    fake_fleetctl(commands.path(), FORWARD);
    for lines in [vec![], vec!["AllowStreamLocalForwarding no", &path]] {
        let server = Sshd::with(&lines).await;
        let connection = connect(&server).await;
        let far = Echo::start(server.folder.path().join("echo"));
        let mut stream = connection.dial(&far.far()).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
        far.has_open(1).await;
        drop(stream);
        far.has_open(0).await;
    }
}

#[tokio::test]
async fn a_stream_keeps_its_connection() {
    let server = Sshd::start().await;
    let connection = connect(&server).await;
    let far = Echo::start(server.folder.path().join("echo"));
    let stream = connection.dial(&far.far()).await.unwrap();
    drop(connection);
    assert_eq!(exchange(stream, b"still there").await.unwrap(), b"still there");
}

#[tokio::test]
async fn eight_streams_are_open_at_once_and_no_more() {
    let server = Sshd::start().await;
    let connection = connect(&server).await;
    let far = Echo::start(server.folder.path().join("echo"));
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(connection.dial(&far.far()).await.unwrap());
    }
    far.has_open(8).await;
    let ninth = far.far();
    let ninth = connection.dial(&ninth);
    tokio::pin!(ninth);
    assert!(timeout(Duration::from_millis(200), &mut ninth).await.is_err());
    drop(streams.pop());
    let ninth = ninth.await.unwrap();
    assert_eq!(exchange(ninth, b"nine").await.unwrap(), b"nine");
}

#[tokio::test]
async fn fd_forward_is_used_where_the_host_opens_no_sockets() {
    let (commands, path) = path_of_commands();
    fake_fleetctl(commands.path(), FORWARD);
    let server = Sshd::with(&["AllowStreamLocalForwarding no", &path]).await;
    let connection = connect(&server).await;
    let far = Echo::start(server.folder.path().join("an echo's socket"));
    for _ in 0..3 {
        let stream = connection.dial(&far.far()).await.unwrap();
        assert_eq!(exchange(stream, b"hello").await.unwrap(), b"hello");
    }
    let calls = fs::read_to_string(commands.path().join("calls")).unwrap();
    assert_eq!(calls, format!("fd-forward {}\n", far.path.display()).repeat(3));
    // The refused way was tried once.
    let log = server.log();
    assert_eq!(log.matches("open: ctype direct-streamlocal@openssh.com").count(), 1, "{log}");
}

#[tokio::test]
async fn what_worked_straight_is_not_tried_otherwise() {
    let (commands, path) = path_of_commands();
    fake_fleetctl(commands.path(), FORWARD);
    let server = Sshd::with(&[&path]).await;
    let connection = connect(&server).await;
    let far = Echo::start(server.folder.path().join("echo"));
    drop(connection.dial(&far.far()).await.unwrap());
    fs::remove_file(&far.path).unwrap();
    let error = connection.dial(&far.far()).await.err().unwrap();
    assert!(matches!(error.cause, Cause::Rejected { .. }), "{error}");
    assert!(!commands.path().join("calls").exists());
}

/// Dials a socket that isn't there, and returns the error of reading.
async fn error_of(lines: &[&str]) -> String {
    // The server's own words are on the command's stderr otherwise: it doesn't run as a daemon.
    let server = Sshd::with(&[lines, &["LogLevel ERROR"]].concat()).await;
    let connection = connect(&server).await;
    let far = Far::Unix("/nonexistent/fleet.sock".into());
    let mut stream = connection.dial(&far).await.unwrap();
    stream.read_u8().await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_missing_fleetctl_is_told() {
    let (_commands, path) = path_of_commands();
    let error = error_of(&[&path]).await;
    assert!(error.starts_with("Process exited with status 127: "), "{error}");
    assert!(error.contains("fleetctl must be in the PATH of non-interactive logins on"), "{error}");
    assert!(error.ends_with("no channel straight to the socket: connect failed"), "{error}");
}

#[tokio::test]
async fn a_missing_socket_is_told() {
    let (commands, path) = path_of_commands();
    fake_fleetctl(commands.path(), FORWARD);
    let error = error_of(&[&path]).await;
    assert!(
        error.starts_with("Process exited with status 1: no socket: No such file or directory"),
        "{error}"
    );
    // The original's command ends well.
    fake_fleetctl(commands.path(), "echo 'Failed dialing remote address' >&2");
    let error = error_of(&[&path]).await;
    assert!(error.starts_with("EOF: Failed dialing remote address"), "{error}");
}

#[tokio::test]
async fn a_good_end_of_the_command_is_the_end() {
    let (commands, path) = path_of_commands();
    fake_fleetctl(commands.path(), "echo all; exit 0");
    let server = Sshd::with(&["AllowStreamLocalForwarding no", &path]).await;
    let connection = connect(&server).await;
    let far = Far::Unix("/run/x.sock".into());
    let mut stream = connection.dial(&far).await.unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "all\n");
    // Nothing is left to write to.
    assert!(stream.write_all(b"x").await.is_err());
}

#[tokio::test]
async fn a_path_is_not_run_by_the_shell() {
    let (commands, path) = path_of_commands();
    fake_fleetctl(commands.path(), "exit 0");
    let server = Sshd::with(&["LogLevel ERROR", "AllowStreamLocalForwarding no", &path]).await;
    let connection = connect(&server).await;
    let pwned = commands.path().join("pwned");
    let far = Far::Unix(format!("/run/x.sock;touch {}", pwned.display()).into());
    let mut stream = connection.dial(&far).await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    assert!(!pwned.exists());
}
