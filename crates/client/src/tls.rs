//! TLS to `https` endpoints: 1.2 or newer, and the server is always verified (`fleetctl.md` 3.1,
//! `spec/README.md` 11).

use std::{fmt, sync::Arc};

use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, ConfigBuilder, Error, RootCertStore, WantsVerifier,
        client::WantsClientCert,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    },
};

use crate::{BoxStream, DialError, Target};

/// Certificates, each the content of a PEM file.
#[derive(Clone, Default)]
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
#[derive(Debug, thiserror::Error)]
pub enum InvalidTls {
    /// The file of the authorities holds no certificate: nobody could be verified.
    #[error("tls: failed to find any certificate in CA input")]
    NoAuthority,
    /// There is a key, and no certificate that it is for.
    #[error("tls: failed to find any PEM data in certificate input")]
    NoCertificate,
    /// There is a certificate, and not its key.
    #[error("tls: failed to find any PEM data in key input")]
    NoKey,
    /// The key is another certificate's.
    #[error("tls: private key does not match public key")]
    Mismatch,
    /// Something in them can't be understood.
    #[error("tls: {0}")]
    Unusable(#[source] Error),
}

/// Secures streams to servers.
#[derive(Clone)]
pub struct Tls(TlsConnector);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Verifies servers against the system's authorities, and sends no certificate of its own.
    #[must_use]
    pub fn system() -> Self {
        Self::of(authorities(system_roots()).with_no_client_auth())
    }

    /// Uses `certificates`.
    ///
    /// # Errors
    /// They can't be used: nothing is left out silently.
    pub fn new(certificates: &Certificates) -> Result<Self, InvalidTls> {
        let Certificates { ca, certificate, key } = certificates;
        let identity = identity(certificate.as_deref(), key.as_deref())?;
        let roots = match ca {
            Some(pem) => roots(pem)?,
            None => system_roots(),
        };
        let config = authorities(roots);
        Ok(Self::of(match identity {
            None => config.with_no_client_auth(),
            Some((chain, key)) => config.with_client_auth_cert(chain, key).map_err(unusable)?,
        }))
    }

    fn of(config: ClientConfig) -> Self {
        Self(Arc::new(config).into())
    }

    /// Makes a secure stream to `target` of a plain one. The caller bounds the time it may take.
    pub(crate) async fn secure(
        &self,
        target: &Target,
        stream: BoxStream,
    ) -> Result<BoxStream, DialError> {
        let Target::Tcp { host, .. } = target else { return Ok(stream) };
        let failed = |error: std::io::Error| DialError::new(target, error);
        let name = ServerName::try_from(host.clone()).map_err(std::io::Error::other);
        let stream = self.0.connect(name.map_err(failed)?, stream).await.map_err(failed)?;
        Ok(Box::new(stream))
    }
}

fn authorities(roots: RootCertStore) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let builder: ConfigBuilder<ClientConfig, WantsVerifier> =
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has cipher suites for TLS 1.2 and 1.3");
    builder.with_root_certificates(roots)
}

/// Those of the system's authorities that can be read. Without any, no server is trusted.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn roots(pem: &[u8]) -> Result<RootCertStore, InvalidTls> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| InvalidTls::NoAuthority)?;
        roots.add(certificate).map_err(InvalidTls::Unusable)?;
    }
    if roots.is_empty() { Err(InvalidTls::NoAuthority) } else { Ok(roots) }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(
    certificate: Option<&[u8]>,
    key: Option<&[u8]>,
) -> Result<Option<Identity>, InvalidTls> {
    if certificate.is_none() && key.is_none() {
        return Ok(None);
    }
    let chain = CertificateDer::pem_slice_iter(certificate.unwrap_or_default());
    let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(|_| InvalidTls::NoCertificate)?;
    if chain.is_empty() {
        return Err(InvalidTls::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key.unwrap_or_default());
    Ok(Some((chain, key.map_err(|_| InvalidTls::NoKey)?)))
}

fn unusable(error: Error) -> InvalidTls {
    match error {
        Error::InconsistentKeys(_) => InvalidTls::Mismatch,
        other => InvalidTls::Unusable(other),
    }
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

    #[test]
    fn certificates_that_cannot_work_are_refused_before_anything_is_sent() {
        let (certificate, key) = pair();
        let (_, stranger) = pair();
        let garbage = b"garbage".to_vec();
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
        for (ca, certificate, key, error) in [
            (Some(&garbage), None, None, "tls: failed to find any certificate in CA input"),
            (Some(&key), None, None, "tls: failed to find any certificate in CA input"),
            (Some(&broken), None, None, "tls: invalid peer certificate: "),
            (None, Some(&certificate), None, "tls: failed to find any PEM data in key input"),
            (
                None,
                Some(&certificate),
                Some(&garbage),
                "tls: failed to find any PEM data in key input",
            ),
            (None, None, Some(&key), "tls: failed to find any PEM data in certificate input"),
            (
                None,
                Some(&garbage),
                Some(&key),
                "tls: failed to find any PEM data in certificate input",
            ),
            (
                None,
                Some(&certificate),
                Some(&stranger),
                "tls: private key does not match public key",
            ),
        ] {
            let (ca, certificate, key) = (ca.cloned(), certificate.cloned(), key.cloned());
            let found = Tls::new(&Certificates { ca, certificate, key }).unwrap_err().to_string();
            assert!(found.starts_with(error), "{found} instead of {error}");
        }
        let ca = Some(certificate.clone());
        let all = Certificates { ca, certificate: Some(certificate), key: Some(key) };
        assert!(Tls::new(&all).is_ok());
        assert!(Tls::new(&Certificates::default()).is_ok());
    }
}
