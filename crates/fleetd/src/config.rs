//! The configuration: layers of raw values (file, environment), and the complete, parsed
//! [`Config`] they make. Everything is checked here, before anything is opened.

mod ini;
mod source;
mod value;

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use fleet_core::{
    error_text::{carries_login, plain},
    literal,
};
use fleet_etcd::Login;
use fleet_net::{Certificates, InvalidTls};
use fleet_registry::Keys;

pub(crate) use source::{ConfigError, Layers, load};

/// The name of every option, as in the file; the environment has `FLEET_` + upper case.
pub(crate) const OPTIONS: [&str; 27] = [
    "agent_ttl",
    "api_hosts",
    "api_listen",
    "authorized_keys_file",
    "disable_engine",
    "disable_watches",
    "enable_grpc",
    "engine_reconcile_interval",
    "etcd_cafile",
    "etcd_certfile",
    "etcd_checks",
    "etcd_key_prefix",
    "etcd_keyfile",
    "etcd_password",
    "etcd_request_timeout",
    "etcd_servers",
    "etcd_size_warning",
    "etcd_username",
    "metadata",
    "public_ip",
    "purge_on_shutdown",
    "runtime_directory",
    "systemd_user",
    "token_limit",
    "units_directory",
    "verbosity",
    "verify_units",
];

/// The default of `etcd_servers`, less the port that etcd gave up long ago.
const ETCD_SERVERS: &str = "http://127.0.0.1:2379";
const NO_LOGIN_HERE: &str = "an endpoint must not carry a user or a password, \
                             etcd_username and etcd_password are for them";
const KEY_PREFIX: &str = "/_coreos.com/fleet/";
const UNITS_DIRECTORY: &str = "/run/fleet/units/";
const RUNTIME_DIRECTORY: &str = "/run/fleet/instance/";
const API_LISTEN: &str = "unix:///var/run/fleet.sock";

/// The whole configuration, ready for use.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Whether DEBUG lines are logged.
    pub(crate) debug: bool,
    pub(crate) etcd: Etcd,
    pub(crate) keys: Keys,
    /// Whether the leader looks after etcd.
    pub(crate) etcd_checks: bool,
    /// The size of its database in bytes that the leader warns of; 0 is none.
    pub(crate) etcd_size_warning: u64,
    /// The engine's period; its lease lives five times as long.
    pub(crate) engine_reconcile_interval: Duration,
    pub(crate) disable_engine: bool,
    /// Look at the registry by period only.
    pub(crate) disable_watches: bool,
    /// The published address; `None` to detect it.
    pub(crate) public_ip: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) agent_ttl: Duration,
    pub(crate) units_directory: PathBuf,
    /// What a fleetd remembers across its restarts, gone with a reboot.
    pub(crate) runtime_directory: PathBuf,
    pub(crate) systemd_user: bool,
    /// Items on a page of the API.
    pub(crate) token_limit: u16,
    /// Names that this machine is called over TCP besides its own, in lower case.
    pub(crate) api_hosts: Vec<String>,
    /// Where the API listens when no sockets are inherited.
    pub(crate) api_listen: Vec<Listen>,
    /// Whether TERM stops and unloads this machine's units.
    pub(crate) purge_on_shutdown: bool,
}

impl Config {
    /// Takes over from `old` what can't change while fleetd runs, and returns the options that
    /// would have.
    pub(crate) fn keep_what_is_fixed(&mut self, old: &Self) -> Vec<&'static str> {
        fn keep<T: PartialEq + Clone>(new: &mut T, old: &T) -> bool {
            let differs = new != old;
            new.clone_from(old);
            differs
        }
        let fixed = [
            ("api_listen", keep(&mut self.api_listen, &old.api_listen)),
            ("etcd_key_prefix", keep(&mut self.keys, &old.keys)),
            ("runtime_directory", keep(&mut self.runtime_directory, &old.runtime_directory)),
            ("systemd_user", keep(&mut self.systemd_user, &old.systemd_user)),
            ("units_directory", keep(&mut self.units_directory, &old.units_directory)),
        ];
        fixed.into_iter().filter_map(|(option, differs)| differs.then_some(option)).collect()
    }
}

