//! TLS: members are always verified, and may want to verify us.

use std::path::PathBuf;

use fleet_etcd::{EtcdConfig, EtcdStore};
use fleet_net::Certificates;
use fleet_store::{Revision, Store};
use fleet_testkit::EtcdServer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::helpers::{config, everything, is_unavailable, read, write};

/// An authority and what it has signed, as files.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
    /// What it certifies.
    name: &'static str,
}

impl Authority {
    fn new() -> Self {
        Self::named("127.0.0.1")
    }

    /// One that certifies `name`.
    pub(crate) fn named(name: &'static str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, folder: TempDir::new().unwrap(), name }
    }

    fn ca(&self) -> Vec<u8> {
        self.issuer.pem().into_bytes()
    }

    /// Certificates of clients that believe it.
    pub(crate) fn trusted(&self) -> Certificates {
        Certificates { ca: Some(self.ca()), ..Certificates::default() }
    }

    /// A certificate for the name and its key.
    fn sign(&self) -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![self.name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem().into_bytes(), key.serialize_pem().into_bytes())
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A server with a certificate of this authority.
    pub(crate) fn server(&self, more: &[&str]) -> EtcdServer {
        let (certificate, key) = self.sign();
        let certificate = self.write("server.pem", &certificate);
        let key = self.write("server.key", &key);
        let files = [
            format!("--cert-file={}", certificate.display()),
            format!("--key-file={}", key.display()),
        ];
        let arguments: Vec<&str> =
            files.iter().map(String::as_str).chain(more.iter().copied()).collect();
        EtcdServer::start_with("https", &arguments)
    }
}

fn connect(server: &EtcdServer, tls: Certificates) -> EtcdStore {
    EtcdStore::connect(EtcdConfig { tls, ..config(&[&server.endpoint()]) }).unwrap()
}

#[tokio::test]
async fn a_member_that_the_authority_vouches_for_is_used() {
    let authority = Authority::new();
    let server = authority.server(&[]);
    let store = connect(&server, authority.trusted());
    write(&store, "/a").await.unwrap();
    let mut changes = store.watch(&[everything()], Revision(1)).await.unwrap();
    assert_eq!(changes.next().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_member_that_nobody_vouches_for_is_not_used() {
    let server = Authority::new().server(&[]);
    for tls in [Certificates::default(), Authority::new().trusted()] {
        let result = read(&connect(&server, tls)).await;
        assert!(is_unavailable(&result), "{result:?}");
    }
}

#[tokio::test]
async fn a_member_may_want_to_know_who_we_are() {
    let authority = Authority::new();
    let trusted = authority.write("ca.pem", &authority.ca());
    let trusted = format!("--trusted-ca-file={}", trusted.display());
    let server = authority.server(&["--client-cert-auth", &trusted]);
    let anonymous = connect(&server, authority.trusted());
    assert!(is_unavailable(&read(&anonymous).await));
    let (certificate, key) = authority.sign();
    let (certificate, key) = (Some(certificate), Some(key));
    let known = connect(&server, Certificates { certificate, key, ..authority.trusted() });
    write(&known, "/a").await.unwrap();
}

#[tokio::test]
async fn plain_and_encrypted_do_not_mix() {
    let server = Authority::new().server(&[]);
    let plain = server.endpoint().replace("https", "http");
    let store = EtcdStore::connect(config(&[&plain])).unwrap();
    assert!(is_unavailable(&read(&store).await));
}
