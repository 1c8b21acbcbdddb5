//! The files of `--ca-file`, `--cert-file` and `--key-file` (`fleetctl.md` 3.1). They are read and
//! checked whatever the endpoint: who gives them means them.

use std::{fs, path::PathBuf};

use fleet_core::error_text::plain;
use fleet_net::{Certificates, InvalidTls, Tls};

/// Where certificates are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Files {
    /// The authorities.
    pub(crate) ca: Option<PathBuf>,
    /// The client's certificate.
    pub(crate) certificate: Option<PathBuf>,
    /// Its key.
    pub(crate) key: Option<PathBuf>,
}

/// Why they can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadFiles {
    /// One can't be read.
    #[error("open {0}: {1}")]
    Unreadable(String, String),
    /// What is in them is wrong.
    #[error(transparent)]
    Invalid(#[from] InvalidTls),
}

impl Files {
    /// Reads them. `None` when there are none: the system's authorities decide.
    pub(crate) fn read(&self) -> Result<Option<(Certificates, Tls)>, BadFiles> {
        if *self == Self::default() {
            return Ok(None);
        }
        let read = |path: &Option<PathBuf>| match path {
            None => Ok(None),
            Some(path) => fs::read(path)
                .map(Some)
                .map_err(|error| BadFiles::Unreadable(path.display().to_string(), plain(&error))),
        };
        let certificates = Certificates {
            ca: read(&self.ca)?,
            certificate: read(&self.certificate)?,
            key: read(&self.key)?,
        };
        let tls = Tls::new(&certificates)?;
        Ok(Some((certificates, tls)))
    }
}
