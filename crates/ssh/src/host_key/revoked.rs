//! Lists of keys that are taken from nobody (`RevokedHostKeys`): a public key on each line.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use data_encoding::BASE64;
use nix::fcntl::OFlag;
use russh::keys::{Certificate, PublicKey, key::parse_public_key, ssh_key::public::KeyData};
use tokio::task;

use crate::Cause;

/// How a key revocation list of OpenSSH begins.
const KRL: &[u8] = b"SSHKRL\n\0";
/// A list longer than this is none.
const LONGEST: u64 = 16 * 1024 * 1024;

/// The keys of lists.
#[derive(Debug, Default)]
pub(super) struct Revoked(Vec<Listed>);

#[derive(Debug)]
struct Listed {
    path: PathBuf,
    /// The key as it goes over the wire: it need not be of a type that we know.
    key: Vec<u8>,
}

impl Revoked {
    /// Reads the lists. One that can't be read as a whole may list any key, so no host can be
    /// trusted then, as with OpenSSH.
    ///
    /// # Errors
    /// [`Cause::RevokedHostKeys`].
    pub(super) async fn read(paths: &[PathBuf]) -> Result<Self, Cause> {
        let mut keys = Vec::new();
        for path in paths {
            let at = path.clone();
            let reading = task::spawn_blocking(move || read(&at)).await;
            let bytes = reading.unwrap_or_else(|stopped| Err(io::Error::other(stopped)));
            let bad = |error| Cause::RevokedHostKeys { path: path.clone(), error };
            let found = bytes.and_then(|bytes| parse(&bytes)).map_err(bad)?;
            keys.extend(found.into_iter().map(|key| Listed { path: path.clone(), key }));
        }
        Ok(Self(keys))
    }

    /// The list that has the key, or the authority of its certificate.
    pub(super) fn list_of(
        &self,
        key: &KeyData,
        certificate: Option<&Certificate>,
    ) -> Option<&Path> {
        let authority = certificate.map(|certificate| wire(certificate.signature_key()));
        let shown: Vec<_> = [Some(wire(key)), authority].into_iter().flatten().collect();
        self.0.iter().find(|listed| shown.contains(&listed.key)).map(|listed| &*listed.path)
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    if file.take(LONGEST + 1).read_to_end(&mut bytes)? as u64 > LONGEST {
        return Err(io::Error::other("too long"));
    }
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    if bytes.starts_with(KRL) {
        return Err(io::Error::other(
            "it is a key revocation list (KRL), of which only ssh knows how to read them; \
             list the public keys instead",
        ));
    }
    let mut keys = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        let blob = fields.nth(1).and_then(|base64| BASE64.decode(base64).ok());
        let blob = blob.filter(|blob| !blob.is_empty());
        let none = || io::Error::other(format!("line {}: no public key", index + 1));
        keys.push(plain(blob.ok_or_else(none)?));
    }
    Ok(keys)
}

/// The key itself, where a certificate was listed.
fn plain(blob: Vec<u8>) -> Vec<u8> {
    let key = parse_public_key(&blob).ok().map(KeyData::from);
    let inside = key.as_ref().and_then(|key| key.certificate()).map(|shown| shown.public_key());
    inside.map_or(blob, wire)
}

fn wire(key: &KeyData) -> Vec<u8> {
    // Keys that were read can be written.
    PublicKey::from(key.clone()).to_bytes().unwrap_or_default()
}
