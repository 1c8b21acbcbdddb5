//! Which keys are offered, and what the server may say to them.

use fleet_ssh::{Hop, Identities};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
    task::JoinSet,
};

use crate::{
    agent, files, nobody, open, refused,
    support::{Agent, Sshd, generate},
};

#[tokio::test]
async fn without_anything_to_log_in_with_nothing_is_dialled() {
    let server = Sshd::start().await;
    let absent = Identities { files: vec!["/no/such/key".into()], ..Identities::default() };
    let absent = Identities { may_be_absent: true, ..absent };
    for identities in [Identities::default(), absent.clone()] {
        let error = refused(Hop { identities, ..server.hop() }, &nobody()).await;
        assert!(
            error.starts_with(
                "SSH_AUTH_SOCK environment variable is not set. Verify ssh-agent is running. See \
                 https://github.com/coreos/fleet/blob/master/Documentation/using-the-client.md \
                 for help."
            ),
            "{error}"
        );
    }
    let identities = Identities { agent: Some("/nonexistent".into()), ..absent };
    let error = refused(Hop { identities, ..server.hop() }, &nobody()).await;
    let expected = "dial unix /nonexistent: connect: no such file or directory";
    assert!(error.starts_with(expected), "{error}");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn an_empty_agent_is_told() {
    let server = Sshd::start().await;
    let empty = Agent::start().await;
    let error = refused(Hop { identities: agent(&empty), ..server.hop() }, &nobody()).await;
    assert!(error.contains("attempted methods [none], no supported"), "{error}");
    assert!(error.contains("; tried agent: it has no key)"), "{error}");
}

#[tokio::test]
async fn an_agent_that_lists_no_keys_is_told() {
    let server = Sshd::start().await;
    let socket = server.folder.path().join("broken");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            // A failure is its answer to everything.
            while let Ok(length) = client.read_u32().await {
                client.read_exact(&mut vec![0; length as usize]).await.unwrap();
                client.write_all(&[0, 0, 0, 1, 5]).await.unwrap();
            }
        }
    });
    let broken = Identities { agent: Some(socket), ..Identities::default() };
    let error = refused(Hop { identities: broken.clone(), ..server.hop() }, &nobody()).await;
    assert!(error.starts_with("agent: failed to list keys (logging in to target"), "{error}");
    // Key files do as well.
    let hop = server.hop_with_key().await;
    let identities = Identities { agent: broken.agent, ..hop.identities.clone() };
    open(Hop { identities, ..hop }, &nobody()).await.unwrap();
}

#[tokio::test]
async fn too_many_keys_are_told_and_identities_only_helps() {
    let server = Sshd::with(&["MaxAuthTries 3"]).await;
    let agent_there = Agent::start().await;
    for name in ["one", "two", "three", "four", "right"] {
        agent_there.add(&generate(server.folder.path(), name, "ed25519").await).await;
    }
    let right = server.folder.path().join("right");
    server.authorize(&right);
    let hop = Hop { identities: agent(&agent_there), ..server.hop() };
    let error = refused(hop.clone(), &nobody()).await;
    let expected = "ssh: handshake failed: ssh: disconnect: Too many authentication failures";
    assert!(error.starts_with(expected), "{error}");
    for tried in ["one: refused", "two: refused"] {
        assert!(error.contains(tried), "{error}");
    }
    // The agent's keys that are named come first; with `IdentitiesOnly` no others.
    let public = right.with_extension("pub");
    for only_files in [false, true] {
        let identities = Identities { only_files, ..files(&[&public]) };
        let identities = Identities { agent: Some(agent_there.socket.clone()), ..identities };
        open(Hop { identities, ..hop.clone() }, &nobody()).await.unwrap();
    }
}

#[tokio::test]
async fn the_methods_of_a_server_without_public_keys_are_told() {
    let server = Sshd::with(&["PubkeyAuthentication no", "PasswordAuthentication yes"]).await;
    let error = refused(server.hop_with_key().await, &nobody()).await;
    assert!(error.contains("; tried the server only takes password)"), "{error}");
}

#[tokio::test]
async fn two_keys_log_in_where_one_is_not_enough() {
    let server = Sshd::with(&["AuthenticationMethods publickey,publickey"]).await;
    let one = generate(server.folder.path(), "one", "ed25519").await;
    let two = generate(server.folder.path(), "two", "ecdsa").await;
    server.authorize(&one);
    server.authorize(&two);
    let error = refused(Hop { identities: files(&[&one]), ..server.hop() }, &nobody()).await;
    assert!(error.contains("one: not enough alone"), "{error}");
    open(Hop { identities: files(&[&one, &two]), ..server.hop() }, &nobody()).await.unwrap();
}

#[tokio::test]
async fn an_unknown_user_is_refused() {
    let server = Sshd::start().await;
    let hop = Hop { user: "no-such-user".into(), ..server.hop_with_key().await };
    let error = refused(hop, &nobody()).await;
    assert!(error.contains("as no-such-user; tried key file"), "{error}");
}
