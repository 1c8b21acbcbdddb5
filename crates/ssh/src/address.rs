//! Where an SSH server is (`ssh.md` 2.1, 4.2).

use std::{
    fmt,
    net::{Ipv6Addr, SocketAddr},
};

use fleet_core::error_text::tame_stranger;

/// SSH's port.
pub(crate) const PORT: u16 = 22;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// A name, or an IP address; IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("address {text}: {reason}")]
pub struct InvalidAddress {
    text: String,
    reason: &'static str,
}

impl Address {
    /// Reads `host`, `host:port`, `[host]`, `[host]:port` or a bare IPv6 address.
    ///
    /// # Errors
    /// Text without a host, with a port that is no number, with brackets that don't fit, or with
    /// a character that no host has and that would spoil a line of known hosts.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, InvalidAddress> {
        split(text)
            .and_then(|(host, port)| {
                check_host(host)?;
                let port = port.map_or(Ok(default_port), parse_port)?;
                Ok(Self { host: host.to_owned(), port })
            })
            .map_err(|reason| InvalidAddress { text: tame_stranger(text), reason })
    }

    /// Returns the name that known hosts have for it: the bare host on SSH's port, otherwise
    /// `[host]:port`; IPv6 always has brackets (`ssh.md` 4.2).
    #[must_use]
    pub fn known_as(&self) -> String {
        match self.port {
            // Port 0 counts as none given.
            0 | PORT if self.host.contains(':') => format!("[{}]", self.host),
            0 | PORT => self.host.clone(),
            port => format!("[{}]:{port}", self.host),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let host = match address {
            // The same link-local address is another host on another link.
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            SocketAddr::V4(_) | SocketAddr::V6(_) => address.ip().to_string(),
        };
        Self { host, port: address.port() }
    }
}

/// Splits `user@rest`. The last `@` counts, as in OpenSSH. An empty user stays in the rest, which
/// is then no address.
pub(crate) fn split_user(text: &str) -> (Option<&str>, &str) {
    match text.rsplit_once('@') {
        Some((user, rest)) if !user.is_empty() => (Some(user), rest),
        Some(_) | None => (None, text),
    }
}

/// Splits host and port, if there is one.
fn split(text: &str) -> Result<(&str, Option<&str>), &'static str> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("missing ']' in address")?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err("unexpected text after ']' in address"),
        };
    }
    match text.split_once(':') {
        None => Ok((text, None)),
        Some(_) if is_ipv6(text) => Ok((text, None)),
        Some((host, port)) if !port.contains(':') => Ok((host, Some(port))),
        Some(_) => Err("too many colons in address"),
    }
}

fn check_host(host: &str) -> Result<(), &'static str> {
    // What ends a name, or means something else, in a list of known hosts.
    let spoils = |c: char| c.is_whitespace() || c.is_control() || ",*?!|#@[]/\\\"'".contains(c);
    if host.is_empty() {
        Err("missing host in address")
    } else if host.contains(spoils) {
        Err("invalid character in host name")
    } else if host.contains(':') && !is_ipv6(host) {
        Err("too many colons in address")
    } else {
        Ok(())
    }
}

/// Whether `text` is an IPv6 address, with or without a zone.
fn is_ipv6(text: &str) -> bool {
    let (ip, zone) = text.split_once('%').unwrap_or((text, "none"));
    ip.parse::<Ipv6Addr>().is_ok() && !zone.is_empty() && !zone.contains(':')
}

fn parse_port(text: &str) -> Result<u16, &'static str> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("invalid port");
    }
    text.parse().map_err(|_| "invalid port")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str, port: u16) -> Address {
        Address { host: host.to_owned(), port }
    }

    #[test]
    fn addresses_are_read() {
        for (text, host, port) in [
            ("10.0.0.1", "10.0.0.1", 22),
            ("host", "host", 22),
            ("10.0.0.1:2222", "10.0.0.1", 2222),
            ("host:2222", "host", 2222),
            ("[::1]:22", "::1", 22),
            ("[::1]:2022", "::1", 2022),
            ("::1", "::1", 22),
            ("[::1]", "::1", 22),
            ("2001:db8::1", "2001:db8::1", 22),
            ("fe80::1%eth0", "fe80::1%eth0", 22),
            ("[fe80::1%eth0]:2022", "fe80::1%eth0", 2022),
            ("[host]:2222", "host", 2222),
            ("[host]", "host", 22),
            ("127.0.0.1:0", "127.0.0.1", 0),
        ] {
            assert_eq!(Address::parse(text, 22), Ok(address(host, port)), "{text}");
        }
        assert_eq!(Address::parse("host", 2022), Ok(address("host", 2022)));
        assert_eq!(Address::parse("host:22", 2022), Ok(address("host", 22)));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (text, reason) in [
            ("", "missing host in address"),
            (":22", "missing host in address"),
            ("[]:22", "missing host in address"),
            ("12:12:12", "too many colons in address"),
            ("foobar:baz", "invalid port"),
            ("host:", "invalid port"),
            ("host:+22", "invalid port"),
            ("host:65536", "invalid port"),
            ("[12:323", "missing ']' in address"),
            ("[127.0.0.1:]", "too many colons in address"),
            ("[::1]22", "unexpected text after ']' in address"),
            ("::1%", "too many colons in address"),
            ("a b", "invalid character in host name"),
            ("a,b", "invalid character in host name"),
            ("*", "invalid character in host name"),
            ("root@host", "invalid character in host name"),
        ] {
            let error = Address::parse(text, 22).unwrap_err();
            assert_eq!(error.to_string(), format!("address {text}: {reason}"));
        }
    }

    #[test]
    fn what_is_no_address_does_nothing_to_the_terminal() {
        let error = Address::parse("a\x1b[2J\x07\nb\u{9b}", 22).unwrap_err();
        assert_eq!(error.to_string(), "address a[2Jb: invalid character in host name");
    }

    #[test]
    fn known_hosts_have_their_own_names() {
        for (text, name) in [
            ("foo.com", "foo.com"),
            ("foo.com:22", "foo.com"),
            ("127.0.0.1:22", "127.0.0.1"),
            ("127.0.0.1:0", "127.0.0.1"),
            ("foo.com:2222", "[foo.com]:2222"),
            ("127.0.0.1:12345", "[127.0.0.1]:12345"),
            ("[::1]:22", "[::1]"),
            ("[2001:db8::1]:12345", "[2001:db8::1]:12345"),
        ] {
            assert_eq!(Address::parse(text, 22).unwrap().known_as(), name, "{text}");
        }
    }

    #[test]
    fn addresses_are_written_so_that_they_can_be_read() {
        for text in ["host:22", "127.0.0.1:2222", "[::1]:22", "[fe80::1%eth0]:1"] {
            assert_eq!(Address::parse(text, 22).unwrap().to_string(), text);
        }
    }

    #[test]
    fn socket_addresses_keep_their_zone() {
        let link_local = "[fe80::1%3]:22".parse::<SocketAddr>().unwrap();
        assert_eq!(Address::from(link_local), address("fe80::1%3", 22));
        let v4 = "10.0.0.1:2222".parse::<SocketAddr>().unwrap();
        assert_eq!(Address::from(v4), address("10.0.0.1", 2222));
    }

    #[test]
    fn the_user_is_taken_off() {
        for (text, parts) in [
            ("host:22", (None, "host:22")),
            ("root@host", (Some("root"), "host")),
            ("a@b@[::1]:22", (Some("a@b"), "[::1]:22")),
            ("@host", (None, "@host")),
        ] {
            assert_eq!(split_user(text), parts, "{text}");
        }
    }
}
