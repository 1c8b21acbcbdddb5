//! Key files.

use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use fleet_core::error_text::plain;
use russh::{
    SendError, Signer,
    keys::{
        self, Certificate, HashAlg, PrivateKey, PublicKey,
        agent::AgentIdentity,
        signature,
        ssh_encoding::Encode,
        ssh_key::{Signature, private::KeypairData, public::KeyData},
    },
};
use tokio::{fs, task};

use zeroize::Zeroizing;

use super::login::Login;
use crate::{Ask, Cause};

/// A file longer than this is no key.
const LONGEST: u64 = 256 * 1024;
/// Wrong passphrases before a file is given up, as in OpenSSH.
const PASSPHRASES: usize = 3;

/// A key file that could be read, maybe not yet decrypted.
pub(super) struct KeyFile {
    path: PathBuf,
    secret: Secret,
    /// The public half, if it is known without the passphrase.
    public: Option<PublicKey>,
    certificate: Option<Certificate>,
}

enum Secret {
    Plain(Arc<PrivateKey>),
    Encrypted(Arc<str>),
}

/// Signs with a key file, and asks for the passphrase when it comes to that.
struct FileSigner<'a> {
    path: &'a Path,
    secret: &'a Secret,
    user: &'a dyn Ask,
}

/// Why a key file didn't sign.
#[derive(Debug, thiserror::Error)]
enum NotSigned {
    #[error("the connection is closed")]
    Closed,
    #[error("{0}")]
    Locked(&'static str),
    #[error("{}.pub belongs to another key", .0.display())]
    OtherKey(PathBuf),
    #[error("it can't sign: {0}")]
    Key(keys::ssh_key::Error),
}

impl From<SendError> for NotSigned {
    fn from(_: SendError) -> Self {
        Self::Closed
    }
}

/// The public halves of `files`, as far as they are known.
pub(super) async fn public_halves(files: &[PathBuf]) -> Vec<KeyData> {
    let mut found = Vec::new();
    for path in files {
        let public = match beside(path, ".pub").await {
            Some(text) => PublicKey::from_openssh(&text).ok(),
            None => None,
        };
        // `IdentityFile` may also name the public half of a key that only the agent has.
        let public = match public {
            Some(public) => Some(public),
            None => read(path).await.ok().and_then(|text| {
                let private = || PrivateKey::from_openssh(&text).ok();
                PublicKey::from_openssh(&text)
                    .ok()
                    .or_else(|| private().map(|key| key.public_key().clone()))
            }),
        };
        found.extend(public.map(|key| key.key_data().clone()));
    }
    found
}

impl KeyFile {
    /// Reads a key file and what lies beside it; the error says what is wrong with it.
    pub(super) async fn load(path: &Path) -> Result<Self, String> {
        let metadata = fs::metadata(path).await.map_err(|error| plain(&error))?;
        if !metadata.is_file() {
            return Err("it is no file".into());
        }
        let text = read(path).await.map_err(|error| plain(&error))?;
        if PublicKey::from_openssh(&text).is_ok() {
            return Err("it is a public key".into());
        }
        let mode = metadata.mode() & 0o777;
        // As OpenSSH: files of somebody else are that one's business.
        let own = metadata.uid() == rustix::process::getuid().as_raw();
        if own && mode & 0o077 != 0 {
            return Err(format!("permissions {mode:04o} are too open"));
        }
        let (secret, mut public) = decode(&text)?;
        if public.is_none() {
            public = beside(path, ".pub").await.and_then(|text| text.parse().ok());
        }
        let certificate = beside(path, "-cert.pub").await;
        let certificate = certificate.and_then(|text| Certificate::from_openssh(&text).ok());
        Ok(Self { path: path.into(), secret, public, certificate })
    }

