//! What to do when no fleetd answers on this machine's socket: said below the error.

use std::{
    io::ErrorKind,
    os::unix::{fs::MetadataExt as _, net::UnixStream},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use fleet_client::Endpoint;
use fleet_net::{BoxStream, Dial, DialError, Direct, Target};

use crate::{config::Config, flags::DRIVER};

/// Whose systemd the fleetd that is asked drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manager {
    /// The machine's.
    System,
    /// This user's: its socket belongs to who asks, and that isn't root.
    User,
}

/// Opens streams from here, and remembers whether one could not be opened.
#[derive(Debug, Default)]
pub(crate) struct RecordingDial {
    has_failed: AtomicBool,
}

impl RecordingDial {
    /// Whether a stream could not be opened.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Dial for RecordingDial {
    async fn dial(&self, target: &Target) -> Result<BoxStream, DialError> {
        let failed = |_: &DialError| self.has_failed.store(true, Ordering::Relaxed);
        Direct.dial(target).await.inspect_err(failed)
    }
}

/// The unix socket that `config` leads to, without a tunnel.
fn socket(config: &Config) -> Option<PathBuf> {
    if config.driver != DRIVER || config.ssh.tunnel.is_some() {
        return None;
    }
    let first = config.endpoint.split(',').next()?;
    match first.parse::<Endpoint>().ok()?.target() {
        Target::Unix(path) => Some(path.clone()),
        Target::Tcp { .. } => None,
    }
}

/// Whose systemd the fleetd behind `config` drives.
pub(crate) fn manager(config: &Config) -> Manager {
    let owner = socket(config).and_then(|path| path.metadata().ok()).map(|socket| socket.uid());
    // `/proc/self` belongs to the effective user.
    let user = Path::new("/proc/self").metadata().ok().map(|process| process.uid());
    match (owner, user) {
        (Some(owner), Some(user)) if owner == user && user != 0 => Manager::User,
        _ => Manager::System,
    }
}

/// What the user may do where the socket of `config` can't be opened; `None` where it can.
pub(crate) fn hint(config: &Config) -> Option<String> {
    let path = socket(config)?;
    let shown = path.display();
    match UnixStream::connect(&path).err()?.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => Some(format!(
            "Nobody serves {shown}: is fleetd running on this machine (systemctl status fleet)?\n\
             Another machine is reached with --tunnel HOST or --endpoint URL; to try fleet out here, run fleetd --dev."
        )),
        ErrorKind::PermissionDenied => Some(format!(
            "{shown} is for root and the members of its group (usermod --append --groups fleet USER)."
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::args::{Invocation, read};

    fn config(words: &[&str]) -> Config {
        let words = words.iter().map(Into::into).collect();
        let Ok(Invocation::Run(_, matches)) = read(words) else { panic!("no command") };
        Config::new(&matches, &|_| None).unwrap()
    }

    #[test]
    fn the_socket_is_named_where_it_is_to_blame() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.sock");
        let endpoint = format!("--endpoint=unix://{}", path.display());
        let said = |words: &[&str]| hint(&config(&[words, &["list-units"]].concat()));
        let missing = said(&[&endpoint]).expect("nobody serves it");
        assert!(missing.contains(&format!("Nobody serves {}: ", path.display())), "{missing}");
        assert!(missing.contains("fleetd --dev"), "{missing}");
        for words in [
            &["--endpoint=http://127.0.0.1:9"][..],
            &[&endpoint, "--tunnel=198.18.0.9"],
            &["--driver=etcd", "--endpoint=http://127.0.0.1:9"],
        ] {
            assert_eq!(said(words), None, "{words:?}");
        }
        let served = UnixListener::bind(&path).unwrap();
        assert_eq!(said(&[&endpoint]), None, "somebody serves it");
        drop(served);
    }
}
