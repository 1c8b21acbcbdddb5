//! Where a server is: the text of `--endpoint`, checked once (`fleetctl.md` 3.1).

use std::{fmt, str::FromStr};

use std::net::IpAddr;

use fleet_net::Target;
use percent_encoding::percent_decode_str;
use url::{Host, ParseError, Url};

/// What the `Host` header says on a unix socket.
const UNIX_AUTHORITY: &str = "domain-sock";

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The text it was made of, without a trailing slash.
    text: String,
    target: Target,
    authority: String,
    /// What precedes `/fleet/v1` in the path: empty, or with a slash in front.
    base: String,
    tls: bool,
}

/// Why a text is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// It isn't a URL, for a reason.
    #[error("parse {text:?}: {reason}")]
    NoUrl {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It has no scheme.
    #[error("URL scheme undefined")]
    NoScheme,
    /// It has a scheme that means nothing here.
    #[error("unsupported protocol scheme {0:?}")]
    UnknownScheme(String),
    /// The path of a socket lacks its first slash.
    #[error("unable to connect to host {host:?} with scheme {scheme:?}")]
    HostOfSocket {
        /// What was taken for the host.
        host: String,
        /// The scheme.
        scheme: String,
    },
    /// A unix endpoint names no path.
    #[error("endpoint {0:?} names no socket")]
    NoSocket(String),
    /// It carries a user or a password.
    #[error("endpoint of host {0:?} must not carry a user or password")]
    Credentials(String),
}

impl Endpoint {
    /// What has to be connected to.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Whether what is sent there goes over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether it is on this machine, as far as its address says.
    #[must_use]
    pub fn is_near(&self) -> bool {
        match &self.target {
            Target::Unix(_) => true,
            Target::Tcp { host, .. } => {
                host == "localhost" || host.parse::<IpAddr>().is_ok_and(|host| host.is_loopback())
            }
        }
    }

