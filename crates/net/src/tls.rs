//! TLS to servers: 1.2 or newer, and the server is always verified (`fleetctl.md` 3.1,
//! `spec/README.md` 11).

use std::{fmt, io, sync::Arc};

use tokio_rustls::{
    TlsConnector,
    rustls::{RootCertStore, pki_types::ServerName},
};

use crate::{BoxStream, Certificates, DialError, InvalidTls, Target};

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
        Self::new(&Certificates::default()).expect("nothing is wrong with no certificate")
    }

    /// Uses `certificates`.
    ///
    /// # Errors
    /// They can't be used: nothing is left out silently.
    pub fn new(certificates: &Certificates) -> Result<Self, InvalidTls> {
        Ok(Self(Arc::new(certificates.config(system_roots)?).into()))
    }

    /// Makes a secure stream to `target` of a plain one. The caller bounds the time it may take.
    ///
    /// # Errors
    /// The server isn't who it should be, or doesn't speak TLS.
    pub async fn secure(&self, target: &Target, stream: BoxStream) -> Result<BoxStream, DialError> {
        let Target::Tcp { host, .. } = target else { return Ok(stream) };
        let failed = |error: io::Error| DialError::new(target, error);
        let name = ServerName::try_from(host.clone()).map_err(io::Error::other);
        let stream = self.0.connect(name.map_err(failed)?, stream).await.map_err(failed)?;
        Ok(Box::new(stream))
    }
}

/// Those of the system's authorities that can be read. Without any, no server is trusted.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}
