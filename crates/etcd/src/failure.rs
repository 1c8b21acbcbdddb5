//! What etcd's answers mean to the caller, and to the connection they came over.

use std::{error::Error as _, fmt, time::Duration};

use etcd_client::Error;
use fleet_core::error_text::chain;
use fleet_store::{LeaseId, Revision, StoreError};
use tonic::{Code, ConnectError, Status};

/// Why a call failed.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The revision is compacted, or isn't there yet.
    Compacted,
    /// There is no such lease.
    NoSuchLease,
    /// The request will never be accepted.
    Refused(String),
    /// etcd can't do it at the moment; nothing was applied and the connection is well.
    Busy(String),
    /// etcd has no room for anything new; nothing was applied and the connection is well.
    OutOfSpace,
    /// There was no answer in time, though others over the connection had theirs.
    Late(String),
    /// The login isn't valid any more; nothing was applied.
    LoginExpired(String),
    /// The request never left.
    NotSent(String),
    /// Nobody knows what became of the request.
    Lost(String),
    /// Nor did anything else come from the member meanwhile.
    Silence(String),
}

impl Failure {
    /// No answer came in time, to this nor to anything else.
    pub(crate) fn timeout(after: Duration) -> Self {
        Self::Silence(format!("no answer within {} ms", after.as_millis()))
    }

    /// No answer came in time, to this alone.
    pub(crate) fn late(after: Duration) -> Self {
        Self::Late(format!("etcd is slow, no answer within {} ms", after.as_millis()))
    }

    /// Whether the connection (or its login) is to be replaced.
    pub(crate) fn is_of_the_link(&self) -> bool {
        match self {
            Self::LoginExpired(_) | Self::NotSent(_) | Self::Lost(_) | Self::Silence(_) => true,
            Self::Compacted
            | Self::NoSuchLease
            | Self::Refused(_)
            | Self::Busy(_)
            | Self::OutOfSpace
            | Self::Late(_) => false,
        }
    }

    /// Whether the same call may succeed a moment later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Busy(_)
            | Self::Late(_)
            | Self::LoginExpired(_)
            | Self::NotSent(_)
            | Self::Lost(_)
            | Self::Silence(_) => true,
            Self::Compacted | Self::NoSuchLease | Self::Refused(_) | Self::OutOfSpace => false,
        }
    }

    /// The caller's view. `revision` is the one asked for, `lease` the one named.
    pub(crate) fn into_store(self, revision: Revision, lease: LeaseId) -> StoreError {
        match self {
            Self::Compacted => StoreError::Compacted(revision),
            Self::NoSuchLease => StoreError::NoSuchLease(lease),
            Self::Refused(why) => StoreError::Refused(why.into()),
            Self::OutOfSpace => StoreError::OutOfSpace,
            Self::Busy(why)
            | Self::Late(why)
            | Self::LoginExpired(why)
            | Self::NotSent(why)
            | Self::Lost(why)
            | Self::Silence(why) => StoreError::Unavailable(why.into()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compacted => f.write_str("compacted"),
            Self::NoSuchLease => f.write_str("no such lease"),
            Self::OutOfSpace => f.write_str("out of space"),
            Self::Refused(why)
            | Self::Busy(why)
            | Self::Late(why)
            | Self::LoginExpired(why)
            | Self::NotSent(why)
            | Self::Lost(why)
            | Self::Silence(why) => f.write_str(why),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::GRpcStatus(status) => from_status(&status),
            Error::TransportError(error) => Self::NotSent(chain(&error)),
            // What `LeaseClient::keep_alive` makes of a time to live of 0.
            Error::LeaseKeepAliveError(why) if why == "lease not found" => Self::NoSuchLease,
            Error::InvalidArgs(why) => Self::Refused(why),
            other => Self::Lost(other.to_string()),
        }
    }
}

fn from_status(status: &Status) -> Failure {
    let is_connect = || {
        std::iter::successors(status.source(), |&error| error.source())
            .any(|error| error.is::<ConnectError>())
    };
    if let Some(known) = from_text(status.message()) {
        return known;
    }
    match status.code() {
        Code::Unauthenticated => Failure::LoginExpired(describe(status)),
        Code::InvalidArgument
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::ResourceExhausted
        | Code::NotFound => Failure::Refused(describe(status)),
        Code::Unavailable if is_connect() => Failure::NotSent(describe(status)),
        _ => Failure::Lost(describe(status)),
    }
}

