//! A server over TLS, and the certificates for it.

use std::{
    io::{self, BufReader},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tokio_rustls::rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use super::{Answer, Reply, Request, Server, read, send};

/// An authority that certifies servers on the loopback interface and their clients.
pub struct Authority {
    /// Its certificate, PEM.
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    /// A new one, that nobody knows.
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Certifies a new key for `name`: a host name, or an address.
    pub fn certify(&self, name: &str) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { certificate, key: key.serialize_pem() }
    }
}

/// Who may talk to a server.
pub enum Clients<'a> {
    Anybody,
    CertifiedBy(&'a Authority),
}

impl Server {
    /// Serves over TLS on a free port of the loopback interface.
    pub fn tls(
        pair: &Pair,
        clients: Clients<'_>,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let config = Arc::new(config(pair, clients));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let answer: Arc<Answer> = Arc::new(answer);
        thread::spawn(move || {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept() else { return };
                let (seen, answer, config) = (seen.clone(), answer.clone(), config.clone());
                thread::spawn(move || converse(connection, stream, config, &seen, &*answer));
            }
        });
        Self { requests, address: Some(address) }
    }

    /// The address as an endpoint over TLS.
    pub fn https_endpoint(&self) -> String {
        format!("https://{}", self.address.unwrap())
    }
}

/// Ends when the client hangs up, or doesn't shake hands.
fn converse(
    connection: usize,
    stream: TcpStream,
    config: Arc<ServerConfig>,
    seen: &Mutex<Vec<Request>>,
    answer: &Answer,
) -> io::Result<()> {
    let session = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(session, stream));
    while let Some(request) = read(connection, &mut stream)? {
        seen.lock().unwrap().push(request.clone());
        let Reply::Send(status, body) = answer(&request) else { return Ok(()) };
        send(stream.get_mut(), status, "", &body)?;
    }
    Ok(())
}

fn config(pair: &Pair, clients: Clients<'_>) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        Clients::Anybody => builder.with_no_client_auth(),
        Clients::CertifiedBy(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(der(&authority.pem)).unwrap();
            let roots = Arc::new(roots);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    builder.with_single_cert(vec![der(&pair.certificate)], key).unwrap()
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}
