//! Which systemd to talk to, and why that may fail (`units.md` 7.1, `fleetd.md` 6).

use std::{fmt, path::PathBuf, time::Duration};

use crate::Journal;

/// The address of the system bus when nothing else is said.
const SYSTEM_BUS: &str = "unix:path=/var/run/dbus/system_bus_socket";
/// Where systemd itself listens for root.
const PRIVATE_SOCKET: &str = "unix:path=/run/systemd/private";
/// How long systemd may take to answer a call (`units.md` 7.1: 25 to 30 s).
const CALL_TIMEOUT: Duration = Duration::from_secs(25);

/// The service manager to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bus {
    /// The machine's.
    System,
    /// The user's (`systemd_user=true`).
    User,
}

/// One place where systemd may be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A D-Bus address.
    pub address: String,
    /// Whether systemd itself listens there, with no bus between.
    pub private: bool,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address.strip_prefix("unix:path=") {
            Some(path) => write!(f, "unix {path}"),
            None => f.write_str(&self.address),
        }
    }
}

/// How to reach systemd, and where fleet's unit files are.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to try, in this order.
    pub endpoints: Vec<Endpoint>,
    /// Where fleet writes its unit files (`units_directory`).
    pub units_directory: PathBuf,
    /// The longest wait for the answer to one call.
    pub call_timeout: Duration,
    /// What is before the paths of systemd's directories, seen from this process: `/` but in tests.
    pub root: PathBuf,
    /// What wakes systemd when it sleeps over its work, where there is anything.
    pub wake_socket: Option<WakeSocket>,
    /// Where systemd writes what it does.
    pub journal: Journal,
}

/// A way to systemd that isn't its bus: while it sleeps over messages of its bus, those that follow
/// don't wake it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WakeSocket {
    /// A socket to connect to, and no more: the one where systemd itself listens.
    Connect(PathBuf),
    /// A socket to write to: where a service tells how it is doing (sd_notify(3)).
    Notify(PathBuf),
}