/// How to reach etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Etcd {
    pub(crate) servers: Vec<String>,
    pub(crate) login: Option<Login>,
    /// Read and checked, whether an endpoint is https or not: who names certificates means them.
    pub(crate) tls: Certificates,
    /// The limit of every request.
    pub(crate) request_timeout: Duration,
}

/// One address of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    Unix(PathBuf),
    Tcp(std::net::SocketAddr),
}

/// Makes the configuration of its layers. Warnings are for the log.
pub(crate) fn build(layers: &Layers) -> Result<(Config, Vec<String>), ConfigError> {
    let mut warnings = layers.oddities();
    if layers.flag("enable_grpc", false)? {
        warnings.push("Config option enable_grpc is no longer needed - ignoring".to_owned());
    }
    let (metadata, dropped) = value::parse_metadata(&layers.text("metadata", ""));
    warnings
        .extend(dropped.iter().map(|piece| format!("metadata without a key dropped: {piece:?}")));
    warnings.extend(open_secrets(layers));
    let config = Config {
        debug: layers.verbosity()? > 0,
        etcd: etcd(layers)?,
        keys: layers.with("etcd_key_prefix", KEY_PREFIX, |text| {
            Keys::new(text).map_err(|error| error.to_string())
        })?,
        etcd_checks: layers.flag("etcd_checks", true)?,
        etcd_size_warning: layers.with("etcd_size_warning", "1536", |text| {
            let mib = literal::integer(text).and_then(|mib| u64::try_from(mib).ok());
            mib.and_then(|mib| mib.checked_mul(1 << 20)).ok_or_else(|| {
                format!("invalid value {text:?}: must be a number of MiB, 0 for none")
            })
        })?,
        engine_reconcile_interval: layers.seconds("engine_reconcile_interval", "2.0")?,
        disable_engine: layers.flag("disable_engine", false)?,
        disable_watches: layers.flag("disable_watches", false)?,
        public_ip: Some(layers.text("public_ip", "")).filter(|ip| !ip.is_empty()),
        metadata,
        agent_ttl: layers.ttl("agent_ttl", "30s")?,
        units_directory: layers.path("units_directory", UNITS_DIRECTORY)?,
        runtime_directory: layers.path("runtime_directory", RUNTIME_DIRECTORY)?,
        systemd_user: layers.flag("systemd_user", false)?,
        token_limit: layers.with("token_limit", "100", |text| {
            literal::integer(text)
                .and_then(|number| u16::try_from(number).ok())
                .filter(|number| *number > 0)
                .ok_or_else(|| format!("invalid value {text:?}: must be a number from 1 to 65535"))
        })?,
        api_hosts: layers.with("api_hosts", "", |text| {
            let names = value::parse_list(text);
            names.iter().filter(|name| !name.is_empty()).map(|name| host(name)).collect()
        })?,
        api_listen: listens(layers)?,
        purge_on_shutdown: layers.flag("purge_on_shutdown", true)?,
    };
    Ok((config, warnings))
}

/// What deprecated options deserve: an error in the log, nothing more (`fleetd.md` 2.3).
pub(crate) fn deprecations(layers: &Layers) -> Result<Vec<String>, ConfigError> {
    let mut lines = Vec::new();
    if layers.flag("verify_units", false)? {
        lines.push("Config option verify_units is no longer supported - ignoring".to_owned());
    }
    if !layers.text("authorized_keys_file", "").is_empty() {
        lines.push(
            "Config option authorized_keys_file is no longer supported - ignoring".to_owned(),
        );
    }
    Ok(lines)
}

fn etcd(layers: &Layers) -> Result<Etcd, ConfigError> {
    let servers = layers.with("etcd_servers", ETCD_SERVERS, |text| {
        // Not even in part: where it is cut at commas a password may be.
        if carries_login(text) {
            return Err(NO_LOGIN_HERE.to_owned());
        }
        value::parse_list(text).iter().map(|server| endpoint(server)).collect()
    })?;
    let user = Some(layers.text("etcd_username", "")).filter(|user| !user.is_empty());
    Ok(Etcd {
        servers,
        login: user.map(|user| Login { user, password: layers.text("etcd_password", "") }),
        tls: tls(layers)?,
        request_timeout: layers.seconds("etcd_request_timeout", "1.0")?,
    })
}

