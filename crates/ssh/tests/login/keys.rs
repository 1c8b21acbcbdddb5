//! Every type of key, from the agent and from files, and certificates.

use fleet_ssh::{Hop, Identities};

use crate::{
    agent, files, nobody, open, refused,
    support::{Agent, Sshd, certify, generate},
};

const KINDS: [&str; 5] = ["ed25519", "ecdsa-256", "ecdsa-384", "ecdsa-521", "rsa"];

#[tokio::test]
async fn every_type_of_key_in_the_agent_logs_in() {
    let server = Sshd::start().await;
    for kind in KINDS {
        let key = generate(server.folder.path(), kind, kind).await;
        server.authorize(&key);
        let hop = Hop { identities: agent(&Agent::with(&key).await), ..server.hop() };
        assert!(open(hop, &nobody()).await.is_err(), "the agent is gone by now");
        let agent_there = Agent::with(&key).await;
        let hop = Hop { identities: agent(&agent_there), ..server.hop() };
        let opened = open(hop, &nobody()).await;
        assert!(opened.is_ok(), "{kind}: {}\n{}", opened.err().unwrap(), server.log());
    }
}

#[tokio::test]
async fn every_type_of_key_file_logs_in() {
    let server = Sshd::start().await;
    for kind in KINDS {
        let key = generate(server.folder.path(), kind, kind).await;
        server.authorize(&key);
        let hop = Hop { identities: files(&[&key]), ..server.hop() };
        let opened = open(hop, &nobody()).await;
        assert!(opened.is_ok(), "{kind}: {}\n{}", opened.err().unwrap(), server.log());
    }
}

#[tokio::test]
async fn certificates_log_in_from_the_agent_and_beside_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let ca = generate(folder.path(), "ca", "ed25519").await;
    let trusted = format!("TrustedUserCAKeys {}.pub", ca.display());
    let server = Sshd::with(&[&trusted]).await;
    for kind in ["ed25519", "ecdsa-384", "rsa"] {
        let key = generate(server.folder.path(), kind, kind).await;
        let plain = refused(Hop { identities: files(&[&key]), ..server.hop() }, &nobody()).await;
        assert!(plain.contains(&format!("key file {}: refused", key.display())), "{plain}");
        certify(&ca, &key, &server.hop().user).await;
        let agent_there = Agent::with(&key).await;
        for identities in [files(&[&key]), agent(&agent_there)] {
            let opened = open(Hop { identities, ..server.hop() }, &nobody()).await;
            assert!(opened.is_ok(), "{kind}: {}\n{}", opened.err().unwrap(), server.log());
        }
    }
}

#[tokio::test]
async fn a_file_helps_where_the_agent_does_not() {
    let server = Sshd::start().await;
    let wrong = generate(server.folder.path(), "wrong", "ed25519").await;
    let right = generate(server.folder.path(), "right", "ed25519").await;
    server.authorize(&right);
    let with_wrong = Agent::with(&wrong).await;
    let empty = Agent::start().await;
    for socket in [with_wrong.socket.clone(), empty.socket.clone(), "/no/agent".into()] {
        let identities = Identities { agent: Some(socket), ..files(&[&right]) };
        open(Hop { identities, ..server.hop() }, &nobody()).await.unwrap();
    }
}
