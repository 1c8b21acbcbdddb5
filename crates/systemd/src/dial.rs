//! Opens a connection to systemd and asks it to tell what happens.

use std::{num::NonZeroUsize, path::PathBuf};

use fleet_core::error_text::plain;
use tokio::{net::UnixStream, time};
use zbus::{Connection, MessageStream, connection::Builder};

use crate::{
    config::{Config, ConnectError, Endpoint},
    interfaces::{BUS, MANAGER, MANAGER_PATH, PROPERTIES, SYSTEMD, UNIT},
    object_path,
    private::PrivateSocket,
};

/// Messages that may wait for the task that follows them. It never waits for anything else, so
/// this only absorbs bursts.
const QUEUED: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// An open connection.
pub(crate) struct Line {
    pub(crate) connection: Connection,
    /// Everything that arrives, in order. Whoever holds it must read it, or nothing arrives.
    pub(crate) messages: MessageStream,
    /// The major version of systemd.
    pub(crate) version: u32,
    /// The directories that it reads units from.
    pub(crate) unit_path: Vec<PathBuf>,
    pub(crate) endpoint: Endpoint,
}

/// Tries the endpoints in order; the error is that of the last.
pub(crate) async fn dial(config: &Config) -> Result<Line, ConnectError> {
    let mut failure = ConnectError::NoBus;
    for endpoint in &config.endpoints {
        let attempt = time::timeout(config.call_timeout, dial_one(endpoint));
        let refused = |reason| ConnectError::Dial { endpoint: endpoint.clone(), reason };
        match attempt.await.unwrap_or_else(|_| Err(refused("no answer in time".to_owned()))) {
            Ok(line) => return Ok(line),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn dial_one(endpoint: &Endpoint) -> Result<Line, ConnectError> {
    let connection = connect(endpoint).await.map_err(|error| ConnectError::Dial {
        endpoint: endpoint.clone(),
        reason: dial_reason(&error),
    })?;
    let messages = MessageStream::from(&connection);
    let subscribed = subscribe(&connection, endpoint.private).await;
    let (version, unit_path) = subscribed.map_err(|error| ConnectError::Subscribe {
        endpoint: endpoint.clone(),
        reason: error.to_string(),
    })?;
    Ok(Line { connection, messages, version, unit_path, endpoint: endpoint.clone() })
}

async fn connect(endpoint: &Endpoint) -> zbus::Result<Connection> {
    let builder = match endpoint.address.strip_prefix("unix:path=") {
        Some(path) if endpoint.private => {
            Builder::socket(PrivateSocket(UnixStream::connect(path).await?)).p2p()
        }
        _ => Builder::address(endpoint.address.as_str()),
    };
    builder.max_queued(QUEUED).build().await
}

/// Asks for the signals that `signals` reads, for the version, and for the directories of units.
async fn subscribe(connection: &Connection, private: bool) -> zbus::Result<(u32, Vec<PathBuf>)> {
    if !private {
        for rule in match_rules() {
            connection.call_method(Some(BUS), "/", Some(BUS), "AddMatch", &rule).await?;
        }
    }
    let manager = (Some(SYSTEMD), MANAGER_PATH);
    connection.call_method(manager.0, manager.1, Some(MANAGER), "Subscribe", &()).await?;
    let version = property(connection, "Version").await?;
    let unit_path = Vec::<String>::try_from(property(connection, "UnitPath").await?)?;
    let unit_path = unit_path.into_iter().map(PathBuf::from).collect();
    Ok((parse_version(<&str>::try_from(&version)?), unit_path))
}

/// A property of the service manager itself.
async fn property(connection: &Connection, name: &str) -> zbus::Result<zbus::OwnedVariant> {
    let question = (MANAGER, name);
    let reply =
        connection.call_method(Some(SYSTEMD), MANAGER_PATH, Some(PROPERTIES), "Get", &question);
    reply.await?.body().deserialize()
}

/// The first argument of `PropertiesChanged` is the interface: active and sub state are
/// properties of `Unit`, so half of the signals stay away.
fn match_rules() -> [String; 3] {
    [
        format!("type='signal',sender='{SYSTEMD}',path='{MANAGER_PATH}',interface='{MANAGER}'"),
        format!(
            "type='signal',sender='{SYSTEMD}',path_namespace='{}',interface='{PROPERTIES}',\
             member='PropertiesChanged',arg0='{UNIT}'",
            object_path::UNITS
        ),
        format!(
            "type='signal',sender='{BUS}',interface='{BUS}',member='NameOwnerChanged',\
             arg0='{SYSTEMD}'"
        ),
    ]
}

/// Reads `252.39-1~deb12u2`, `v246` or `systemd 219`; 0 when there is no number, which is
/// the careful answer: old versions need more reloads.
fn parse_version(text: &str) -> u32 {
    let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(0)
}

fn dial_reason(error: &zbus::Error) -> String {
    match error {
        zbus::Error::InputOutput(error) | zbus::Error::Connection(error, _) => {
            format!("connect: {}", plain(error))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Journal, config::Bus};

    #[test]
    fn versions_are_read_from_whatever_systemd_calls_itself() {
        for (text, version) in
            [("252.39-1~deb12u2", 252), ("v246", 246), ("systemd 219", 219), ("?", 0), ("", 0)]
        {
            assert_eq!(parse_version(text), version, "{text}");
        }
    }

    #[tokio::test]
    async fn missing_sockets_are_named_by_the_last_attempt() {
        let missing = |address: &str, private| Endpoint { address: address.to_owned(), private };
        let endpoints = vec![
            missing("unix:path=/nonexistent/bus", false),
            missing("unix:path=/nonexistent/private", true),
        ];
        let config = Config {
            endpoints,
            units_directory: "/nonexistent".into(),
            call_timeout: Duration::from_secs(5),
            root: "/".into(),
            wake_socket: None,
            journal: Journal::new(Bus::System),
        };
        let error = dial(&config).await.map(|_| ()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "dial unix /nonexistent/private: connect: no such file or directory"
        );
    }
}
