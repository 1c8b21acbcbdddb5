//! The body of every answer that isn't a success (`api.md` 1.3, `fleetctl.md` 3.3).

use serde::{Deserialize, Serialize};

use crate::entity::Absent;

entity! {
    /// An error, in the shape of every error body.
    pub struct ErrorEntity {
        /// The only member.
        pub error: ErrorBody = "error",
    }

    /// One of several reasons; other servers than ours give them.
    pub struct ErrorDetail or null {
        /// The text.
        pub message: String = "message",
        /// A word for programs.
        pub reason: String = "reason",
    }

    /// An [`ErrorBody`] as it is read.
    struct Read or null {
        /// The HTTP status.
        code: i64 = "code",
        /// Several reasons.
        errors: Vec<ErrorDetail> = "errors",
        /// The text.
        message: String = "message",
    }
}

/// The status and the text of an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Read")]
pub struct ErrorBody {
    /// The HTTP status; 0 when a server didn't say.
    pub code: i64,
    /// Several reasons, if any; never sent by our server.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ErrorDetail>,
    /// The text, present even when empty.
    pub message: String,
}

impl From<Read> for ErrorBody {
    fn from(Read { code, errors, message }: Read) -> Self {
        Self { code, errors, message }
    }
}

impl Absent for ErrorBody {
    fn is_absent(&self) -> bool {
        false
    }
}

impl ErrorEntity {
    /// An error with this HTTP status and text.
    #[must_use]
    pub fn new(code: u16, message: impl Into<String>) -> Self {
        let error =
            ErrorBody { code: code.into(), message: message.into(), ..ErrorBody::default() };
        Self { error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{from_json, to_json};

    #[test]
    fn the_message_is_there_even_when_empty() {
        assert_eq!(to_json(&ErrorEntity::new(405, "")), r#"{"error":{"code":405,"message":""}}"#);
    }

    #[test]
    fn errors_of_other_servers_are_read() {
        let text = br#"{"error":{"errors":[{"reason":"r","message":"m"},null],"Message":"m"}}"#;
        let ErrorEntity { error } = from_json(text).unwrap();
        assert_eq!((error.code, &*error.message, error.errors.len()), (0, "m", 2));
        assert_eq!((&*error.errors[0].reason, &*error.errors[0].message), ("r", "m"));
    }
}
