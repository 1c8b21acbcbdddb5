//! Which types of host keys are offered (`ssh.md` 2.4).

use russh::keys::{Algorithm, EcdsaCurve, HashAlg};

use crate::known_hosts::{Kind, Known, Names};

/// How RSA keys sign, the best first.
const RSA: [Algorithm; 3] = [
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
    Algorithm::Rsa { hash: None },
];

const ECDSA: [Algorithm; 3] = [
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
];

/// The types of host keys that are offered, the most wanted first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offered {
    /// Keys as such.
    pub(crate) keys: Vec<Algorithm>,
    /// Keys in certificates. They are offered before those as such.
    pub(crate) certificates: Vec<Algorithm>,
}

impl Offered {
    /// Returns what is offered to the host with `names`: the types by which it is known, otherwise
    /// all. Certificates only where they can be judged: where an authority is known, or the host
    /// itself is known by one.
    pub(crate) fn to(known: &Known, names: &Names) -> Self {
        let mut offered = Self { keys: Vec::new(), certificates: Vec::new() };
        for found in known.about(Kind::Key, names) {
            match found.entry.key.certificate() {
                Some(certificate) => extend(&mut offered.certificates, certificate.algorithm()),
                None => extend(&mut offered.keys, found.entry.key.algorithm()),
            }
        }
        if offered.keys.is_empty() && offered.certificates.is_empty() {
            offered = offered.or_any();
        }
        if known.about(Kind::Authority, names).next().is_some() {
            offered.certificates = [&RSA[..], &ECDSA, &[Algorithm::Ed25519]].concat();
        }
        offered
    }

    /// Adds all other types of keys.
    pub(crate) fn or_any(mut self) -> Self {
        for algorithm in [&ECDSA[..], &RSA[..1], &[Algorithm::Ed25519]].concat() {
            extend(&mut self.keys, algorithm);
        }
        self
    }
}

/// Adds the ways in which keys of this type sign, each once.
fn extend(list: &mut Vec<Algorithm>, algorithm: Algorithm) {
    let ways = match algorithm {
        Algorithm::Rsa { .. } => RSA.to_vec(),
        other => vec![other],
    };
    for way in ways {
        if !list.contains(&way) {
            list.push(way);
        }
    }
}
