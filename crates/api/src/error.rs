//! Why a request fails, and what the client and the log are told.

use fleet_registry::RegistryError;
use fleet_store::StoreError;
use hyper::StatusCode;
use tracing::{debug, error, warn};

use crate::{
    outage::Outage,
    reply::{self, Reply},
};

/// A request that fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The client is told why. Not logged: it is the client's affair.
    #[error("{message}")]
    Refused { status: StatusCode, message: String },
    /// The method isn't supported here; these are.
    #[error("{message}")]
    MethodNotAllowed { message: &'static str, allow: &'static str },
    /// etcd is out of reach (`spec/README.md` 4).
    #[error("store is unavailable")]
    Unavailable(#[source] RegistryError),
    /// The registry didn't answer in the time a request has.
    #[error("store does not answer")]
    Late,
    /// There is no room for anything new in etcd.
    #[error("etcd is out of space")]
    OutOfSpace(#[source] RegistryError),
    /// Too many requests want to be answered at the same time.
    #[error("{}", reply::BUSY)]
    Busy,
    /// Something is wrong on our side; the cause is for the log only (`api.md` 1.3).
    #[error("internal error")]
    Internal(#[source] RegistryError),
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self::Refused { status, message: message.into() }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    pub(crate) fn not_found(message: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// What went wrong on our side, and the status that says so.
    pub(crate) fn cause(&self) -> Option<(StatusCode, &RegistryError)> {
        match self {
            Self::Unavailable(cause) | Self::OutOfSpace(cause) => {
                Some((StatusCode::SERVICE_UNAVAILABLE, cause))
            }
            Self::Internal(cause) => Some((StatusCode::INTERNAL_SERVER_ERROR, cause)),
            Self::Refused { .. } | Self::MethodNotAllowed { .. } | Self::Late | Self::Busy => None,
        }
    }

    /// Logs what has to be, and says what the client is told. Of an outage, only the beginning is
    /// worth a WARN.
    pub(crate) fn into_reply(self, outage: &Outage) -> Reply {
        match self {
            Self::Refused { status, message } => reply::error(status, &message),
            Self::MethodNotAllowed { message, allow } => {
                reply::allowing(reply::error(StatusCode::METHOD_NOT_ALLOWED, message), allow)
            }
            Self::Unavailable(cause) => {
                if outage.has_begun() {
                    warn!(error = %cause, "store is unavailable, requests are refused");
                } else {
                    debug!(error = %cause, "store is unavailable, request refused");
                }
                reply::unavailable()
            }
            Self::Late => {
                if outage.has_begun() {
                    warn!("store does not answer, requests are refused");
                } else {
                    debug!("store does not answer, request refused");
                }
                reply::unavailable()
            }
            Self::OutOfSpace(cause) => {
                warn!(error = %cause, "request refused");
                reply::error(StatusCode::SERVICE_UNAVAILABLE, &cause.to_string())
            }
            Self::Busy => reply::busy(),
            Self::Internal(cause) => {
                error!(error = %cause, "request failed");
                reply::error(StatusCode::INTERNAL_SERVER_ERROR, "")
            }
        }
    }
}

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> Self {
        match error {
            error if error.is_out_of_space() => Self::OutOfSpace(error),
            error if error.is_unavailable() => Self::Unavailable(error),
            // It happened between two reads of one page; the next try reads anew.
            RegistryError::Store(StoreError::Compacted(_)) => Self::Unavailable(error),
            RegistryError::NoSuchUnit(_) => Self::not_found("unit does not exist"),
            RegistryError::Conflict(_) => Self::conflict(error.to_string()),
            RegistryError::LeadershipLost
            | RegistryError::DuplicateMachine { .. }
            | RegistryError::EarlierEntry(_)
            | RegistryError::PresenceLost(_)
            | RegistryError::Corrupt { .. }
            | RegistryError::Store(_) => Self::Internal(error),
        }
    }
}
