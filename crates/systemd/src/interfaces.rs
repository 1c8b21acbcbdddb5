//! What systemd and the bus call themselves, and their interfaces.

/// The bus daemon: its name and its interface.
pub(crate) const BUS: &str = "org.freedesktop.DBus";
/// systemd's name on the bus.
pub(crate) const SYSTEMD: &str = "org.freedesktop.systemd1";
/// The object that is the service manager.
pub(crate) const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
/// Its interface.
pub(crate) const MANAGER: &str = "org.freedesktop.systemd1.Manager";
/// The interface of units of every type.
pub(crate) const UNIT: &str = "org.freedesktop.systemd1.Unit";
/// The interface of jobs.
pub(crate) const JOB: &str = "org.freedesktop.systemd1.Job";
/// The interface for reading properties.
pub(crate) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// The interface of everybody on a bus.
pub(crate) const PEER: &str = "org.freedesktop.DBus.Peer";