    /// Offers its certificate, then its key.
    pub(super) async fn offer(
        mut self,
        login: &mut Login<'_>,
        user: &dyn Ask,
    ) -> Result<bool, Cause> {
        let name = format!("key file {}", self.path.display());
        let public = match self.public.take() {
            Some(public) => public,
            None => match unlock(&self.path, &self.secret, user).await {
                Ok(key) => {
                    let public = key.public_key().clone();
                    self.secret = Secret::Plain(key);
                    public
                }
                Err(why) => {
                    login.note(format!("{name}: {why}"));
                    return Ok(false);
                }
            },
        };
        let mut signer = FileSigner { path: &self.path, secret: &self.secret, user };
        if let Some(certificate) = self.certificate.take() {
            let identity = AgentIdentity::from(certificate);
            let name = format!("certificate {}-cert.pub", self.path.display());
            if login.offer(&identity, &name, &mut signer).await? {
                return Ok(true);
            }
        }
        if login.was_refused(public.key_data()) {
            login.note(format!("{name}: refused, the agent has it too"));
            return Ok(false);
        }
        login.offer(&AgentIdentity::from(public), &name, &mut signer).await
    }
}

impl Signer for FileSigner<'_> {
    type Error = NotSigned;

    async fn auth_sign(
        &mut self,
        identity: &AgentIdentity,
        hash: Option<HashAlg>,
        mut data: Vec<u8>,
    ) -> Result<Vec<u8>, NotSigned> {
        let key = unlock(self.path, self.secret, self.user).await.map_err(NotSigned::Locked)?;
        if key.public_key().key_data() != identity.public_key().key_data() {
            return Err(NotSigned::OtherKey(self.path.into()));
        }
        let signature = sign(&key, hash, &data).map_err(NotSigned::Key)?;
        signature.encode_prefixed(&mut data).map_err(|error| NotSigned::Key(error.into()))?;
        Ok(data)
    }
}

fn sign(
    key: &PrivateKey,
    hash: Option<HashAlg>,
    data: &[u8],
) -> Result<Signature, keys::ssh_key::Error> {
    let signature = match key.key_data() {
        KeypairData::Rsa(rsa) => signature::Signer::try_sign(&(rsa, hash), data)?,
        _ => signature::Signer::try_sign(key, data)?,
    };
    Ok(signature)
}

/// Asks for the passphrase until it fits, three times at most.
async fn unlock(
    path: &Path,
    secret: &Secret,
    user: &dyn Ask,
) -> Result<Arc<PrivateKey>, &'static str> {
    let text = match secret {
        Secret::Plain(key) => return Ok(Arc::clone(key)),
        Secret::Encrypted(text) => text,
    };
    let question = format!("Enter passphrase for key '{}': ", path.display());
    for _ in 0..PASSPHRASES {
        let passphrase = match user.secret(&question).await {
            Ok(Some(passphrase)) if !passphrase.is_empty() => Zeroizing::new(passphrase),
            Ok(Some(_)) => return Err("no passphrase given"),
            Ok(None) | Err(_) => return Err("it is encrypted, and there is no passphrase"),
        };
        let text = Arc::clone(text);
        // Deriving the key takes a while, on purpose.
        let key = task::spawn_blocking(move || keys::decode_secret_key(&text, Some(&passphrase)));
        if let Ok(Ok(key)) = key.await {
            return Ok(Arc::new(key));
        }
    }
    Err("wrong passphrase")
}

fn decode(text: &str) -> Result<(Secret, Option<PublicKey>), String> {
    if let Ok(key) = PrivateKey::from_openssh(text) {
        let public = Some(key.public_key().clone());
        let secret = if key.is_encrypted() {
            Secret::Encrypted(text.into())
        } else {
            Secret::Plain(Arc::new(key))
        };
        return Ok((secret, public));
    }
    match keys::decode_secret_key(text, None) {
        Ok(key) => {
            let public = Some(key.public_key().clone());
            Ok((Secret::Plain(Arc::new(key)), public))
        }
        Err(keys::Error::KeyIsEncrypted) => Ok((Secret::Encrypted(text.into()), None)),
        Err(_) if text.contains("ENCRYPTED") => Ok((Secret::Encrypted(text.into()), None)),
        Err(error) => Err(format!("no usable private key: {error}")),
    }
}

async fn beside(path: &Path, suffix: &str) -> Option<Zeroizing<String>> {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    read(Path::new(&name)).await.ok()
}

/// Reads a file that may be a key, so nothing of it stays in memory.
async fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    if fs::metadata(path).await?.len() > LONGEST {
        return Err(io::Error::other("too long"));
    }
    fs::read_to_string(path).await.map(Zeroizing::new)
}