/// Checks an etcd endpoint; `host:port` means http.
fn endpoint(text: &str) -> Result<String, String> {
    let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = url::Url::parse(&full).map_err(|error| format!("endpoint {text:?}: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("endpoint {text:?}: unsupported protocol scheme {:?}", url.scheme()));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(format!("endpoint {text:?} names no host"));
    }
    Ok(full)
}

/// A line for each file with a secret that everybody may read.
fn open_secrets(layers: &Layers) -> impl Iterator<Item = String> {
    let of_password = layers.file_of("etcd_password");
    let of_key = Some(PathBuf::from(layers.text("etcd_keyfile", "")));
    let secrets = [("etcd_password", of_password), ("etcd_keyfile", of_key)];
    secrets.into_iter().filter_map(|(option, path)| {
        let path = path.filter(|path| is_for_everybody(path))?;
        Some(format!(
            "{} can be read by everybody on this machine, and holds the secret of {option}",
            path.display()
        ))
    })
}

/// Whether the file is readable for others than its owner and its group.
fn is_for_everybody(path: &Path) -> bool {
    const READ_BY_OTHERS: u32 = 0o004;
    let metadata = path.metadata();
    metadata.is_ok_and(|metadata| metadata.permissions().mode() & READ_BY_OTHERS != 0)
}

fn tls(layers: &Layers) -> Result<Certificates, ConfigError> {
    let certificates = Certificates {
        ca: content(layers, "etcd_cafile")?,
        certificate: content(layers, "etcd_certfile")?,
        key: content(layers, "etcd_keyfile")?,
    };
    certificates.check().map_err(|error| unusable(layers, &error))?;
    Ok(certificates)
}

/// Names the option, and the file, that certificates which can't be used come from.
fn unusable(layers: &Layers, error: &InvalidTls) -> ConfigError {
    let option = match error {
        InvalidTls::NoAuthority | InvalidTls::Authority(_) => "etcd_cafile",
        InvalidTls::NoCertificate | InvalidTls::Certificate(_) => "etcd_certfile",
        InvalidTls::NoKey | InvalidTls::Mismatch => "etcd_keyfile",
    };
    let path = layers.text(option, "");
    let file = if path.is_empty() { path } else { format!(" ({path})") };
    layers.invalid(option, format!("{error}{file}"))
}

/// Reads a file, if the option names one.
fn content(layers: &Layers, option: &str) -> Result<Option<Vec<u8>>, ConfigError> {
    let path = layers.text(option, "");
    if path.is_empty() {
        return Ok(None);
    }
    let content = std::fs::read(&path)
        .map_err(|error| layers.invalid(option, format!("open {path}: {}", plain(&error))))?;
    Ok(Some(content))
}

fn listens(layers: &Layers) -> Result<Vec<Listen>, ConfigError> {
    layers.with("api_listen", API_LISTEN, |text| {
        value::parse_list(text).iter().map(|item| listen(item)).collect()
    })
}

/// Checks a name that URLs may call this machine by: no port, no scheme.
fn host(text: &str) -> Result<String, String> {
    match url::Host::parse(text) {
        Ok(url::Host::Domain(name)) => Ok(name),
        Ok(_) => Err(format!("{text:?} is an address, which needs no mention")),
        Err(_) => Err(format!("{text:?} is no name of a host")),
    }
}

/// Whether nobody asked for these addresses.
pub(crate) fn is_default_listen(addresses: &[Listen]) -> bool {
    matches!(addresses, [address] if listen(API_LISTEN).as_ref() == Ok(address))
}

fn listen(text: &str) -> Result<Listen, String> {
    if let Some(path) = text.strip_prefix("unix://").filter(|path| path.starts_with('/')) {
        return Ok(Listen::Unix(path.into()));
    }
    let address = text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/').parse());
    match address {
        Some(Ok(address)) => Ok(Listen::Tcp(address)),
        _ => Err(format!("{text:?} is neither unix:///path nor http://address:port")),
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
