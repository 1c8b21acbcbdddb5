//! What a command works with: a cluster, the user, SSH, and the machines once they were asked for.

use fleet_client::{Client, ClientError};
use fleet_schema::Unit;
use tokio::sync::OnceCell;
use tracing::debug;

use crate::{
    cluster::nobody::Manager,
    legend::{self, Machines, Width},
    ssh::Ssh,
    ui::Ui,
};

/// One run of one command.
pub(crate) struct Session<'a> {
    pub(crate) api: &'a Client,
    pub(crate) ui: &'a Ui,
    pub(crate) ssh: &'a Ssh,
    /// Whose systemd has the units of this machine.
    pub(crate) manager: Manager,
    machines: OnceCell<Machines>,
    /// Set once the machines were asked for to decorate with.
    decorated: OnceCell<()>,
}

impl<'a> Session<'a> {
    /// A session in which nothing was asked yet.
    pub(crate) fn new(api: &'a Client, ui: &'a Ui, ssh: &'a Ssh) -> Self {
        let manager = Manager::System;
        Self { api, ui, ssh, manager, machines: OnceCell::new(), decorated: OnceCell::new() }
    }

    /// The same where the units of this machine are those of `manager`.
    pub(crate) fn driving(self, manager: Manager) -> Self {
        Self { manager, ..self }
    }

    /// The machines, asked for until there is an answer.
    pub(crate) async fn known_machines(&self) -> Result<&Machines, ClientError> {
        let list = || async {
            let machines = self.api.machines().await?;
            Ok(machines.into_iter().map(|machine| (machine.id.clone(), machine)).collect())
        };
        self.machines.get_or_try_init(list).await
    }

    /// The machines, asked for once. Without an answer there are none: they only decorate.
    pub(crate) async fn machines(&self) -> &Machines {
        static NONE: Machines = Machines::new();
        self.decorated
            .get_or_init(|| async {
                if let Err(error) = self.known_machines().await {
                    debug!("machines are shown without their addresses: {error}");
                }
            })
            .await;
        self.machines.get().unwrap_or(&NONE)
    }

    /// Where `unit` is: ` on LEGEND`, or nothing when that isn't known.
    pub(crate) async fn place(&self, unit: &Unit) -> String {
        if unit.machine_id.is_empty() {
            return String::new();
        }
        let machines = self.machines().await;
        if machines.contains_key(&unit.machine_id) {
            format!(" on {}", legend::full(&unit.machine_id, machines, Width::Short))
        } else {
            String::new()
        }
    }
}
