//! Servers that don't answer: the limit holds, and nothing is left of the attempt.

use std::{future, time::Duration};

use fleet_ssh::{Address, Cause, Connection, Hop, Role, Route};
use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    nobody,
    support::{LIMIT, Sshd},
};

const SHORT: Duration = Duration::from_secs(1);

/// Servers that fall silent. Their tasks end when the client hangs up.
#[derive(Default)]
struct Mutes(JoinSet<()>);

impl Mutes {
    /// A server that says `greeting` and nothing more.
    async fn after(&mut self, greeting: &'static str) -> Address {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        self.0.spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            client.write_all(greeting.as_bytes()).await.unwrap();
            // The end or an error, the client hung up.
            let _ = client.read_to_end(&mut Vec::new()).await;
        });
        address.into()
    }

    /// A way to `server` on which only the first `bytes` of its answers arrive.
    async fn stalling(&mut self, server: &Sshd, bytes: u64) -> Address {
        self.until(server, bytes, future::pending()).await
    }

    /// The same, also ending when `dead` says so.
    async fn until(
        &mut self,
        server: &Sshd,
        bytes: u64,
        dead: impl Future<Output = ()> + Send + 'static,
    ) -> Address {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let port = server.port;
        self.0.spawn(async move {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (from_server, mut to_server) = server.into_split();
            let mut answers = from_server.take(bytes);
            let answering = async {
                tokio::select! {
                    _ = io::copy(&mut answers, &mut to_client) => {}
                    () = dead => {}
                }
                future::pending::<()>().await;
            };
            tokio::select! {
                _ = io::copy(&mut from_client, &mut to_server) => {}
                () = answering => {}
            }
        });
        address.into()
    }

    /// Waits until the client has hung up on all of them.
    async fn left(mut self) {
        let all = async { while self.0.join_next().await.is_some() {} };
        timeout(LIMIT, all).await.expect("the client should have hung up");
    }
}

/// Opens a way and returns what went wrong, which has to take about the limit.
async fn times_out(hops: Vec<Hop>) -> String {
    let started = Instant::now();
    let opened = Connection::open(&Route { hops, timeout: SHORT }, nobody()).await;
    let error = opened.err().expect("nobody answers");
    assert!(matches!(error.cause, Cause::TimedOut(SHORT)), "{error}");
    assert!(started.elapsed() >= SHORT);
    error.to_string()
}

#[tokio::test]
async fn a_silent_server_times_out_and_is_left() {
    let server = Sshd::start().await;
    let mut mutes = Mutes::default();
    for address in [
        mutes.after("").await,
        mutes.after("SSH-2.0-").await,
        mutes.after("SSH-2.0-Silent\r\n").await,
        mutes.stalling(&server, 200).await,
        mutes.stalling(&server, 1000).await,
    ] {
        let error = times_out(vec![Hop { address, ..server.hop_with_key().await }]).await;
        let expected = "timed out while initiating SSH connection (in the handshake with target";
        assert!(error.starts_with(expected), "{error}");
    }
    mutes.left().await;
}

#[tokio::test]
async fn a_server_that_falls_silent_while_logging_in_times_out() {
    let server = Sshd::start().await;
    let hop = server.hop_with_key().await;
    // Where exactly the login begins is the server's business.
    let attempts = (1200..3000).step_by(150).map(async |bytes| {
        let mut mutes = Mutes::default();
        let address = mutes.stalling(&server, bytes).await;
        let route = Route { hops: vec![Hop { address, ..hop.clone() }], timeout: SHORT };
        let opened = Connection::open(&route, nobody()).await;
        let error = opened.map(drop).err().map(|error| error.to_string()).unwrap_or_default();
        mutes.left().await;
        error
    });
    let errors = futures::future::join_all(attempts).await;
    let expected = "timed out while initiating SSH connection (logging in to target";
    assert!(errors.iter().any(|error| error.starts_with(expected)), "{errors:?}");
}

#[tokio::test]
async fn the_second_hop_has_the_limit_too() {
    let near = Sshd::start().await;
    let mut mutes = Mutes::default();
    let address = mutes.after("SSH-2.0-Silent\r\n").await;
    let tunnel = Hop { role: Role::Tunnel, name: "bastion".into(), ..near.hop_with_key().await };
    let target = Hop { address, ..near.hop_with_key().await };
    let error = times_out(vec![tunnel, target]).await;
    assert!(error.contains(" through tunnel bastion within 1s)"), "{error}");
    mutes.left().await;
}

#[tokio::test]
async fn a_server_that_is_none_or_hangs_up_is_told() {
    let server = Sshd::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: Address = listener.local_addr().unwrap().into();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        for greeting in ["", "HTTP/1.1 400 Bad Request\r\n\r\n"] {
            let (mut client, _) = listener.accept().await.unwrap();
            client.write_all(greeting.as_bytes()).await.unwrap();
            client.shutdown().await.unwrap();
            let _ = client.read_to_end(&mut Vec::new()).await;
        }
    });
    for _ in 0..2 {
        let hop = Hop { address: address.clone(), ..server.hop_with_key().await };
        let route = Route { hops: vec![hop], timeout: LIMIT };
        let error = Connection::open(&route, nobody()).await.err().unwrap().to_string();
        assert!(error.starts_with("ssh: handshake failed: EOF (in the handshake"), "{error}");
    }
}

#[tokio::test]
async fn a_dead_host_is_noticed_after_a_minute() {
    let server = Sshd::start().await;
    let mut mutes = Mutes::default();
    let (die, dies) = oneshot::channel::<()>();
    let address = mutes.until(&server, u64::MAX, async { drop(dies.await) }).await;
    let hop = Hop { address, ..server.hop_with_key().await };
    let route = Route { hops: vec![hop.clone()], timeout: LIMIT };
    let connection = Connection::open(&route, nobody()).await.unwrap();
    die.send(()).unwrap();
    // From here on nothing has to arrive, so the clock may jump to whatever comes next.
    tokio::time::pause();
    let started = Instant::now();
    let opened = connection.through(&hop, 10 * LIMIT, nobody()).await;
    let error = opened.err().expect("the host is dead");
    assert!(matches!(error.cause, Cause::Lost), "{error}");
    let seconds = started.elapsed().as_secs();
    assert!((45..=75).contains(&seconds), "{seconds}");
    tokio::time::resume();
    mutes.left().await;
}
