//! Streams to the API and to etcd from the tunnel's host (`ssh.md` 3). It looks up the names; TLS
//! is spoken inside, by those who dial.

use std::{io, sync::Arc};

use async_trait::async_trait;
use fleet_client::{BoxStream, DialError, Target};
use fleet_ssh::{Connection, Far};

/// Opens streams from a host.
pub(crate) struct Tunnel(Arc<Connection>);

impl Tunnel {
    /// From the host of `connection`.
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self(connection)
    }
}

#[async_trait]
impl fleet_client::Dial for Tunnel {
    async fn dial(&self, target: &Target) -> Result<BoxStream, DialError> {
        let far = match target {
            Target::Unix(path) => Far::Unix(path.clone()),
            Target::Tcp { host, port } => Far::Tcp { host: host.clone(), port: *port },
        };
        match self.0.dial(&far).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(DialError::new(target, error)),
        }
    }
}

#[async_trait]
impl fleet_etcd::Dial for Tunnel {
    async fn dial(&self, host: &str, port: u16) -> io::Result<Box<dyn fleet_etcd::Stream>> {
        let far = Far::Tcp { host: host.to_owned(), port };
        match self.0.dial(&far).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}
