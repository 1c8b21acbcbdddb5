//! A server that opens channels nobody asked for.

use std::sync::Arc;

use fleet_ssh::{Connection, Hop};
use russh::{
    ChannelOpenFailure, Error,
    keys::PrivateKey,
    server::{self, Auth, Handle, Server},
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet};

use crate::{
    agent, nobody,
    support::{Agent, Sshd, generate, route},
};

/// A server that lets everybody in and hands out its side of the connection.
struct Forward(Option<oneshot::Sender<Handle>>);

impl server::Handler for Forward {
    type Error = Error;

    async fn auth_none(&mut self, _user: &str) -> Result<Auth, Error> {
        Ok(Auth::Accept)
    }

    async fn auth_succeeded(&mut self, session: &mut server::Session) -> Result<(), Error> {
        if let Some(out) = self.0.take() {
            let _ = out.send(session.handle());
        }
        Ok(())
    }
}

impl Server for Forward {
    type Handler = Self;
    fn new_client(&mut self, _: Option<std::net::SocketAddr>) -> Self {
        Self(self.0.take())
    }
}

#[tokio::test]
async fn channels_that_nobody_asked_for_are_refused() {
    let folder = Sshd::start().await;
    let key = generate(folder.folder.path(), "key", "ed25519").await;
    let agent_there = Agent::with(&key).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().into();
    let (out, side) = oneshot::channel();
    let config = server::Config {
        keys: vec![PrivateKey::from_openssh(std::fs::read(&key).unwrap()).unwrap()],
        ..server::Config::default()
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let session = server::run_stream(Arc::new(config), stream, Forward(Some(out))).await;
        let _ = session.unwrap().await;
    });
    let hop = Hop { address, identities: agent(&agent_there), ..folder.hop() };
    let _connection = Connection::open(&route([hop]), nobody()).await.unwrap();
    let side = side.await.unwrap();
    for (what, opened) in [
        ("agent", side.channel_open_agent().await),
        ("session", side.channel_open_session().await),
        ("x11", side.channel_open_x11("127.0.0.1", 6000).await),
        ("forwarded", side.channel_open_forwarded_tcpip("a", 1, "b", 2).await),
        ("forwarded socket", side.channel_open_forwarded_streamlocal("/run/x").await),
        ("direct", side.channel_open_direct_tcpip("127.0.0.1", 22, "b", 2).await),
        ("direct socket", side.channel_open_direct_streamlocal("/run/x").await),
    ] {
        match opened {
            Err(Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited)) => {}
            other => panic!("{what}: {:?}", other.map(|channel| channel.id())),
        }
    }
}
