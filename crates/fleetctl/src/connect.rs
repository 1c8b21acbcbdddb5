//! Making the API out of the configuration (`fleetctl.md` 3).

use fleet_client::{Client, Endpoint};
use tracing::warn;

use crate::{api::Api, config::Config, error::CliError};

/// A client of the cluster that `config` names. Nothing is sent yet.
pub(crate) fn connect(config: &Config) -> Result<Box<dyn Api>, CliError> {
    let (first, more) = match config.endpoint.split_once(',') {
        Some((first, _)) => (first, true),
        None => (&*config.endpoint, false),
    };
    let endpoint: Endpoint = first
        .parse()
        .map_err(|error| CliError::Failed(format!("Unable to initialize client: {error}")))?;
    if more {
        warn!("multiple endpoints provided but only the first ({first}) is used");
    }
    Ok(Box::new(Client::new(endpoint, config.request_timeout)))
}
