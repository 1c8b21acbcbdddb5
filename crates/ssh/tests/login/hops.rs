//! More than one hop.

use fleet_ssh::{Cause, Connection, Hop, Refusal, Role, Step};
use fleet_testkit::eventually;
use tokio::net::TcpListener;

use crate::{
    files, nobody,
    support::{LIMIT, Sshd, generate, route},
};

/// The hop as a tunnel.
async fn tunnel(server: &Sshd) -> Hop {
    Hop { role: Role::Tunnel, name: "bastion".into(), ..server.hop_with_key().await }
}

/// What goes wrong on the way through `near` to `far`.
async fn fails(near: Hop, far: Hop) -> (Step, Cause, String) {
    let Err(error) = Connection::open(&route([near, far]), nobody()).await else {
        panic!("logged in");
    };
    let text = error.to_string();
    (error.step, error.cause, text)
}

#[tokio::test]
async fn a_target_is_reached_through_a_tunnel_and_keeps_it_alive() {
    let (near, far) = (Sshd::start().await, Sshd::start().await);
    let through = Connection::open(&route([tunnel(&near).await]), nobody()).await.unwrap();
    let target = through.through(&far.hop_with_key().await, LIMIT, nobody()).await.unwrap();
    let second = through.through(&far.hop_with_key().await, LIMIT, nobody()).await.unwrap();
    assert_eq!(near.connections(), 1, "both go through one connection");
    drop(through);
    target.through(&near.hop_with_key().await, LIMIT, nobody()).await.unwrap();
    drop(target);
    second.through(&near.hop_with_key().await, LIMIT, nobody()).await.unwrap();
    assert_eq!(near.connections(), 3);
    drop(second);
    eventually("all have hung up", LIMIT, async || match near.open() + far.open() {
        0 => Ok(()),
        open => Err(open),
    })
    .await;
}

#[tokio::test]
async fn a_wrong_key_at_the_target_says_which_host_and_through_what() {
    let (near, far) = (Sshd::start().await, Sshd::start().await);
    let wrong = generate(far.folder.path(), "wrong", "ed25519").await;
    let target = Hop { identities: files(&[&wrong]), ..far.hop() };
    let (step, cause, text) = fails(tunnel(&near).await, target.clone()).await;
    assert_eq!(step, Step::Authenticate);
    assert!(matches!(cause, Cause::Refused { .. }), "{cause}");
    let place = format!(
        "(logging in to target {} as {} through tunnel bastion; tried ",
        target.address, target.user
    );
    assert!(text.contains(&place), "{text}");
}

#[tokio::test]
async fn a_tunnel_that_refuses_says_so() {
    let near = Sshd::start().await;
    let wrong = generate(near.folder.path(), "wrong", "ed25519").await;
    let target = near.hop_with_key().await;
    let near_hop = Hop { identities: files(&[&wrong]), ..tunnel(&near).await };
    let (step, _, text) = fails(near_hop.clone(), target).await;
    assert_eq!(step, Step::Authenticate);
    let place = format!("(logging in to tunnel bastion at {} as ", near_hop.address);
    assert!(text.contains(&place), "{text}");
}

#[tokio::test]
async fn a_tunnel_that_does_not_forward_says_so() {
    let near = Sshd::with(&["AllowTcpForwarding no"]).await;
    let far = Sshd::start().await;
    let (step, cause, text) = fails(tunnel(&near).await, far.hop_with_key().await).await;
    assert_eq!(step, Step::Connect);
    assert!(matches!(cause, Cause::Rejected { refusal: Refusal::Prohibited, .. }), "{cause}");
    let expected = "ssh: rejected: administratively prohibited (open failed) (connecting to target";
    assert!(text.starts_with(expected), "{text}");
}

#[tokio::test]
async fn a_target_that_is_down_says_so() {
    let near = Sshd::start().await;
    // Bound but not listening would do as well; a port nobody has is taken from a listener.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut down = near.hop_with_key().await;
    down.address.port = free.port();
    let (step, cause, text) = fails(tunnel(&near).await, down.clone()).await;
    assert_eq!(step, Step::Connect);
    assert!(matches!(cause, Cause::Rejected { refusal: Refusal::ConnectFailed, .. }), "{cause}");
    assert!(text.starts_with("ssh: rejected: connect failed (Connection refused) ("), "{text}");

    let error = Connection::open(&route([down]), nobody()).await.err().unwrap().to_string();
    let expected = format!("dial tcp {free}: connect: connection refused (connecting to target");
    assert!(error.starts_with(&expected), "{error}");
}

#[tokio::test]
async fn names_are_looked_up_and_all_their_addresses_tried() {
    let near = Sshd::start().await;
    // `localhost` may be `::1` first, where nobody listens.
    let mut named = near.hop_with_key().await;
    named.address.host = "localhost".into();
    let tunnel = Hop { role: Role::Tunnel, ..named.clone() };
    Connection::open(&route([tunnel, named.clone()]), nobody()).await.unwrap();

    named.address.host = "no-such-host.invalid".into();
    let error = Connection::open(&route([named]), nobody()).await.err().unwrap().to_string();
    let expected = "dial tcp: lookup no-such-host.invalid: ";
    assert!(error.starts_with(expected), "{error}");
}

#[tokio::test]
async fn a_closed_connection_is_noticed_by_those_through_it() {
    let (near, far) = (Sshd::start().await, Sshd::start().await);
    let through = Connection::open(&route([tunnel(&near).await]), nobody()).await.unwrap();
    let target = through.through(&far.hop_with_key().await, LIMIT, nobody()).await.unwrap();
    through.close().await;
    let next = far.hop_with_key().await;
    let error = target.through(&next, LIMIT, nobody()).await.err().unwrap();
    assert!(matches!(error.cause, Cause::Lost), "{error}");
    through.close().await;
}
