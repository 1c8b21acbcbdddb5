//! Whether a host is who it should be (`ssh.md` 4.4 to 4.6).

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use fleet_core::error_text::tame_stranger;
use russh::{
    Preferred,
    keys::{Certificate, PublicKeyOrCertificate, ssh_key::public::KeyData},
};

use crate::{
    Address, Ask, Cause, KnownHosts,
    known_hosts::{Kind, Known, KnownLine, Names},
};

mod algorithms;
mod certificate;
mod revoked;
mod rules;
mod text;

pub(crate) use algorithms::Offered;
use revoked::Revoked;
pub use rules::{HostKeyAlgorithms, HostKeyRules};

/// What is done about host keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checking {
    /// Any key is taken; known hosts are neither read nor written.
    Off,
    /// Any key is taken, with a warning about one that has changed or is revoked; nothing is added
    /// (`StrictHostKeyChecking no` of `~/.ssh/config`).
    Warn,
    /// Unknown hosts are asked about. The default.
    Ask,
    /// Unknown hosts are refused (`StrictHostKeyChecking yes` of `~/.ssh/config`).
    KnownOnly,
    /// Unknown hosts are added without asking (`accept-new` of `~/.ssh/config`).
    AcceptNew,
}

/// The check of one host's key, made for each connection.
pub(crate) struct Check {
    checking: Checking,
    files: KnownHosts,
    known: Known,
    revoked: Revoked,
    algorithms: Option<HostKeyAlgorithms>,
    names: Names,
    ask: Arc<dyn Ask>,
}

impl Check {
    /// Prepares to check the host that was called `typed` (after `HostName` and `Port` of
    /// `~/.ssh/config`) and is at `remote`: its socket address, or what a hop before it was asked
    /// to connect to. Reads the known hosts, unless nothing is checked.
    ///
    /// # Errors
    /// Known hosts, or lists of revoked keys, that can't be read.
    pub(crate) async fn load(
        typed: &Address,
        remote: &Address,
        checking: Checking,
        files: &KnownHosts,
        rules: &HostKeyRules,
        ask: Arc<dyn Ask>,
    ) -> Result<Self, Cause> {
        let known = match checking {
            Checking::Off => Known::default(),
            Checking::Warn | Checking::Ask | Checking::KnownOnly | Checking::AcceptNew => {
                let all = [&*files.files, &rules.known_hosts].concat();
                KnownHosts { files: all }.read().await?
            }
        };
        let revoked = Revoked::read(&rules.revoked).await?;
        let (files, algorithms) = (files.clone(), rules.algorithms.clone());
        let names = Names::of(typed, remote);
        Ok(Self { checking, files, known, revoked, algorithms, names, ask })
    }

    /// Returns the types of host keys to offer.
    ///
    /// # Errors
    /// [`Cause::HostKeyAlgorithms`], if the configuration leaves none.
    pub(crate) fn offered(&self) -> Result<Offered, Cause> {
        let offered = self.unrestricted();
        let Some(algorithms) = &self.algorithms else { return Ok(offered) };
        let left = algorithms.applied(offered);
        if left.keys.is_empty() && left.certificates.is_empty() {
            let (place, host) = (algorithms.place.clone(), self.names.stored.clone());
            return Err(Cause::HostKeyAlgorithms { place, host });
        }
        Ok(left)
    }

    /// The types that would be offered if the configuration didn't restrict them.
    fn unrestricted(&self) -> Offered {
        let offered = Offered::to(&self.known, &self.names);
        if self.checking == Checking::Warn { offered.or_any() } else { offered }
    }

    /// Returns `preferred` with the types of host keys to offer.
    ///
    /// # Errors
    /// Those of [`Self::offered`].
    pub(crate) fn preferred(&self, preferred: Preferred) -> Result<Preferred, Cause> {
        let Offered { keys, certificates } = self.offered()?;
        let (key, host_key_certificates) = (keys.into(), certificates.into());
        Ok(Preferred { key, host_key_certificates, ..preferred })
    }

    /// Decides about the key the host showed: asks the user about a new one and adds it, tells
    /// why one is refused.
    ///
    /// # Errors
    /// [`Cause::Mismatch`], [`Cause::Revoked`], [`Cause::Unauthorized`], or what went wrong when
    /// the user was asked.
    pub(crate) async fn decide(&self, shown: &PublicKeyOrCertificate) -> Result<(), Cause> {
        let key = KeyData::from(shown.public_key());
        // Whatever is checked otherwise, as with OpenSSH.
        if let Some(list) = self.revoked.list_of(&key, shown.certificate()) {
            self.ask.tell(&text::revoked(&self.names.stored, &key, &list.display().to_string()));
            return Err(Cause::Revoked);
        }
        if self.checking == Checking::Off {
            return Ok(());
        }
        if let Some(found) = self.revoked(&key, shown.certificate()) {
            if self.checking == Checking::Warn {
                self.ask.tell(&text::revoked_taken(&self.names.stored, &key, found));
                return Ok(());
            }
            let place = format!("{}:{}", found.path.display(), found.number);
            self.ask.tell(&text::revoked(&self.names.stored, &key, &place));
            return Err(Cause::Revoked);
        }
        if shown.certificate().is_some_and(|certificate| self.vouched_for(certificate)) {
            return Ok(());
        }
        // The key inside a certificate proved itself as any key does, and may be known as one.
        self.decide_key(&key).await
    }