impl Config {
    /// The endpoints of `bus` as the environment says, and root's way round the system bus.
    ///
    /// # Errors
    /// [`ConnectError::NoBus`] when the environment names no bus of the user.
    pub fn new(
        bus: Bus,
        units_directory: PathBuf,
        is_root: bool,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConnectError> {
        let wake_socket = wake_socket(bus, is_root, &environment);
        let endpoints = match bus {
            Bus::System => system_endpoints(is_root, environment),
            Bus::User => user_endpoints(environment)?,
        };
        let (root, journal) = (PathBuf::from("/"), Journal::new(bus));
        Ok(Self {
            endpoints,
            units_directory,
            call_timeout: CALL_TIMEOUT,
            root,
            wake_socket,
            journal,
        })
    }
}

/// A service has a socket where saying nothing is no news. The private socket lets only its owner
/// in, and systemd logs that somebody came and went.
fn wake_socket(
    bus: Bus,
    is_root: bool,
    environment: impl Fn(&str) -> Option<String>,
) -> Option<WakeSocket> {
    let path = |name| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let (service, session) = (path("NOTIFY_SOCKET"), path("XDG_RUNTIME_DIR"));
    match bus {
        Bus::System => service
            .map(WakeSocket::Notify)
            .or_else(|| is_root.then(|| WakeSocket::Connect("/run/systemd/private".into()))),
        Bus::User => {
            // A service of the machine's systemd can't speak to the user's this way.
            let session = session?;
            let service = service.filter(|socket| socket.starts_with(&session));
            Some(service.map_or_else(
                || WakeSocket::Connect(session.join("systemd/private")),
                WakeSocket::Notify,
            ))
        }
    }
}

fn system_endpoints(is_root: bool, environment: impl Fn(&str) -> Option<String>) -> Vec<Endpoint> {
    let mut endpoints = bus_endpoints(&environment("DBUS_SYSTEM_BUS_ADDRESS").unwrap_or_default());
    if endpoints.is_empty() {
        endpoints = bus_endpoints(SYSTEM_BUS);
    }
    if is_root {
        endpoints.push(Endpoint { address: PRIVATE_SOCKET.to_owned(), private: true });
    }
    endpoints
}

/// The original ran `dbus-launch` where no bus is named. A bus launched so has no systemd on it,
/// so this looks where the user's systemd does put one.
fn user_endpoints(
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Vec<Endpoint>, ConnectError> {
    let set = |name| environment(name).filter(|value| !value.is_empty());
    let address = set("DBUS_SESSION_BUS_ADDRESS")
        .filter(|address| address != "autolaunch:")
        .or_else(|| set("XDG_RUNTIME_DIR").map(|folder| format!("unix:path={folder}/bus")))
        .ok_or(ConnectError::NoBus)?;
    Ok(bus_endpoints(&address))
}

/// A D-Bus address may list several, separated by semicolons.
fn bus_endpoints(addresses: &str) -> Vec<Endpoint> {
    let addresses = addresses.split(';').filter(|address| !address.is_empty());
    addresses.map(|address| Endpoint { address: address.to_owned(), private: false }).collect()
}

/// Why there is no connection to systemd.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The units directory could not be made.
    #[error("mkdir {}: {reason}", .path.display())]
    Directory {
        /// The units directory.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The environment names no bus of the user.
    #[error("no session bus: neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR names one")]
    NoBus,
    /// Nobody answered at the last endpoint tried.
    #[error("dial {endpoint}: {reason}")]
    Dial {
        /// Where.
        endpoint: Endpoint,
        /// What went wrong.
        reason: String,
    },
    /// There is a bus, but systemd isn't on it or doesn't want us.
    #[error("subscribe to systemd at {endpoint}: {reason}")]
    Subscribe {
        /// Where.
        endpoint: Endpoint,
        /// What was answered.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(bus: Bus, is_root: bool, set: &[(&str, &str)]) -> Option<Vec<String>> {
        let environment = |name: &str| {
            let found = set.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let config = Config::new(bus, "/run/fleet/units".into(), is_root, environment).ok()?;
        Some(config.endpoints.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn there_is_a_bell_beside_the_bus() {
        let connect = |path: &str| Some(WakeSocket::Connect(path.into()));
        let notify = |path: &str| Some(WakeSocket::Notify(path.into()));
        let (session, of_user) = ("/run/user/7", "/run/user/7/systemd/notify");
        for (bus, is_root, service, expected) in [
            (Bus::System, true, "", connect("/run/systemd/private")),
            (Bus::System, true, "/run/notify", notify("/run/notify")),
            (Bus::System, false, "", None),
            (Bus::System, false, "/run/notify", notify("/run/notify")),
            (Bus::User, false, "", connect("/run/user/7/systemd/private")),
            (Bus::User, false, "/run/notify", connect("/run/user/7/systemd/private")),
            (Bus::User, false, of_user, notify(of_user)),
        ] {
            let environment = |name: &str| match name {
                "NOTIFY_SOCKET" => Some(service.to_owned()),
                "XDG_RUNTIME_DIR" => Some(session.to_owned()),
                _ => None,
            };
            assert_eq!(
                wake_socket(bus, is_root, environment),
                expected,
                "{bus:?} {is_root} {service:?}"
            );
        }
        assert_eq!(wake_socket(Bus::User, false, |_| None), None);
    }

    #[test]
    fn endpoints_follow_the_environment() {
        const SYSTEM: &str = "DBUS_SYSTEM_BUS_ADDRESS";
        const SESSION: &str = "DBUS_SESSION_BUS_ADDRESS";
        const RUNTIME: &str = "XDG_RUNTIME_DIR";
        type Case<'a> = (Bus, bool, &'a [(&'a str, &'a str)], Option<&'a [&'a str]>);
        let cases: &[Case<'_>] = &[
            (Bus::System, false, &[], Some(&["unix /var/run/dbus/system_bus_socket"])),
            (Bus::System, false, &[(SYSTEM, "")], Some(&["unix /var/run/dbus/system_bus_socket"])),
            (
                Bus::System,
                true,
                &[(SYSTEM, "unix:path=/a;tcp:host=x,port=1")],
                Some(&["unix /a", "tcp:host=x,port=1", "unix /run/systemd/private"]),
            ),
            (Bus::User, true, &[(SESSION, "unix:path=/b")], Some(&["unix /b"])),
            (
                Bus::User,
                true,
                &[(SESSION, "autolaunch:"), (RUNTIME, "/run/user/7")],
                Some(&["unix /run/user/7/bus"]),
            ),
            (Bus::User, true, &[], None),
        ];
        for (bus, is_root, set, expected) in cases {
            let expected =
                expected.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(addresses(*bus, *is_root, set), expected, "{bus:?} {set:?}");
        }
    }
}
