//! What an RSA key signs with, by what a server says it takes.

use std::{fs, sync::Arc};

use fleet_ssh::Hop;
use russh::{
    Error, Preferred,
    keys::{Algorithm, HashAlg, PrivateKey},
    server::{self, Auth, VerifiedPublicKey},
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};

use crate::{
    agent, files, nobody, open,
    support::{Agent, Sshd, generate},
};

/// A server that lets every key in and tells how it signed.
struct Listens(mpsc::UnboundedSender<String>);

impl server::Handler for Listens {
    type Error = Error;

    async fn auth_publickey(
        &mut self,
        _user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Error> {
        let _ = self.0.send(key.algorithm.to_string());
        Ok(Auth::Accept)
    }
}

#[tokio::test]
async fn rsa_signs_with_the_best_that_the_server_takes() {
    // Only for its folder and its way.
    let server = Sshd::with_keys(&["ed25519"], &[]).await;
    let host = fs::read(server.folder.path().join("host_ed25519")).unwrap();
    let key = generate(server.folder.path(), "rsa", "rsa").await;
    let agent_there = Agent::with(&key).await;
    let (sha512, sha256) = (Some(HashAlg::Sha512), Some(HashAlg::Sha256));
    for (takes, expected) in [
        (&[sha512, sha256, None][..], "rsa-sha2-512"),
        (&[None, sha256], "rsa-sha2-256"),
        (&[None], "ssh-rsa"),
    ] {
        for identities in [files(&[&key]), agent(&agent_there)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().into();
            let rsa = takes.iter().map(|hash| Algorithm::Rsa { hash: *hash });
            let key = rsa.chain([Algorithm::Ed25519]).collect::<Vec<_>>().into();
            let config = server::Config {
                keys: vec![PrivateKey::from_openssh(&host).unwrap()],
                preferred: Preferred { key, ..Preferred::default() },
                ..server::Config::default()
            };
            let (tell, mut told) = mpsc::unbounded_channel();
            let mut tasks = JoinSet::new();
            tasks.spawn(async move {
                let (stream, _) = listener.accept().await.unwrap();
                let session = server::run_stream(Arc::new(config), stream, Listens(tell)).await;
                let _ = session.unwrap().await;
            });
            let opened = open(Hop { address, identities, ..server.hop() }, &nobody()).await;
            assert!(opened.is_ok(), "{expected}: {}", opened.err().unwrap());
            assert_eq!(told.recv().await.as_deref(), Some(expected));
        }
    }
}
