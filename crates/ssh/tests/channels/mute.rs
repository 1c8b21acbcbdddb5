//! A server that lets everybody in, opens sessions, and answers no request.

use std::{sync::Arc, time::Duration};

use fleet_ssh::{Connection, Events, Hop, Local, RunError};
use russh::{
    Channel, Error,
    keys::PrivateKey,
    server::{self, Auth, ChannelOpenHandle, Msg, Session},
};
use tokio::{net::TcpListener, task::JoinSet};

use super::{
    desk::{Seat, job, pipe},
    support::{Script, Sshd, route},
};

struct Mute {
    opens: bool,
    /// Openings that are neither taken nor refused, as they would be when they are dropped.
    kept: Vec<ChannelOpenHandle>,
}

impl server::Handler for Mute {
    type Error = Error;

    async fn auth_none(&mut self, _user: &str) -> Result<Auth, Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Error> {
        if self.opens {
            reply.accept().await;
        } else {
            self.kept.push(reply);
        }
        Ok(())
    }
}

/// A connection to such a server, which opens sessions or not even those.
async fn connect(opens: bool) -> (Arc<Connection>, JoinSet<()>) {
    let real = Sshd::with_keys(&["ed25519"], &[]).await;
    let key = std::fs::read(real.folder.path().join("host_ed25519")).unwrap();
    let config = server::Config {
        keys: vec![PrivateKey::from_openssh(key).unwrap()],
        ..server::Config::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().into();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mute = Mute { opens, kept: Vec::new() };
        let session = server::run_stream(Arc::new(config), stream, mute).await;
        let _ = session.unwrap().await;
    });
    let hop = Hop { address, ..real.hop_with_key().await };
    let connection = Connection::open(&route([hop]), Arc::new(Script::default())).await.unwrap();
    // From here on the clock may jump to whatever comes next.
    tokio::time::pause();
    (connection, tasks)
}

#[tokio::test]
async fn requests_that_are_not_answered_are_given_up() {
    let ((stdin, _keyboard), (_screen, stdout), (_other, stderr)) = (pipe(), pipe(), pipe());
    let mut local = Local::new(stdin, stdout, stderr, Events::scripted().1);
    for (opens, what) in [(false, "a session"), (true, "the command")] {
        let (connection, _server) = connect(opens).await;
        let error = connection.run(&job("true"), &mut local).await.unwrap_err();
        let expected = format!("ssh: no answer to the request for {what} within 30s");
        assert_eq!(error.to_string(), expected);
        assert!(!error.started());
        tokio::time::resume();
    }
}

#[tokio::test]
async fn settings_come_back_when_the_host_says_nothing_to_a_terminal() {
    let (connection, _server) = connect(true).await;
    let mut seat = Seat::new(80, 24);
    let before = seat.settings();
    let error = connection.run(&job("true"), &mut seat.local).await.unwrap_err();
    assert!(matches!(error, RunError::Unanswered("a terminal", Duration { .. })), "{error}");
    assert_eq!(seat.settings(), before);
}
