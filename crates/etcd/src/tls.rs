//! Certificates for endpoints that are `https`, and what is wrong with them.

use std::{fmt, sync::Arc};

use tokio_rustls::rustls::{
    ClientConfig, Error, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Certificates, each the content of a PEM file.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The authorities that members are verified against; the system's when `None`.
    pub ca: Option<Vec<u8>>,
    /// The client's certificate and its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("ca", &self.ca.is_some())
            .field("identity", &self.identity.is_some())
            .finish()
    }
}

/// Why certificates can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTls {
    /// The authorities' file holds no certificate: nobody could be verified.
    #[error("tls: failed to find any certificate in CA input")]
    NoAuthority,
    /// One of the authorities, counted from 1, is no certificate.
    #[error("tls: failed to parse certificate {0} in CA input")]
    Authority(usize),
    /// There is no certificate where the client's should be.
    #[error("tls: failed to find any PEM data in certificate input")]
    NoCertificate,
    /// The client's certificate isn't one that can be used.
    #[error("tls: failed to use certificate input: {0}")]
    Certificate(String),
    /// There is no key where the client's should be.
    #[error("tls: failed to find any PEM data in key input")]
    NoKey,
    /// The key is another certificate's.
    #[error("tls: private key does not match public key")]
    Mismatch,
}

impl Tls {
    /// Checks that all of it can be used: nothing is left out silently.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), InvalidTls> {
        if let Some(pem) = &self.ca {
            check_authorities(pem)?;
        }
        match &self.identity {
            Some((certificate, key)) => check_identity(certificate, key),
            None => Ok(()),
        }
    }

    /// Members are always verified: against the given authorities alone, else the system's.
    pub(crate) fn client_config(&self) -> Result<ClientTlsConfig, InvalidTls> {
        // The library drops authorities that it can't parse.
        self.check()?;
        let config = match &self.ca {
            None => ClientTlsConfig::new().with_native_roots(),
            Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
        };
        Ok(match &self.identity {
            None => config,
            Some((certificate, key)) => config.identity(Identity::from_pem(certificate, key)),
        })
    }
}

fn check_authorities(pem: &[u8]) -> Result<(), InvalidTls> {
    let mut roots = RootCertStore::empty();
    for (number, certificate) in (1..).zip(CertificateDer::pem_slice_iter(pem)) {
        let certificate = certificate.map_err(|_| InvalidTls::Authority(number))?;
        roots.add(certificate).map_err(|_| InvalidTls::Authority(number))?;
    }
    if roots.is_empty() { Err(InvalidTls::NoAuthority) } else { Ok(()) }
}

fn check_identity(certificate: &[u8], key: &[u8]) -> Result<(), InvalidTls> {
    let chain = CertificateDer::pem_slice_iter(certificate);
    let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(|_| InvalidTls::NoCertificate)?;
    if chain.is_empty() {
        return Err(InvalidTls::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| InvalidTls::NoKey)?;
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for TLS 1.2 and 1.3")
        .with_root_certificates(RootCertStore::empty())
        .with_client_auth_cert(chain, key)
        .map(drop)
        .map_err(|error| match error {
            Error::InconsistentKeys(_) => InvalidTls::Mismatch,
            other => InvalidTls::Certificate(other.to_string()),
        })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::*;

    fn pair() -> (Vec<u8>, Vec<u8>) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (cert.pem().into_bytes(), signing_key.serialize_pem().into_bytes())
    }

    fn block(content: &str) -> Vec<u8> {
        format!("-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n").into_bytes()
    }

    #[test]
    fn every_authority_has_to_be_a_certificate() {
        let (good, key) = pair();
        let behind_good = |bad: &[u8]| [&good, bad].concat();
        for (ca, expected) in [
            (good.clone(), Ok(())),
            (behind_good(&good), Ok(())),
            (b"garbage".to_vec(), Err(InvalidTls::NoAuthority)),
            (key, Err(InvalidTls::NoAuthority)),
            (block("!"), Err(InvalidTls::Authority(1))),
            (block("AAAA"), Err(InvalidTls::Authority(1))),
            (behind_good(&block("AAAA")), Err(InvalidTls::Authority(2))),
        ] {
            let shown = String::from_utf8_lossy(&ca).into_owned();
            assert_eq!(Tls { ca: Some(ca), identity: None }.check(), expected, "{shown}");
        }
    }

    #[test]
    fn the_clients_certificate_and_key_have_to_belong_together() {
        let ((certificate, key), (_, stranger)) = (pair(), pair());
        let garbage = b"garbage".to_vec();
        for (identity, expected) in [
            ((certificate.clone(), key.clone()), Ok(())),
            ((garbage.clone(), key), Err(InvalidTls::NoCertificate)),
            ((certificate.clone(), garbage), Err(InvalidTls::NoKey)),
            ((certificate, stranger), Err(InvalidTls::Mismatch)),
        ] {
            assert_eq!(Tls { ca: None, identity: Some(identity) }.check(), expected);
        }
        let broken = Tls { ca: None, identity: Some((block("AAAA"), pair().1)) };
        assert!(matches!(broken.check(), Err(InvalidTls::Certificate(_))), "{:?}", broken.check());
    }
}