    /// The scheme of what is spoken there.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The value of the `Host` header.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The request target for `path`, which starts with a slash.
    #[must_use]
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The address of a request target, for messages.
    #[must_use]
    pub fn url(&self, target: &str) -> String {
        match &self.target {
            Target::Unix(_) => format!("{}{target}", self.text),
            Target::Tcp { .. } => format!("{}://{}{target}", self.scheme(), self.authority),
        }
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let url = Url::parse(text).map_err(|error| no_url(text, error))?;
        match url.scheme() {
            "unix" | "file" => unix(text, &url),
            "http" | "https" => tcp(text, &url),
            other => Err(InvalidEndpoint::UnknownScheme(other.to_owned())),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn no_url(text: &str, error: ParseError) -> InvalidEndpoint {
    let reason = match error {
        ParseError::RelativeUrlWithoutBase if starts_with_colon_segment(text) => {
            "a scheme such as http:// is missing before the address".to_owned()
        }
        ParseError::RelativeUrlWithoutBase if text.contains('%') => "invalid URL escape".to_owned(),
        ParseError::RelativeUrlWithoutBase => return InvalidEndpoint::NoScheme,
        other => other.to_string(),
    };
    InvalidEndpoint::NoUrl { text: text.to_owned(), reason }
}

fn starts_with_colon_segment(text: &str) -> bool {
    text.split('/').next().is_some_and(|segment| segment.contains(':'))
}

fn unix(text: &str, url: &Url) -> Result<Endpoint, InvalidEndpoint> {
    if let Some(host) = url.host_str().filter(|host| !host.is_empty()) {
        let (host, scheme) = (host.to_owned(), url.scheme().to_owned());
        return Err(InvalidEndpoint::HostOfSocket { host, scheme });
    }
    let path = percent_decode_str(url.path())
        .decode_utf8()
        .map_err(|error| InvalidEndpoint::NoUrl {
            text: text.to_owned(),
            reason: error.to_string(),
        })?
        .into_owned();
    if !path.starts_with('/') || path == "/" {
        return Err(InvalidEndpoint::NoSocket(text.to_owned()));
    }
    Ok(Endpoint {
        text: text.to_owned(),
        target: Target::Unix(path.into()),
        authority: UNIX_AUTHORITY.to_owned(),
        base: String::new(),
        tls: false,
    })
}

fn tcp(text: &str, url: &Url) -> Result<Endpoint, InvalidEndpoint> {
    let host = match url.host() {
        Some(Host::Ipv6(address)) => address.to_string(),
        Some(host) => host.to_string(),
        None => String::new(),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidEndpoint::Credentials(host));
    }
    let Some(port) = url.port_or_known_default() else {
        return Err(InvalidEndpoint::NoUrl {
            text: text.to_owned(),
            reason: "port missing".into(),
        });
    };
    let shown = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let authority = url.port().map_or_else(|| shown.clone(), |port| format!("{shown}:{port}"));
    Ok(Endpoint {
        text: text.trim_end_matches('/').to_owned(),
        target: Target::Tcp { host, port },
        authority,
        base: url.path().trim_end_matches('/').to_owned(),
        tls: url.scheme() == "https",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Endpoint, InvalidEndpoint> {
        text.parse()
    }

    #[test]
    fn sockets_are_named_in_three_ways() {
        for text in ["unix:///run/f.sock", "unix:/run/f.sock", "file:///run/f.sock"] {
            let endpoint = parse(text).unwrap();
            assert_eq!(endpoint.target(), &Target::Unix("/run/f.sock".into()), "{text}");
            assert_eq!(endpoint.authority(), "domain-sock");
            assert_eq!(endpoint.path("/fleet/v1/units"), "/fleet/v1/units");
            assert_eq!(endpoint.url("/fleet/v1/units"), format!("{text}/fleet/v1/units"));
        }
        let endpoint = parse("unix:///run/a%20b.sock").unwrap();
        assert_eq!(endpoint.target(), &Target::Unix("/run/a b.sock".into()));
    }

    #[test]
    fn tcp_endpoints_may_have_a_base() {
        for (text, host, port, authority, path) in [
            ("http://h:81", "h", 81, "h:81", "/x"),
            ("http://h/", "h", 80, "h", "/x"),
            ("http://h:81/base/", "h", 81, "h:81", "/base/x"),
            ("http://[::1]:81/a/b", "::1", 81, "[::1]:81", "/a/b/x"),
        ] {
            let endpoint = parse(text).unwrap();
            assert_eq!(endpoint.target(), &Target::Tcp { host: host.into(), port }, "{text}");
            assert_eq!((endpoint.authority(), &*endpoint.path("/x")), (authority, path));
            assert_eq!(endpoint.url(&endpoint.path("/x")), format!("http://{authority}{path}"));
            assert!(!endpoint.is_tls());
        }
    }

    #[test]
    fn https_endpoints_are_tcp_endpoints_over_tls() {
        for (text, port, authority) in
            [("https://h", 443, "h"), ("https://h:443", 443, "h"), ("https://h:8/", 8, "h:8")]
        {
            let endpoint = parse(text).unwrap();
            assert_eq!(endpoint.target(), &Target::Tcp { host: "h".into(), port }, "{text}");
            assert!(endpoint.is_tls(), "{text}");
            assert_eq!(endpoint.url("/x"), format!("https://{authority}/x"), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused_at_once() {
        for (text, error) in [
            ("unix://var/run/x", r#"unable to connect to host "var" with scheme "unix""#),
            ("file://var/run/x", r#"unable to connect to host "var" with scheme "file""#),
            ("unix:", r#"endpoint "unix:" names no socket"#),
            ("unix:///", r#"endpoint "unix:///" names no socket"#),
            ("unix:run/x", r#"endpoint "unix:run/x" names no socket"#),
            ("", "URL scheme undefined"),
            ("foo", "URL scheme undefined"),
            ("/path", "URL scheme undefined"),
            ("localhost:49153", r#"unsupported protocol scheme "localhost""#),
            ("ftp://h/", r#"unsupported protocol scheme "ftp""#),
            ("http://u:p@h/", r#"endpoint of host "h" must not carry a user or password"#),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), error, "{text}");
        }
        for text in ["127.0.0.1:49153", "%zz", "http://[::1", "http://", "http://h:99999"] {
            assert!(matches!(parse(text), Err(InvalidEndpoint::NoUrl { .. })), "{text}");
        }
    }
}
