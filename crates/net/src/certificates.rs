//! Certificates for servers that are reached over TLS, and what is wrong with them.

use std::{fmt, sync::Arc};

use tokio_rustls::rustls::{
    ClientConfig, Error, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// Certificates, each the content of a PEM file.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Certificates {
    /// The authorities that servers are verified against, and no others; the system's when `None`.
    pub ca: Option<Vec<u8>>,
    /// The client's certificate.
    pub certificate: Option<Vec<u8>>,
    /// Its key.
    pub key: Option<Vec<u8>>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("ca", &self.ca.is_some())
            .field("certificate", &self.certificate.is_some())
            .field("key", &self.key.is_some())
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

impl Certificates {
    /// Checks that all of it can be used: nothing is left out silently.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), InvalidTls> {
        self.config(RootCertStore::empty).map(drop)
    }

    /// What TLS is spoken with, where `system` has the system's authorities.
    pub(crate) fn config(
        &self,
        system: impl FnOnce() -> RootCertStore,
    ) -> Result<ClientConfig, InvalidTls> {
        let roots = self.ca.as_deref().map_or_else(|| Ok(system()), authorities)?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has cipher suites for TLS 1.2 and 1.3")
            .with_root_certificates(roots);
        if self.certificate.is_none() && self.key.is_none() {
            return Ok(config.with_no_client_auth());
        }
        // What is missing is found missing.
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_deref().unwrap_or_default());
        let chain = chain.collect::<Result<Vec<_>, _>>().unwrap_or_default();
        if chain.is_empty() {
            return Err(InvalidTls::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(self.key.as_deref().unwrap_or_default());
        let key = key.map_err(|_| InvalidTls::NoKey)?;
        config.with_client_auth_cert(chain, key).map_err(|error| match error {
            Error::InconsistentKeys(_) => InvalidTls::Mismatch,
            other => InvalidTls::Certificate(other.to_string()),
        })
    }
}

fn authorities(pem: &[u8]) -> Result<RootCertStore, InvalidTls> {
    let mut roots = RootCertStore::empty();
    for (number, certificate) in (1..).zip(CertificateDer::pem_slice_iter(pem)) {
        let certificate = certificate.map_err(|_| InvalidTls::Authority(number))?;
        roots.add(certificate).map_err(|_| InvalidTls::Authority(number))?;
    }
    if roots.is_empty() { Err(InvalidTls::NoAuthority) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::*;
    use crate::Tls;

    fn pair() -> (Vec<u8>, Vec<u8>) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (cert.pem().into_bytes(), signing_key.serialize_pem().into_bytes())
    }

    fn block(content: &str) -> Vec<u8> {
        format!("-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n").into_bytes()
    }

    #[test]
    fn certificates_that_cannot_work_are_refused_before_anything_is_sent() {
        use InvalidTls::{Authority, Mismatch, NoAuthority, NoCertificate, NoKey};
        let ((good, key), (_, stranger)) = (pair(), pair());
        let (good, key, garbage) = (&*good, &*key, &b"garbage"[..]);
        let (torn, odd) = (&*block("!"), &*block("AAAA"));
        let behind_good = |other: &[u8]| [good, other].concat();
        for (ca, certificate, key, expected) in [
            (None, None, None, Ok(())),
            (Some(good), Some(good), Some(key), Ok(())),
            (Some(&*behind_good(good)), None, None, Ok(())),
            (Some(garbage), None, None, Err(NoAuthority)),
            (Some(key), None, None, Err(NoAuthority)),
            (Some(torn), None, None, Err(Authority(1))),
            (Some(odd), None, None, Err(Authority(1))),
            (Some(&*behind_good(odd)), None, None, Err(Authority(2))),
            (None, None, Some(key), Err(NoCertificate)),
            (None, Some(garbage), Some(key), Err(NoCertificate)),
            (None, Some(torn), Some(key), Err(NoCertificate)),
            (None, Some(good), None, Err(NoKey)),
            (None, Some(good), Some(garbage), Err(NoKey)),
            (None, Some(good), Some(&*stranger), Err(Mismatch)),
        ] {
            let [ca, certificate, key] = [ca, certificate, key].map(|pem| pem.map(<[u8]>::to_vec));
            let certificates = Certificates { ca, certificate, key };
            assert_eq!(certificates.check(), expected);
            assert_eq!(Tls::new(&certificates).map(drop), expected);
        }
        let [certificate, key] = [odd, key].map(|pem| Some(pem.to_vec()));
        let refused = Certificates { ca: None, certificate, key }.check();
        assert!(matches!(refused, Err(InvalidTls::Certificate(_))), "{refused:?}");
    }
}
