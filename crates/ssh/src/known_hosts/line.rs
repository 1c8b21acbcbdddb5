//! A line of known hosts (`ssh.md` 4.1).

use data_encoding::BASE64;
use russh::keys::{Algorithm, key::parse_public_key, ssh_key::public::KeyData};

use super::pattern::Hosts;

/// What a line says.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// In what sense.
    pub(crate) kind: Kind,
    /// Of which hosts.
    pub(crate) hosts: Hosts,
    /// About which key.
    pub(crate) key: KeyData,
}

/// What a line says about its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The host has it.
    Key,
    /// It signs certificates of hosts: `@cert-authority`.
    Authority,
    /// It is taken from nobody: `@revoked`.
    Revoked,
}

const INSUFFICIENT: &str = "bad format (insufficient fields)";
const NO_KEY: &str = "error parsing key: ssh: no key found";

/// Reads a line without its end. Empty lines and comments say nothing.
///
/// # Errors
/// What is wrong with it, in the words of a warning.
pub(super) fn parse(line: &[u8]) -> Result<Option<Entry>, &'static str> {
    let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_start();
    if line.is_empty() || line.starts_with(b"#") {
        return Ok(None);
    }
    let (kind, line) = match line.split_first() {
        Some((b'@', _)) => marker(line)?,
        _ => (Kind::Key, line),
    };
    let (hosts, rest) = field(line);
    if rest.is_empty() {
        return Err(INSUFFICIENT);
    }
    let hosts = Hosts::parse(hosts)?;
    // The type in front of the key isn't looked at: the one inside the key counts.
    let (_, rest) = field(rest);
    let key = parse_key(field(rest).0).ok_or(NO_KEY)?;
    Ok(Some(Entry { kind, hosts, key }))
}

fn marker(line: &[u8]) -> Result<(Kind, &[u8]), &'static str> {
    let (marker, rest) = field(line);
    match marker {
        b"@cert-authority" => Ok((Kind::Authority, rest)),
        b"@revoked" => Ok((Kind::Revoked, rest)),
        _ => Err("marker functionality not implemented"),
    }
}

/// Splits off the first field; the rest begins with the next one.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let end = line.iter().position(is_blank).unwrap_or(line.len());
    let (field, rest) = line.split_at(end);
    (field, rest.trim_ascii_start())
}

fn parse_key(base64: &[u8]) -> Option<KeyData> {
    let blob = BASE64.decode(base64).ok()?;
    let key = KeyData::from(parse_public_key(&blob).ok()?);
    let known = !matches!(key.algorithm(), Algorithm::Other(_));
    known.then_some(key)
}
