//! What the user reads about host keys (`ssh.md` 4.5, 4.6). Those texts are exact.

use std::path::Path;

use russh::keys::{Algorithm, HashAlg, PublicKey, ssh_key::public::KeyData};

use crate::known_hosts::KnownLine;

/// The end of all refusals.
pub(super) const FAILED: &str = "Host key verification failed.";

/// Why a key is taken that nobody should have.
const TAKEN: &str = "StrictHostKeyChecking no takes it all the same.";

const RULE: &str = "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@";

/// Asks about an unknown host. The line with the SHA-256 is ours: it is what `ssh-keygen -l` and
/// today's OpenSSH print.
pub(super) fn question(name: &str, key: &KeyData) -> String {
    let (label, md5, sha256) = (label(key), md5(key), key.fingerprint(HashAlg::Sha256));
    format!(
        "The authenticity of host '{name}' can't be established.\n\
         {label} key fingerprint is {md5}.\n\
         {label} key fingerprint is {sha256}.\n\
         Are you sure you want to continue connecting (yes/no)? "
    )
}

pub(super) fn added(name: &str, key: &KeyData) -> String {
    format!("Warning: Permanently added '{name}' ({}) to the list of known hosts.", label(key))
}

pub(super) fn not_added(path: &Path) -> String {
    format!("Failed to add the host to the list of known hosts ({}).", path.display())
}

/// An unknown host, where all must be known.
pub(super) fn unknown(name: &str, key: &KeyData) -> String {
    let label = label(key);
    format!("No {label} host key is known for '{name}' and you have requested strict checking.")
}

/// A key that isn't the known one.
pub(super) fn mismatch(key: &KeyData, path: &Path) -> String {
    let (label, md5) = (label(key), md5(key));
    changed(
        &format!(
            "The fingerprint for the {label} key sent by the remote host is\n\
             {md5}."
        ),
        path,
    )
}

/// The same, where any key is taken.
pub(super) fn mismatch_taken(name: &str, key: &KeyData, path: &Path) -> String {
    let (label, path) = (label(key), path.display());
    format!("Warning: the {label} host key of '{name}' is not the one in {path}. {TAKEN}")
}

/// A host that has no key of a known type any more.
pub(super) fn no_known_type(ours: &str, theirs: &str, path: &Path) -> String {
    changed(
        &format!(
            "The remote host has no key of a type it is known by ({ours}).\n\
             The types it has are {theirs}."
        ),
        path,
    )
}

fn changed(how: &str, path: &Path) -> String {
    let path = path.display();
    format!(
        "{RULE}\n\
         @    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n\
         {RULE}\n\
         IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\n\
         Someone could be eavesdropping on you right now (man-in-the-middle attack)!\n\
         It is also possible that a host key has just been changed.\n\
         {how}\n\
         Please contact your system administrator.\n\
         Add correct host key in {path} to get rid of this message.\n\
         {FAILED}"
    )
}

/// A key, or the authority of a certificate, that is taken from nobody: `place` says so.
pub(super) fn revoked(name: &str, key: &KeyData, place: &str) -> String {
    let (label, md5) = (label(key), md5(key));
    format!(
        "{RULE}\n\
         @             WARNING: REVOKED HOST KEY DETECTED!         @\n\
         {RULE}\n\
         The {label} host key for '{name}', or the authority that signed it, is marked as revoked\n\
         in {place}. This could mean that a stolen key is being used to impersonate this host.\n\
         The fingerprint of the key is\n\
         {md5}.\n\
         {FAILED}"
    )
}

/// The same, where any key is taken.
pub(super) fn revoked_taken(name: &str, key: &KeyData, found: &KnownLine) -> String {
    let (label, path, line) = (label(key), found.path.display(), found.number);
    format!("Warning: the {label} host key of '{name}' is revoked in {path}:{line}. {TAKEN}")
}

/// What the type of a key is called.
fn label(key: &KeyData) -> String {
    match key.algorithm() {
        Algorithm::Rsa { .. } => "RSA".to_owned(),
        Algorithm::Dsa => "DSA".to_owned(),
        Algorithm::Ecdsa { .. } => "ECDSA".to_owned(),
        other => other.to_string(),
    }
}

/// The fingerprint as OpenSSH used to write it.
fn md5(key: &KeyData) -> String {
    // Keys that were read can be written.
    let blob = PublicKey::from(key.clone()).to_bytes().unwrap_or_default();
    let pairs = md5::compute(blob).0.map(|byte| format!("{byte:02x}"));
    pairs.join(":")
}
