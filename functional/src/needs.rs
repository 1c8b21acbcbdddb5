//! What the lab needs of the machine, and the words for what is missing.

use std::path::Path;

use anyhow::{Result, ensure};

/// A file that must be there, and the Debian package that has it.
const FILES: [(&str, &str); 11] = [
    ("/usr/bin/etcd", "etcd-server"),
    ("/usr/bin/systemd-nspawn", "systemd-container"),
    ("/usr/lib/systemd/systemd", "systemd"),
    ("/usr/bin/dbus-daemon", "dbus"),
    ("/usr/lib/systemd/system/dbus.service", "dbus"),
    ("/usr/sbin/sshd", "openssh-server"),
    ("/usr/bin/ssh-keygen", "openssh-client"),
    ("/usr/sbin/nft", "nftables"),
    ("/usr/bin/nsenter", "util-linux"),
    ("/usr/lib/polkit-1/polkitd", "polkitd"),
    ("/usr/lib/systemd/user/dbus.socket", "dbus-user-session"),
];
/// Where `ip` may be.
const IP: [&str; 3] = ["/usr/sbin/ip", "/usr/bin/ip", "/sbin/ip"];

/// Checks that the lab can run here.
///
/// # Errors
/// When it can't: not root, or with the packages that are missing.
pub(crate) fn check() -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "the lab needs root: it makes namespaces");
    let missing = missing(|file| Path::new(file).exists());
    ensure!(missing.is_empty(), "missing Debian packages: {}", missing.join(" "));
    Ok(())
}

/// Returns the packages that have what the lab needs, each once.
pub(crate) fn packages() -> Vec<&'static str> {
    missing(|_| false)
}

fn missing(exists: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let mut packages: Vec<_> =
        FILES.iter().filter(|(file, _)| !exists(file)).map(|(_, package)| *package).collect();
    if !IP.iter().any(|file| exists(file)) {
        packages.push("iproute2");
    }
    packages.dedup();
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_package_is_named_once() {
        assert!(missing(|_| true).is_empty());
        let all = packages();
        assert_eq!(all.iter().filter(|package| **package == "dbus").count(), 1);
        assert_eq!(all.last(), Some(&"iproute2"));
        assert_eq!(missing(|file| !file.contains("nft")), ["nftables"]);
    }
}
