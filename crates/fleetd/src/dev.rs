//! `--dev`: one machine, no etcd, no config file; for trying fleet out (`architecture.md`,
//! "Without etcd").

use tracing::warn;

use crate::{
    config::{self, Config, ConfigError, Layers},
    identity,
};

/// The folder of a root's fleetd that is alone: what is in `/run/fleet` is the machine's fleetd's.
const SYSTEM: &str = "/run/fleet-dev";

/// The configuration of a fleetd that is alone. It uses the system's systemd and socket as root,
/// else the user's, and folders of its own; the environment may still say otherwise.
pub(crate) fn config(environment: &impl Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
    configure(identity::is_root(), environment)
}

fn configure(
    is_root: bool,
    environment: &impl Fn(&str) -> Option<String>,
) -> Result<Config, ConfigError> {
    let mut layers = Layers::of_environment(environment);
    let runtime = environment("XDG_RUNTIME_DIR").filter(|runtime| !runtime.is_empty());
    let folder = match runtime {
        _ if is_root => SYSTEM.to_owned(),
        Some(runtime) => {
            layers.default_to("systemd_user", "true".to_owned());
            layers.default_to("api_listen", format!("unix://{runtime}/fleet.sock"));
            format!("{runtime}/fleet")
        }
        // Folders that anybody can make, such as those in /tmp, won't do.
        None => return Err(ConfigError::NoRuntimeDirectory),
    };
    layers.default_to("units_directory", format!("{folder}/units"));
    layers.default_to("runtime_directory", format!("{folder}/instance"));
    let (config, warnings) = config::build(&layers)?;
    for warning in warnings {
        warn!("{warning}");
    }
    warn!("--dev: this fleetd is a cluster of its own, without etcd; nothing is kept when it ends");
    Ok(config)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Listen;

    #[test]
    fn folders_are_nobody_elses() {
        let alice = |name: &str| (name == "XDG_RUNTIME_DIR").then(|| "/run/user/7".to_owned());
        for (is_root, folder, socket) in [
            (true, "/run/fleet-dev", "/var/run/fleet.sock"),
            (false, "/run/user/7/fleet", "/run/user/7/fleet.sock"),
        ] {
            let config = configure(is_root, &alice).unwrap();
            let folder = Path::new(folder);
            assert_eq!(config.units_directory, folder.join("units"));
            assert_eq!(config.runtime_directory, folder.join("instance"));
            assert_eq!(config.api_listen, [Listen::Unix(socket.into())]);
            assert_eq!(config.systemd_user, !is_root);
        }
    }

    #[test]
    fn a_user_without_a_runtime_directory_is_told_so() {
        for value in [None, Some(String::new())] {
            let set = |name: &str| value.clone().filter(|_| name == "XDG_RUNTIME_DIR");
            let error = configure(false, &set).unwrap_err().to_string();
            assert!(error.contains("XDG_RUNTIME_DIR"), "{error}");
            assert!(configure(true, &set).is_ok());
        }
    }
}
