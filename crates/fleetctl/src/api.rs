//! What commands need of a cluster. The HTTP client gives it; another driver can.

use async_trait::async_trait;
use fleet_client::{Client, ClientError, Removal};
use fleet_core::JobState;
use fleet_schema::{Machine, Unit, UnitOption, UnitState};

/// The HTTP status of what isn't there.
const NOT_FOUND: u16 = 404;

/// A call failed; the text is the `E` of the messages in `fleetctl.md` 5.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct ApiError(Box<dyn std::error::Error + Send + Sync>);

impl ApiError {
    /// A failure with the text of `error`.
    pub(crate) fn new(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }

    /// Whether the server said that there is nothing of that name.
    pub(crate) fn is_not_found(&self) -> bool {
        let error = self.0.downcast_ref::<ClientError>();
        matches!(error, Some(ClientError::Answer(answer)) if answer.status == NOT_FOUND)
    }
}

impl From<ClientError> for ApiError {
    fn from(error: ClientError) -> Self {
        Self(error.into())
    }
}

/// A cluster. Lists come in the cluster's order; names need not be valid.
#[async_trait(?Send)]
pub(crate) trait Api {
    /// All units.
    async fn units(&self) -> Result<Vec<Unit>, ApiError>;
    /// One unit, if it exists.
    async fn unit(&self, name: &str) -> Result<Option<Unit>, ApiError>;
    /// The states of all units on all machines.
    async fn states(&self) -> Result<Vec<UnitState>, ApiError>;
    /// The state of one unit on one of its machines, if any reports one.
    async fn state(&self, name: &str) -> Result<Option<UnitState>, ApiError>;
    /// All machines.
    async fn machines(&self) -> Result<Vec<Machine>, ApiError>;
    /// Creates or replaces a unit.
    async fn put_unit(&self, name: &str, options: Vec<UnitOption>) -> Result<(), ApiError>;
    /// Sets what is desired of a unit.
    async fn set_state(&self, name: &str, state: JobState) -> Result<(), ApiError>;
    /// Removes a unit.
    async fn destroy(&self, name: &str) -> Result<Removal, ApiError>;
    /// The states of one unit, on all machines or only on `machine`.
    async fn states_of(
        &self,
        name: &str,
        machine: Option<&str>,
    ) -> Result<Vec<UnitState>, ApiError>;
    /// Asks the machines that have a unit, or only `machine`, to restart it.
    async fn restart(&self, name: &str, machine: Option<&str>) -> Result<(), ApiError>;
    /// `machine`, if it was asked to restart a unit and hasn't acknowledged yet.
    async fn pending_restarts(&self, name: &str, machine: &str) -> Result<Vec<String>, ApiError>;
}

#[async_trait(?Send)]
impl Api for Client {
    async fn units(&self) -> Result<Vec<Unit>, ApiError> {
        Ok(Self::units(self).await?)
    }

    async fn unit(&self, name: &str) -> Result<Option<Unit>, ApiError> {
        Ok(Self::unit(self, name).await?)
    }

    async fn states(&self) -> Result<Vec<UnitState>, ApiError> {
        Ok(Self::states(self).await?)
    }

    async fn state(&self, name: &str) -> Result<Option<UnitState>, ApiError> {
        Ok(Self::state(self, name).await?)
    }

    async fn machines(&self) -> Result<Vec<Machine>, ApiError> {
        Ok(Self::machines(self).await?)
    }

    async fn put_unit(&self, name: &str, options: Vec<UnitOption>) -> Result<(), ApiError> {
        Ok(Self::put_unit(self, name, options).await?)
    }

    async fn set_state(&self, name: &str, state: JobState) -> Result<(), ApiError> {
        Ok(Self::set_state(self, name, state).await?)
    }

    async fn destroy(&self, name: &str) -> Result<Removal, ApiError> {
        Ok(Self::destroy(self, name).await?)
    }

    async fn states_of(
        &self,
        name: &str,
        machine: Option<&str>,
    ) -> Result<Vec<UnitState>, ApiError> {
        Ok(Self::states_of(self, name, machine).await?)
    }

    async fn restart(&self, name: &str, machine: Option<&str>) -> Result<(), ApiError> {
        Self::restart(self, name, machine).await?;
        Ok(())
    }

    async fn pending_restarts(&self, name: &str, machine: &str) -> Result<Vec<String>, ApiError> {
        Ok(Self::pending_restarts(self, name, Some(machine)).await?)
    }
}
