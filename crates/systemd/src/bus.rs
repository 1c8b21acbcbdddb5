//! Calls over the bus: bounded in time and in number, with errors sorted by what they mean.

use std::time::Duration;

use fleet_agent::manager::ManagerError;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::Semaphore, time};
use zbus::{Connection, DBusError, DynamicType, Message, Type};

use crate::{
    config::WakeSocket,
    interfaces::{BUS, SYSTEMD},
    nudge,
};

/// dbus-daemon refuses more than 128 replies pending on a connection (`units.md` 7.1).
const IN_FLIGHT: usize = 100;

/// Why a call has no result.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// systemd answered with an error.
    #[error("{text}")]
    Refused { name: String, text: String },
    /// The answer is not what the interface promises.
    #[error("{0}")]
    Malformed(String),
    /// There was no answer.
    #[error("{0}")]
    Unavailable(String),
}

impl CallError {
    /// systemd has no such unit in memory, or none at all.
    pub(crate) fn is_no_such_unit(&self) -> bool {
        self.is("org.freedesktop.systemd1.NoSuchUnit")
    }

    /// There is nothing to stop or to disable: no such unit, or one of a name that systemd doesn't
    /// take, its type being gone (`snapshot`, `busname`).
    pub(crate) fn is_no_possible_unit(&self) -> bool {
        self.is_no_such_unit()
            || self.is("org.freedesktop.DBus.Error.InvalidArgs")
            || self.is("org.freedesktop.systemd1.BadUnitSetting")
    }

    /// systemd is too old for the call.
    pub(crate) fn is_unknown_method(&self) -> bool {
        self.is("org.freedesktop.DBus.Error.UnknownMethod")
    }

    pub(crate) fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { name, .. } if name == wanted)
    }
}

impl From<CallError> for ManagerError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused { text, .. } | CallError::Malformed(text) => Self::Refused(text),
            CallError::Unavailable(text) => Self::Unavailable(text.into()),
        }
    }
}

/// Who may call, and how long it may take.
#[derive(Debug)]
pub(crate) struct Limits {
    in_flight: Semaphore,
    timeout: Duration,
    wake_socket: Option<WakeSocket>,
}

impl Limits {
    pub(crate) fn new(timeout: Duration, wake_socket: Option<WakeSocket>) -> Self {
        Self { in_flight: Semaphore::new(IN_FLIGHT), timeout, wake_socket }
    }

    /// Calls a method of systemd and reads its answer.
    pub(crate) async fn call<B, R>(
        &self,
        connection: &Connection,
        path: &str,
        interface: &str,
        member: &str,
        body: &B,
    ) -> Result<R, CallError>
    where
        B: Serialize + DynamicType + Sync,
        R: DeserializeOwned + Type,
    {
        let answer = async {
            let _permit = self.in_flight.acquire().await;
            connection.call_method(Some(SYSTEMD), path, Some(interface), member, body).await
        };
        let answer = nudge::await_answer(answer, || nudge::wake(self.wake_socket.as_ref()));
        let answer = time::timeout(self.timeout, answer).await;
        let reply = answer
            .map_err(|_| CallError::Unavailable(format!("{member}: no answer in time")))?
            .map_err(|error| sort(&error))?;
        read(&reply).map_err(|error| CallError::Malformed(format!("answer to {member}: {error}")))
    }
}

fn read<R: DeserializeOwned + Type>(reply: &Message) -> zbus::Result<R> {
    reply.body().deserialize()
}

fn sort(error: &zbus::Error) -> CallError {
    let (name, text) = match error {
        zbus::Error::MethodError(name, text, _) => {
            (name.to_string(), text.clone().unwrap_or_else(|| name.to_string()))
        }
        zbus::Error::FDO(error) => {
            let name = error.name().to_string();
            let text = error.description().map_or_else(|| name.clone(), str::to_owned);
            (name, text)
        }
        other => return CallError::Unavailable(other.to_string()),
    };
    if is_from_the_bus(&name) {
        CallError::Unavailable(text)
    } else {
        CallError::Refused { name, text }
    }
}

/// Errors that dbus-daemon makes when systemd itself gave no answer.
fn is_from_the_bus(name: &str) -> bool {
    let Some(kind) = name.strip_prefix(BUS).and_then(|rest| rest.strip_prefix(".Error.")) else {
        return false;
    };
    matches!(
        kind,
        "ServiceUnknown"
            | "NameHasNoOwner"
            | "NoReply"
            | "NoServer"
            | "NoNetwork"
            | "Timeout"
            | "TimedOut"
            | "Disconnected"
            | "LimitsExceeded"
            | "IOError"
    ) || kind.starts_with("Spawn.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_bus_are_told_from_those_of_systemd() {
        for (name, unavailable) in [
            ("org.freedesktop.DBus.Error.NoReply", true),
            ("org.freedesktop.DBus.Error.Spawn.ChildExited", true),
            ("org.freedesktop.DBus.Error.AccessDenied", false),
            ("org.freedesktop.DBus.Error.UnknownMethod", false),
            ("org.freedesktop.systemd1.NoSuchUnit", false),
        ] {
            assert_eq!(is_from_the_bus(name), unavailable, "{name}");
        }
    }

    #[test]
    fn errors_without_an_answer_are_unavailability() {
        let broken = zbus::Error::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert!(sort(&broken).is_unavailable());
        let gone = zbus::fdo::Error::ServiceUnknown("nobody".to_owned());
        assert!(sort(&zbus::Error::FDO(Box::new(gone))).is_unavailable());
        let old = zbus::fdo::Error::UnknownMethod("Unknown method X".to_owned());
        let old = sort(&zbus::Error::FDO(Box::new(old)));
        assert!(old.is_unknown_method());
        assert_eq!(old.to_string(), "Unknown method X");
    }
}
