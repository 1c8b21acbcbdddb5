//! How to reach etcd, and the checks that can be made before anything is sent.

use std::{fmt, time::Duration};

use fleet_core::error_text::carries_login;
use fleet_net::{Certificates, InvalidTls};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

/// How long a connection is silent before it is pinged.
///
/// Members count pings that come faster than every 5 s (`--grpc-keepalive-min-time`), or while
/// no stream is open, and hang up on the third; hence a little more, and only with streams open.
const PING_AFTER: Duration = Duration::from_secs(6);

/// How long the answer to a ping may take before the connection is dead.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// What a member may send ahead of one slow reader (a watch), and of all of them together, so
/// that some watches that are not being read can't hold up the calls beside them.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;

/// How to reach etcd (`fleetd.md` 9).
#[derive(Clone, Debug)]
pub struct EtcdConfig {
    /// The members' URLs, `http://host:port` or `https://host:port`.
    pub endpoints: Vec<String>,
    /// Whom to log in as.
    pub login: Option<Login>,
    /// Certificates for the endpoints that are `https`.
    pub tls: Certificates,
    /// How long a request to one endpoint may take.
    pub request_timeout: Duration,
}

/// A user of etcd's own authentication.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There has to be one endpoint at least.
    #[error("no etcd endpoint is given")]
    NoEndpoint,
    /// An endpoint carries a login. What it is isn't shown.
    #[error("an etcd endpoint must not carry a user or a password")]
    Credentials,
    /// An endpoint is no URL.
    #[error("etcd endpoint {0:?} is no URL")]
    Malformed(String, #[source] tonic::transport::Error),
    /// An endpoint is a URL of another kind.
    #[error("etcd endpoint {0:?} is neither http://host:port nor https://host:port")]
    UnknownScheme(String),
    /// Something is wrong with the certificates.
    #[error(transparent)]
    Tls(#[from] InvalidTls),
    /// The certificates can't be used.
    #[error("can't use the certificates for etcd endpoint {0:?}")]
    Certificates(String, #[source] tonic::transport::Error),
}

impl EtcdConfig {
    /// The endpoints, ready to be connected to.
    pub(crate) fn endpoints(&self) -> Result<Vec<Endpoint>, ConfigError> {
        if self.endpoints.is_empty() {
            return Err(ConfigError::NoEndpoint);
        }
        // Before any of them is shown: a comma in a password has made two of one.
        if self.endpoints.iter().any(|url| carries_login(url)) {
            return Err(ConfigError::Credentials);
        }
        self.endpoints.iter().map(|url| self.endpoint(url)).collect()
    }

    fn endpoint(&self, url: &str) -> Result<Endpoint, ConfigError> {
        let endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(|error| ConfigError::Malformed(url.to_owned(), error))?
            .connect_timeout(self.request_timeout)
            .http2_keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(false)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let has_host = endpoint.uri().host().is_some_and(|host| !host.is_empty());
        match endpoint.uri().scheme_str() {
            Some("http") if has_host => Ok(endpoint),
            Some("https") if has_host => endpoint
                .tls_config(tls_config(&self.tls)?)
                .map_err(|error| ConfigError::Certificates(url.to_owned(), error)),
            _ => Err(ConfigError::UnknownScheme(url.to_owned())),
        }
    }
}

/// Members are always verified: against the given authorities alone, else the system's.
fn tls_config(certificates: &Certificates) -> Result<ClientTlsConfig, InvalidTls> {
    // The library drops authorities that it can't parse.
    certificates.check()?;
    let Certificates { ca, certificate, key } = certificates;
    let config = match ca {
        None => ClientTlsConfig::new().with_native_roots(),
        Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
    };
    Ok(match certificate.as_ref().zip(key.as_ref()) {
        None => config,
        Some((certificate, key)) => config.identity(Identity::from_pem(certificate, key)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(endpoints: &[&str], tls: Certificates) -> EtcdConfig {
        EtcdConfig {
            endpoints: endpoints.iter().map(|&url| url.to_owned()).collect(),
            login: None,
            tls,
            request_timeout: Duration::from_secs(1),
        }
    }

    fn error(endpoints: &[&str], tls: Certificates) -> ConfigError {
        config(endpoints, tls).endpoints().expect_err("a bad configuration")
    }

    #[test]
    fn endpoints_are_urls_with_a_host() {
        let none = Certificates::default;
        assert!(matches!(error(&[], none()), ConfigError::NoEndpoint));
        for url in ["127.0.0.1:2379", "etcd", "ftp://127.0.0.1:2379", "/run/etcd", ""] {
            let error = error(&["http://127.0.0.1:2379", url], none());
            assert!(
                matches!(&error, ConfigError::UnknownScheme(named) | ConfigError::Malformed(named, _) if named == url),
                "{url}: {error:?}"
            );
        }
        let good = config(&["http://127.0.0.1:2379", "http://etcd", "http://[::1]:1"], none());
        assert_eq!(good.endpoints().unwrap().len(), 3);
    }

    #[test]
    fn logins_in_endpoints_are_refused_and_not_shown() {
        for endpoints in [
            &["http://alice:hidden@127.0.0.1:2379"][..],
            &["http://127.0.0.1:2379", "https://hidden@etcd"],
            &["alice:hid/den@etcd"],
            &["http://alice:hid", "den@etcd"],
            &["ftp://hid#den@etcd"],
        ] {
            let refused = error(endpoints, Certificates::default());
            let shown = format!("{refused} {refused:?}");
            assert!(matches!(refused, ConfigError::Credentials), "{shown}");
            assert!(!shown.contains("hid"), "{shown}");
        }
    }

    #[test]
    fn certificates_are_checked_where_they_are_used() {
        let ca = Some(b"garbage".to_vec());
        let tls = Certificates { ca, ..Certificates::default() };
        assert!(config(&["http://127.0.0.1:2379"], tls.clone()).endpoints().is_ok());
        let refused = error(&["https://127.0.0.1:2379"], tls);
        assert!(matches!(refused, ConfigError::Tls(InvalidTls::NoAuthority)), "{refused:?}");
    }

    #[test]
    fn secrets_are_not_shown() {
        let login = Login { user: "fleet".into(), password: "hidden".into() };
        let tls = Certificates { key: Some(b"hidden".to_vec()), ..Certificates::default() };
        let config = EtcdConfig { login: Some(login), ..config(&[], tls) };
        let shown = format!("{config:?}");
        assert!(shown.contains("fleet") && !shown.contains("hidden"), "{shown}");
    }
}
