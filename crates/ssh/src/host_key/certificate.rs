//! Certificates of hosts, by the rules of OpenSSH (`PROTOCOL.certkeys`).

use russh::keys::{Algorithm, Certificate, ssh_key::certificate::CertType};

/// Checks that a certificate is good for the host `principal` at `now`, in seconds since 1970.
/// Whether its authority is one is for the caller to know.
///
/// # Errors
/// Why not, in OpenSSH's words.
pub(super) fn check(
    certificate: &Certificate,
    principal: &str,
    now: u64,
) -> Result<(), &'static str> {
    let principals = certificate.valid_principals();
    if certificate.cert_type() != CertType::Host {
        Err("Certificate invalid: not a host certificate")
    } else if now < certificate.valid_after() {
        Err("Certificate invalid: not yet valid")
    } else if now >= certificate.valid_before() {
        Err("Certificate invalid: expired")
    } else if !principals.is_empty() && !principals.iter().any(|name| name == principal) {
        // An empty list is for any host.
        Err("Certificate invalid: name is not a listed principal")
    } else if !certificate.critical_options().is_empty() {
        Err("Certificate contains unsupported critical options")
    } else if is_weak(&certificate.signature().algorithm()) {
        Err("Certificate signed with disallowed algorithm")
    } else {
        certificate.verify_signature().map_err(|_| "Certificate invalid: wrong signature")
    }
}

/// Whether anybody may be able to make such a signature: it is over a SHA-1 sum.
fn is_weak(algorithm: &Algorithm) -> bool {
    matches!(algorithm, Algorithm::Rsa { hash: None } | Algorithm::Dsa)
}
