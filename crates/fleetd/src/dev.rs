//! `--dev`: one machine, no etcd, no config file; for trying fleet out (`design.md` 1).

use tracing::warn;

use crate::{
    config::{self, Config, ConfigError, Layers},
    identity,
};

/// The configuration of a fleetd that is alone. As root it uses the system's places, else the
/// user's; the environment may still say otherwise.
pub(crate) fn config(environment: &impl Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
    let mut layers = Layers::of_environment(environment);
    if !identity::is_root() {
        let runtime = environment("XDG_RUNTIME_DIR").unwrap_or_else(|| "/tmp".to_owned());
        layers.default_to("systemd_user", "true".to_owned());
        layers.default_to("units_directory", format!("{runtime}/fleet/units"));
        layers.default_to("runtime_directory", format!("{runtime}/fleet/instance"));
        layers.default_to("api_listen", format!("unix://{runtime}/fleet.sock"));
    }
    let (config, warnings) = config::build(&layers)?;
    for warning in warnings {
        warn!("{warning}");
    }
    warn!("--dev: this fleetd is a cluster of its own, without etcd; nothing is kept when it ends");
    Ok(config)
}