/// What etcd says in words that its codes don't tell (`rpctypes` in etcd's source); watches
/// only come with words.
pub(crate) fn from_text(text: &str) -> Option<Failure> {
    const COMPACTED: &[&str] =
        &["required revision has been compacted", "required revision is a future revision"];
    const NO_LEASE: &[&str] = &["requested lease not found"];
    const FULL: &[&str] = &["database space exceeded"];
    const BUSY: &[&str] = &["too many requests"];
    const EXPIRED: &[&str] = &[
        "invalid auth token",
        "auth: revision in header is old",
        "revision of auth store is old",
        "user name is empty",
    ];
    let says = |known: &[&str]| known.iter().any(|known| text.contains(known));
    if says(COMPACTED) {
        Some(Failure::Compacted)
    } else if says(NO_LEASE) {
        Some(Failure::NoSuchLease)
    } else if says(FULL) {
        Some(Failure::OutOfSpace)
    } else if says(BUSY) {
        Some(Failure::Busy(text.to_owned()))
    } else if says(EXPIRED) {
        Some(Failure::LoginExpired(text.to_owned()))
    } else {
        None
    }
}

/// Whether etcd says that it knows no users, so that a login is not needed.
pub(crate) fn is_auth_disabled(error: &Error) -> bool {
    matches!(error, Error::GRpcStatus(status) if status.message().contains("authentication is not enabled"))
}

/// A status without gRPC's wrapping: etcd's words, or the whole chain of a broken connection.
fn describe(status: &Status) -> String {
    match status.source() {
        Some(source) => chain(source),
        None => status.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        for (code, text, expected) in [
            (Code::NotFound, "etcdserver: requested lease not found", "lease"),
            (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted",
                "compacted",
            ),
            (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision is a future revision",
                "compacted",
            ),
            (Code::InvalidArgument, "etcdserver: duplicate key given in txn request", "refused"),
            (Code::InvalidArgument, "etcdserver: too many operations in txn request", "refused"),
            (Code::InvalidArgument, "etcdserver: request is too large", "refused"),
            (
                Code::InvalidArgument,
                "etcdserver: authentication failed, invalid user ID or password",
                "refused",
            ),
            (Code::PermissionDenied, "etcdserver: permission denied", "refused"),
            (Code::ResourceExhausted, "grpc: received message larger than max", "refused"),
            (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded", "space"),
            (Code::ResourceExhausted, "etcdserver: too many requests", "busy"),
            (Code::Unauthenticated, "etcdserver: invalid auth token", "login"),
            (Code::Unknown, "auth: revision in header is old", "login"),
            (Code::InvalidArgument, "etcdserver: user name is empty", "login"),
            (Code::Unavailable, "etcdserver: request timed out", "lost"),
            (Code::Unavailable, "etcdserver: no leader", "lost"),
            (Code::Unknown, "anything else", "lost"),
            // What tonic makes of an answer that isn't etcd's.
            (
                Code::Unimplemented,
                "grpc-status header missing, mapped from HTTP status code 404",
                "lost",
            ),
            (Code::DeadlineExceeded, "", "lost"),
        ] {
            let failure = Failure::from(Error::GRpcStatus(Status::new(code, text)));
            let found = match &failure {
                Failure::Compacted => "compacted",
                Failure::NoSuchLease => "lease",
                Failure::Refused(_) => "refused",
                Failure::Busy(_) => "busy",
                Failure::OutOfSpace => "space",
                Failure::Late(_) => "late",
                Failure::LoginExpired(_) => "login",
                Failure::NotSent(_) => "not sent",
                Failure::Lost(_) => "lost",
                Failure::Silence(_) => "silence",
            };
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn only_what_never_left_may_be_sent_again() {
        let io = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let status = Status::from_error(Box::new(ConnectError(Box::new(io))));
        let failure = Failure::from(Error::GRpcStatus(status));
        assert!(
            matches!(&failure, Failure::NotSent(why) if why.contains("refused")),
            "{failure:?}"
        );
        assert!(failure.is_of_the_link());
    }
}
