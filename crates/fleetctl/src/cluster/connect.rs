//! Making the API out of the configuration (`fleetctl.md` 3).

use std::{fmt::Display, sync::Arc};

use fleet_client::{Client, Endpoint, InvalidEndpoint};
use fleet_core::error_text::carries_login;
use tracing::warn;

use crate::{
    cluster::nobody::RecordingDial,
    config::Config,
    error::CliError,
    flags::DRIVER,
    ssh::{Ssh, Tunnel},
    ui::Ui,
};

/// The word for the registry itself.
const ETCD: &str = "etcd";

/// Connections through a tunnel: where each is a session of its own sshd allows ten by default.
const IN_TUNNEL: usize = 8;

/// A client of the cluster that `config` names. The tunnel is established, if there is one. To the
/// API nothing is sent yet, by `direct` where there is no tunnel; etcd is asked whether this fleetctl is older than the cluster.
#[cfg_attr(not(feature = "etcd"), expect(unused_variables, reason = "etcd is what warns"))]
pub(crate) async fn connect(
    config: &Config,
    ssh: &Ssh,
    ui: &Ui,
    direct: &Arc<RecordingDial>,
) -> Result<Client, CliError> {
    let files = config.certificates.read().map_err(failed)?;
    match &*config.driver {
        DRIVER => {
            let (first, more) = match config.endpoint.split_once(',') {
                Some((first, _)) => (first, true),
                None => (&*config.endpoint, false),
            };
            let endpoint = first.parse::<Endpoint>();
            // These show what was given, in which there may be a password.
            if let Err(InvalidEndpoint::NoUrl { .. } | InvalidEndpoint::UnknownScheme(_)) =
                &endpoint
                && carries_login(&config.endpoint)
            {
                return Err(failed("an endpoint must not carry a user or a password"));
            }
            if let Err(InvalidEndpoint::HostOfSocket { .. }) = &endpoint {
                // A tunnel that fails has always come before this.
                tunnel(ssh).await?;
            }
            let endpoint = endpoint.map_err(failed)?;
            if more {
                warn!("multiple endpoints provided but only the first ({first}) is used");
            }
            let tls = files.map(|(_, tls)| tls);
            let tunnel = tunnel(ssh).await?;
            let is_near = tunnel.is_none() && endpoint.is_near();
            let client = |dial| Client::with(endpoint, dial, tls, config.request_timeout);
            let client = match tunnel {
                None => client(direct.clone()),
                Some(tunnel) => client(tunnel).connections(IN_TUNNEL),
            };
            Ok(if is_near { client } else { client.compressed() })
        }
        #[cfg(feature = "etcd")]
        ETCD => {
            let certificates = files.map(|(certificates, _)| certificates);
            let tunnel = tunnel(ssh).await?.map(|tunnel| tunnel as _);
            crate::cluster::etcd::connect(config, certificates, tunnel, ui).await.map_err(failed)
        }
        #[cfg(not(feature = "etcd"))]
        ETCD => Err(failed("this fleetctl was built without its driver \"etcd\"")),
        other => Err(failed(format_args!("unrecognized driver \"{other}\""))),
    }
}

async fn tunnel(ssh: &Ssh) -> Result<Option<Arc<Tunnel>>, CliError> {
    let tunnel = ssh.tunnel().await;
    tunnel.map_err(|error| failed(format_args!("failed initializing SSH client: {error}")))
}

fn failed(error: impl Display) -> CliError {
    CliError::Failed(format!("Unable to initialize client: {error}"))
}
