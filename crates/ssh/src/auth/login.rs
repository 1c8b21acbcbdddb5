//! One login: what is offered, what the server says to it, and the account of it for the user.

use std::fmt::Display;

use russh::{
    MethodKind, MethodSet, Signer,
    client::{AuthResult, Handle},
    keys::{HashAlg, agent::AgentIdentity, ssh_key::public::KeyData},
};
use tracing::debug;

use crate::{
    Cause,
    handler::{Peer, Shared},
};

/// A login under way.
pub(super) struct Login<'a> {
    handle: &'a mut Handle<Peer>,
    pub(super) shared: &'a Shared,
    user: &'a str,
    /// What was tried, and what became of it.
    tried: Vec<String>,
    /// Public keys that the server has refused.
    refused: Vec<KeyData>,
    attempted: &'static str,
    /// Whether the agent didn't list its keys.
    unlisted: bool,
    /// How RSA signs, once it is known.
    rsa: Option<Vec<Option<HashAlg>>>,
}

impl<'a> Login<'a> {
    pub(super) fn new(handle: &'a mut Handle<Peer>, user: &'a str, shared: &'a Shared) -> Self {
        let (tried, refused) = (Vec::new(), Vec::new());
        let (attempted, unlisted, rsa) = ("none", false, None);
        Self { handle, shared, user, tried, refused, attempted, unlisted, rsa }
    }

    /// Asks for the methods; some servers let one in at that.
    pub(super) async fn none(&mut self) -> Result<bool, Cause> {
        let answer = self.handle.authenticate_none(self.user).await;
        self.answer(answer.map_err(|_| self.lost())?, None)
    }

    /// Offers a key, `what` by name, and has `signer` sign when the server would take it.
    pub(super) async fn offer<S: Signer>(
        &mut self,
        identity: &AgentIdentity,
        what: &str,
        signer: &mut S,
    ) -> Result<bool, Cause>
    where
        S::Error: Display,
    {
        let public = identity.public_key().into_owned();
        let plain = matches!(identity, AgentIdentity::PublicKey { .. });
        if plain && self.was_refused(public.key_data()) {
            return Ok(false);
        }
        self.attempted = "none publickey";
        for hash in self.hashes(public.algorithm().is_rsa()).await? {
            let answer = match identity {
                AgentIdentity::PublicKey { key, .. } => {
                    let key = key.clone();
                    self.handle.authenticate_publickey_with(self.user, key, hash, signer).await
                }
                AgentIdentity::Certificate { certificate, .. } => {
                    let certificate = certificate.clone();
                    self.handle
                        .authenticate_certificate_with(self.user, certificate, hash, signer)
                        .await
                }
            };
            match answer {
                Ok(answer) => {
                    if self.answer(answer, Some(what))? {
                        return Ok(true);
                    }
                    if plain {
                        self.refused.push(public.key_data().clone());
                    }
                }
                Err(_) if self.handle.is_closed() => return Err(self.lost()),
                Err(error) => {
                    self.note(format!("{what}: {error}"));
                    return Ok(false);
                }
            }
        }
        Ok(false)
    }

    /// Adds a line to the account.
    pub(super) fn note(&mut self, line: String) {
        debug!("SSH {line}");
        if !self.tried.contains(&line) {
            self.tried.push(line);
        }
    }

    /// Notes that the agent didn't list its keys.
    pub(super) fn no_list(&mut self, why: &str) {
        self.unlisted = true;
        self.note(format!("agent: {why}"));
    }

    /// Whether the server has refused this key.
    pub(super) fn was_refused(&self, key: &KeyData) -> bool {
        self.refused.contains(key)
    }

    /// The end: nothing is left to try.
    pub(super) fn refused(&self) -> Cause {
        let tried = if self.tried.is_empty() { "no key".to_owned() } else { self.tried.join(", ") };
        if self.unlisted && self.attempted == "none" {
            return Cause::AgentKeys { tried };
        }
        Cause::Refused { attempted: self.attempted, tried }
    }

    fn answer(&mut self, answer: AuthResult, what: Option<&str>) -> Result<bool, Cause> {
        let (methods, partial) = match answer {
            AuthResult::Success => {
                debug!("SSH {} logged in with {}", self.user, what.unwrap_or("nothing"));
                return Ok(true);
            }
            AuthResult::Failure { remaining_methods, partial_success } => {
                (remaining_methods, partial_success)
            }
        };
        if let Some(what) = what {
            self.note(format!("{what}: {}", if partial { "not enough alone" } else { "refused" }));
        }
        if methods.is_empty() {
            return Err(self.lost());
        }
        if !methods.contains(&MethodKind::PublicKey) {
            self.note(format!("the server only takes {}", listed(&methods)));
            return Err(self.refused());
        }
        Ok(false)
    }

    fn lost(&self) -> Cause {
        Cause::Disconnected {
            words: self.shared.ending().unwrap_or_else(|| "connection closed".into()),
            tried: self.tried.join(", "),
        }
    }

    /// The ways an RSA key signs here, the best first: what the server says it takes
    /// (`server-sig-algs`); one that doesn't say may be too old for SHA-2.
    async fn hashes(&mut self, is_rsa: bool) -> Result<Vec<Option<HashAlg>>, Cause> {
        if !is_rsa {
            return Ok(vec![None]);
        }
        if self.rsa.is_none() {
            let best = self.handle.best_supported_rsa_hash().await;
            self.rsa = Some(match best.map_err(|_| self.lost())? {
                Some(hash) => vec![hash],
                None => vec![Some(HashAlg::Sha512), None],
            });
        }
        Ok(self.rsa.clone().unwrap_or_default())
    }
}

fn listed(methods: &MethodSet) -> String {
    methods.iter().map(<&str>::from).collect::<Vec<_>>().join(" and ")
}
