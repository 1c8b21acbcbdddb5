//! The API's sockets: inherited from systemd, or bound here (`api.md` 1.1, `spec/README.md` 6).

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::UnixStream,
    },
    path::Path,
};

use fleet_api::Listener;
use fleet_core::error_text::plain;
use tokio::net::{TcpListener, UnixListener};
use tracing::{info, warn};

use crate::config::{self, Listen};

mod inherited;

/// The mode of a unix socket that fleetd binds itself.
const SOCKET_MODE: u32 = 0o660;

/// A socket that can't be bound.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("listen unix {path}: {}", plain(.source))]
    Unix { path: String, source: io::Error },
    #[error("listen unix {0}: another process is serving this socket")]
    Busy(String),
    #[error("listen tcp {address}: {}", plain(.source))]
    Tcp { address: String, source: io::Error },
}

/// Takes over the sockets that systemd passed, or binds those that are configured when it passed
/// none, and warns of those that are open to others.
pub(crate) async fn listeners(configured: &[Listen]) -> Result<Vec<Listener>, ListenError> {
    let listeners = match inherited::listeners() {
        Some(inherited) => {
            if let Some(warning) = without_effect(configured) {
                warn!("{warning}");
            }
            inherited
        }
        None => bind(configured).await?,
    };
    for listener in listeners.iter().filter(|listener| is_open(listener)) {
        warn!(
            "{listener} isn't loopback: whoever reaches it may do to this cluster what they like"
        );
    }
    Ok(listeners)
}

/// Whether others than this machine may reach a listener.
fn is_open(listener: &Listener) -> bool {
    match listener {
        Listener::Unix(_) => false,
        Listener::Tcp(listener) => listener.local_addr().is_ok_and(|at| !at.ip().is_loopback()),
    }
}

async fn bind(configured: &[Listen]) -> Result<Vec<Listener>, ListenError> {
    let mut bound = Vec::new();
    for listen in configured {
        bound.push(match listen {
            Listen::Unix(path) => Listener::from(bind_unix(path)?),
            Listen::Tcp(address) => {
                let listener = TcpListener::bind(address).await;
                Listener::from(
                    listener.map_err(|source| ListenError::Tcp {
                        address: address.to_string(),
                        source,
                    })?,
                )
            }
        });
    }
    for listener in &bound {
        info!("Serving the API on {listener}");
    }
    Ok(bound)
}

/// What is to be said of addresses that are configured, and not bound as systemd passed sockets.
fn without_effect(configured: &[Listen]) -> Option<&'static str> {
    (!config::is_default_listen(configured)).then_some(
        "api_listen has no effect: systemd passes the sockets to serve (ListenStream= in fleet.socket)",
    )
}

/// Binds a unix socket in place of one that nobody serves any more.
fn bind_unix(path: &Path) -> Result<UnixListener, ListenError> {
    let failed = |source| ListenError::Unix { path: path.display().to_string(), source };
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        if UnixStream::connect(path).is_ok() {
            return Err(ListenError::Busy(path.display().to_string()));
        }
        fs::remove_file(path).map_err(failed)?;
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE)).map_err(failed)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.sock");
        let configured = [Listen::Unix(path.clone())];
        drop(listeners(&configured).await.unwrap());
        assert!(path.exists(), "dropping a listener leaves the file");
        let served = listeners(&configured).await.unwrap();
        assert_eq!(served.len(), 1);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        let busy = listeners(&configured).await.unwrap_err().to_string();
        assert!(busy.ends_with("another process is serving this socket"), "{busy}");
    }

    #[tokio::test]
    async fn a_file_in_the_way_is_kept_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.sock");
        fs::write(&path, "precious").unwrap();
        let error = listeners(&[Listen::Unix(path.clone())]).await.unwrap_err().to_string();
        assert_eq!(error, format!("listen unix {}: address already in use", path.display()));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn addresses_that_somebody_configured_are_not_left_out_silently() {
        let default = Listen::Unix("/var/run/fleet.sock".into());
        assert_eq!(without_effect(std::slice::from_ref(&default)), None);
        for configured in [
            vec![],
            vec![Listen::Unix("/run/other.sock".into())],
            vec![default, Listen::Tcp("127.0.0.1:49153".parse().unwrap())],
        ] {
            let said = without_effect(&configured).expect("it is said");
            assert!(said.starts_with("api_listen has no effect"), "{said}");
        }
    }

    #[tokio::test]
    async fn tcp_addresses_are_bound() {
        let any = Listen::Tcp("127.0.0.1:0".parse().unwrap());
        let bound = listeners(&[any]).await.unwrap();
        let Listener::Tcp(listener) = &bound[0] else { panic!("not tcp") };
        let taken = Listen::Tcp(listener.local_addr().unwrap());
        assert!(listeners(&[taken]).await.is_err());
        assert!(!is_open(&bound[0]));
        let all = listeners(&[Listen::Tcp("0.0.0.0:0".parse().unwrap())]).await.unwrap();
        assert!(is_open(&all[0]));
    }
}
