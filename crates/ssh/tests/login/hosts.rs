//! Host keys, as a real server shows them.

use std::{fs, sync::Arc, time::Duration};

use fleet_ssh::{Checking, Connection, Hop, KnownHosts, Route};

use crate::{
    nobody, open, refused,
    support::{Script, Sshd, generate},
};

/// The hop with its known hosts in `file`.
async fn hop(server: &Sshd, file: &str) -> Hop {
    let files = vec![server.folder.path().join(file)];
    let known_hosts = KnownHosts { files };
    Hop { checking: Checking::Ask, known_hosts, ..server.hop_with_key().await }
}

#[tokio::test]
async fn each_type_of_known_host_key_is_the_one_that_is_asked_for() {
    let server = Sshd::start().await;
    for kind in ["ed25519", "ecdsa", "rsa"] {
        fs::write(server.folder.path().join(kind), server.known(kind)).unwrap();
        let opened = open(hop(&server, kind).await, &nobody()).await;
        assert!(opened.is_ok(), "{kind}: {}", opened.err().unwrap());
    }
}

#[tokio::test]
async fn an_unknown_host_is_asked_about_once() {
    let server = Sshd::start().await;
    let hop = hop(&server, "known").await;
    let error = refused(hop.clone(), &Arc::new(Script::new(&["no"]))).await;
    assert!(error.starts_with("ssh: handshake failed: unauthorized host (in the"), "{error}");
    let user = Arc::new(Script::new(&["yes"]));
    open(hop.clone(), &user).await.unwrap();
    assert!(user.heard().contains("ECDSA key fingerprint is "), "{}", user.heard());
    open(hop, &nobody()).await.unwrap();
}

#[tokio::test]
async fn a_changed_host_key_is_refused() {
    let server = Sshd::start().await;
    let other = generate(server.folder.path(), "other", "ed25519").await;
    let other = fs::read_to_string(other.with_extension("pub")).unwrap();
    let known = format!("[127.0.0.1]:{} {other}", server.port);
    fs::write(server.folder.path().join("known"), known).unwrap();
    let user = nobody();
    let error = refused(hop(&server, "known").await, &user).await;
    assert!(error.starts_with("ssh: handshake failed: host key mismatch (in the"), "{error}");
    assert!(user.heard().contains("REMOTE HOST IDENTIFICATION HAS CHANGED"), "{}", user.heard());
}

#[tokio::test]
async fn a_host_without_the_known_type_is_refused() {
    let server = Sshd::with_keys(&["ed25519"], &[]).await;
    let rsa = generate(server.folder.path(), "rsa", "rsa").await;
    let rsa = fs::read_to_string(rsa.with_extension("pub")).unwrap();
    let known = format!("[127.0.0.1]:{} {rsa}", server.port);
    fs::write(server.folder.path().join("known"), known).unwrap();
    let user = nobody();
    let error = refused(hop(&server, "known").await, &user).await;
    assert!(
        error.starts_with(
            "ssh: handshake failed: ssh: no common algorithm for host key; client offered: \
             [rsa-sha2-512 rsa-sha2-256 ssh-rsa], server offered: [ssh-ed25519]"
        ),
        "{error}"
    );
    assert!(user.heard().contains("REMOTE HOST IDENTIFICATION HAS CHANGED"), "{}", user.heard());
}

#[tokio::test]
async fn each_hop_is_asked_for_the_type_known_of_it() {
    let (near, far) = (Sshd::start().await, Sshd::start().await);
    fs::write(near.folder.path().join("known"), near.known("ed25519")).unwrap();
    fs::write(far.folder.path().join("known"), far.known("ecdsa")).unwrap();
    let hops = vec![hop(&near, "known").await, hop(&far, "known").await];
    let route = Route { hops, timeout: Duration::from_secs(30) };
    Connection::open(&route, nobody()).await.unwrap();
}

#[tokio::test]
async fn the_clock_stands_still_while_the_user_thinks() {
    let server = Sshd::start().await;
    let limit = Duration::from_secs(3);
    let user = Arc::new(Script::slow(&["yes"], limit + Duration::from_millis(500)));
    let route = Route { hops: vec![hop(&server, "known").await], timeout: limit };
    Connection::open(&route, user).await.unwrap();
}
