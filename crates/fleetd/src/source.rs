//! Where the configuration is read from, at start and at each reload.

use std::path::PathBuf;

use tracing::{error, info, warn};

use crate::{
    app::Backend,
    args::Args,
    config::{self, Config, ConfigError},
    dev,
};

/// The file that was named, if one was, and the environment.
pub(crate) struct Source<E> {
    file: Option<PathBuf>,
    dev: bool,
    environment: E,
}

impl<E: Fn(&str) -> Option<String>> Source<E> {
    /// What the command line asks for.
    pub(crate) fn new(args: Args, environment: E) -> Self {
        Self { file: args.config, dev: args.dev, environment }
    }

    /// Where the registry is kept.
    pub(crate) fn backend(&self) -> Backend {
        if self.dev { Backend::Memory } else { Backend::Etcd }
    }

    /// Reads the configuration from its defaults up, and says what is odd about it.
    pub(crate) fn read(&self) -> Result<Config, ConfigError> {
        if self.dev {
            return dev::config(&self.environment);
        }
        let layers = config::load(self.file.as_deref(), &self.environment)?;
        info!("{}", layers.source);
        let (config, warnings) = config::build(&layers)?;
        for warning in warnings {
            warn!("{warning}");
        }
        for line in config::deprecations(&layers)? {
            error!("{line}");
        }
        Ok(config)
    }

    /// Reads it anew for a fleetd that runs with `old`, if it runs yet. What can't change while it
    /// runs is refused, and stays.
    pub(crate) fn read_again(&self, old: Option<&Config>) -> Result<Config, ConfigError> {
        let named = self.file.as_ref().map(|path| path.display().to_string());
        info!("Reloading configuration from {}", named.unwrap_or_default());
        let mut config = self.read()?;
        let fixed = old.map(|old| config.keep_what_is_fixed(old));
        for option in fixed.unwrap_or_default() {
            warn!("{option} can't change while fleetd runs, it stays as it was until a restart");
        }
        Ok(config)
    }
}
