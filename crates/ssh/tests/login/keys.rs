//! What one logs in with.

use std::sync::Arc;

use fleet_ssh::{Connection, Identities};

use crate::support::{Agent, Script, Sshd, generate, route};

#[tokio::test]
async fn every_type_of_key_in_the_agent_logs_in() {
    let server = Sshd::start().await;
    for kind in ["ed25519", "ecdsa-256", "ecdsa-384", "ecdsa-521", "rsa"] {
        let key = generate(server.folder.path(), kind, kind).await;
        server.authorize(&key);
        let agent = Agent::with(&key).await;
        let mut hop = server.hop();
        hop.identities = Identities { agent: Some(agent.socket.clone()), ..Identities::default() };
        let opened = Connection::open(&route([hop]), Arc::new(Script::default())).await;
        assert!(opened.is_ok(), "{kind}: {}\n{}", opened.err().unwrap(), server.log());
    }
}

#[tokio::test]
async fn every_type_of_key_file_logs_in() {
    let server = Sshd::start().await;
    for kind in ["ed25519", "ecdsa-256", "ecdsa-384", "ecdsa-521", "rsa"] {
        let key = generate(server.folder.path(), kind, kind).await;
        server.authorize(&key);
        let mut hop = server.hop();
        hop.identities = Identities { files: vec![key], ..Identities::default() };
        let opened = Connection::open(&route([hop]), Arc::new(Script::default())).await;
        assert!(opened.is_ok(), "{kind}: {}\n{}", opened.err().unwrap(), server.log());
    }
}