    /// Tells that the host has no key of a type that is known, which is a change of its identity,
    /// and returns the error: `ours` and `theirs` are what was offered. Without known types, and
    /// where the configuration keeps one of them back that the host has, it only returns the error.
    pub(crate) fn no_common_type(&self, ours: &[String], theirs: &[String]) -> Cause {
        let Offered { keys, certificates } = self.unrestricted();
        let keys = keys.iter().map(ToString::to_string);
        let certificates = certificates.iter().map(|one| one.to_certificate_type());
        let kept_back = keys.chain(certificates).any(|one| theirs.contains(&one));
        let (ours, theirs) = (ours.join(" "), tame_stranger(&theirs.join(" ")));
        let mut about = self.known.about(Kind::Key, &self.names);
        if let Some(found) = about.next().filter(|_| !kept_back) {
            self.ask.tell(&text::no_known_type(&ours, &theirs, &found.path));
        }
        Cause::NoCommonHostKey { ours, theirs }
    }

    /// Returns the line that says that the key, its certificate or its authority is revoked.
    fn revoked(&self, key: &KeyData, certificate: Option<&Certificate>) -> Option<&KnownLine> {
        self.known.about(Kind::Revoked, &self.names).find(|found| {
            let revoked = &found.entry.key;
            revoked == key
                || certificate.is_some_and(|certificate| {
                    revoked == certificate.signature_key()
                        || revoked.certificate() == Some(certificate)
                })
        })
    }

    /// Whether the certificate is known itself, or a known authority made it for this host. Tells
    /// why not, if it is only that the certificate isn't good.
    fn vouched_for(&self, certificate: &Certificate) -> bool {
        let mut keys = self.known.about(Kind::Key, &self.names);
        if keys.any(|found| found.entry.key.certificate() == Some(certificate)) {
            return true;
        }
        let mut authorities = self.known.about(Kind::Authority, &self.names);
        if !authorities.any(|found| found.entry.key == *certificate.signature_key()) {
            return false;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        match certificate::check(certificate, &self.names.principal, now) {
            Ok(()) => true,
            Err(reason) => {
                self.ask.tell(reason);
                false
            }
        }
    }

    /// The algorithm of `ssh.md` 4.4.
    async fn decide_key(&self, key: &KeyData) -> Result<(), Cause> {
        let about = || self.known.about(Kind::Key, &self.names);
        if about().any(|found| found.entry.key == *key) {
            return Ok(());
        }
        if let Some(found) = about().next() {
            if self.checking == Checking::Warn {
                self.ask.tell(&text::mismatch_taken(&self.names.stored, key, &found.path));
                return Ok(());
            }
            self.ask.tell(&text::mismatch(key, &found.path));
            return Err(Cause::Mismatch);
        }
        self.decide_unknown(key).await
    }

    async fn decide_unknown(&self, key: &KeyData) -> Result<(), Cause> {
        let name = &self.names.stored;
        let accepted = match self.checking {
            Checking::Off | Checking::Warn => return Ok(()),
            Checking::AcceptNew => true,
            Checking::KnownOnly => {
                self.ask.tell(&text::unknown(name, key));
                false
            }
            Checking::Ask => {
                let answer = self.ask.line(&text::question(name, key)).await.map_err(Cause::Io)?;
                answer.as_deref().is_some_and(is_yes)
            }
        };
        if !accepted {
            self.ask.tell(text::FAILED);
            return Err(Cause::Unauthorized);
        }
        let told = match self.files.add(name, key) {
            Ok(()) => text::added(name, key),
            Err(error) => {
                tracing::debug!(path = %self.files.first().display(), %error, "can't add host");
                text::not_added(self.files.first())
            }
        };
        self.ask.tell(&told);
        Ok(())
    }
}

/// Whether an answer begins with the word yes.
fn is_yes(answer: &str) -> bool {
    let word = answer.split_whitespace().next().unwrap_or_default().to_lowercase();
    matches!(&*word, "yes" | "y")
}

#[cfg(test)]
mod tests;
