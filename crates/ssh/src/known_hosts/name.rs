//! What a host is called in known hosts (`ssh.md` 4.2, 4.4).

use crate::Address;

/// The names of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// What its keys are looked for under: what was typed and where it is, as fleet and as OpenSSH
    /// write them.
    pub(crate) keys: Vec<String>,
    /// What authorities are looked for under, as OpenSSH does: what was typed, also without its
    /// port.
    pub(crate) authorities: Vec<String>,
    /// What revoked keys are looked for under: all of these, also without their port.
    pub(crate) revoked: Vec<String>,
    /// What it is added as and asked about under: where it is.
    pub(crate) stored: String,
    /// The name that a certificate must be for: what was typed, without its port.
    pub(crate) principal: String,
}

impl Names {
    /// Returns the names of the host `typed` that is at `remote`.
    pub(crate) fn of(typed: &Address, remote: &Address) -> Self {
        let keys = joined([forms(typed), forms(remote)]);
        let authorities = joined([forms(typed), forms(&without_port(typed))]);
        let without_ports = [forms(&without_port(typed)), forms(&without_port(remote))];
        let revoked = joined([keys.clone(), joined(without_ports)]);
        let principal = typed.host.to_ascii_lowercase();
        Self { keys, authorities, revoked, stored: remote.known_as(), principal }
    }
}

/// The forms of one address. OpenSSH writes IPv6 without brackets when there is no port.
fn forms(address: &Address) -> Vec<String> {
    let name = address.known_as();
    let bare = name.ends_with(']').then(|| address.host.clone());
    [Some(name), bare].into_iter().flatten().collect()
}

fn without_port(address: &Address) -> Address {
    Address { host: address.host.clone(), port: crate::address::PORT }
}

/// Both lists, each name once, in their order.
fn joined([mut names, more]: [Vec<String>; 2]) -> Vec<String> {
    for name in more {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(typed: &str, remote: &str) -> Names {
        Names::of(&Address::parse(typed, 22).unwrap(), &Address::parse(remote, 22).unwrap())
    }

    #[test]
    fn a_host_is_known_by_name_and_by_address() {
        let names = names("Core-1", "10.0.0.1");
        assert_eq!(names.keys, ["Core-1", "10.0.0.1"]);
        assert_eq!(names.authorities, ["Core-1"]);
        assert_eq!(names.revoked, ["Core-1", "10.0.0.1"]);
        assert_eq!((&*names.stored, &*names.principal), ("10.0.0.1", "core-1"));
    }

    #[test]
    fn a_port_belongs_to_the_name() {
        let names = names("core-1:2222", "10.0.0.1:2222");
        assert_eq!(names.keys, ["[core-1]:2222", "[10.0.0.1]:2222"]);
        assert_eq!(names.authorities, ["[core-1]:2222", "core-1"]);
        assert_eq!(names.revoked, ["[core-1]:2222", "[10.0.0.1]:2222", "core-1", "10.0.0.1"]);
        assert_eq!(names.stored, "[10.0.0.1]:2222");
    }

    #[test]
    fn ipv6_has_two_forms() {
        assert_eq!(names("::1", "::1").keys, ["[::1]", "::1"]);
        assert_eq!(names("[::1]:2222", "[::1]:2222").keys, ["[::1]:2222"]);
    }
}
