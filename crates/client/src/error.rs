//! What can go wrong between a client and its server, in the words of `fleetctl.md` 3.3.

use std::{fmt, time::Duration};

use fleet_core::error_text::{chain, tame};
use fleet_net::DialError;
use fleet_schema::{DecodeError, ErrorBody, ErrorEntity, from_json};
use hyper::StatusCode;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server answered, and not with a success.
    #[error("{0}")]
    Answer(Answer),
    /// The server wasn't reached, or the connection broke.
    #[error("{method} {url:?}: {cause}")]
    Transport {
        /// The method, such as `Get`.
        method: &'static str,
        /// The address, with the real endpoint.
        url: String,
        /// What happened.
        cause: TransportError,
    },
    /// The answer was a success, but not what it should be.
    #[error("{method} {url:?}: {cause}")]
    Decode {
        /// The method, such as `Get`.
        method: &'static str,
        /// The address.
        url: String,
        /// What is wrong with it.
        cause: DecodeError,
    },
    /// The server gave a page token twice, so the list would never end.
    #[error("Get {url:?}: server repeats the page token {token:?}")]
    RepeatedToken {
        /// The address.
        url: String,
        /// The token.
        token: String,
    },
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// No complete answer in time.
    #[error("no answer from {endpoint} within {}s", .limit.as_secs_f64())]
    Timeout {
        /// Who didn't answer.
        endpoint: String,
        /// The request timeout.
        limit: Duration,
    },
    /// The connection broke, or what came over it isn't HTTP.
    #[error("{}", chain(.0))]
    Http(#[from] hyper::Error),
    /// The request can't be expressed in HTTP.
    #[error(transparent)]
    Request(#[from] hyper::http::Error),
    /// The answer is larger than any answer can be, or its body broke off.
    #[error("{}", chain(&**.0))]
    Body(Box<dyn std::error::Error + Send + Sync>),
}

/// An answer that isn't a success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    text: String,
}

impl ClientError {
    /// Whether the server said that there is nothing of that name.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Answer(answer) if answer.status == StatusCode::NOT_FOUND)
    }
}

impl Answer {
    /// Puts an answer into words, as scripts know them.
    #[must_use]
    pub fn new(status: u16, body: &[u8]) -> Self {
        Self::told(status, body, worded)
    }

    /// The same in the words of the server alone.
    pub(crate) fn plain(status: u16, body: &[u8]) -> Self {
        Self::told(status, body, |_, error| tame(error.message.trim_end()))
    }

    fn told(status: u16, body: &[u8], words: impl Fn(u16, &ErrorBody) -> String) -> Self {
        let text = from_json::<ErrorEntity>(body)
            .ok()
            .filter(|entity| !entity.error.message.is_empty())
            .map_or_else(|| raw(status, body), |entity| words(status, &entity.error));
        Self { status, text }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn raw(status: u16, body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    format!("googleapi: got HTTP response code {status} with body: {}", tame(body.trim_end()))
}

fn worded(status: u16, error: &ErrorBody) -> String {
    let code = if error.code == 0 { i64::from(status) } else { error.code };
    let head = format!("googleapi: Error {code}: {}", tame(error.message.trim_end()));
    match &*error.errors {
        [] => head,
        [only] if only.message == error.message => format!("{head}, {}", tame(&only.reason)),
        details => details.iter().fold(format!("{head}\nMore details:"), |text, detail| {
            let (reason, message) = (tame(&detail.reason), tame(&detail.message));
            format!("{text}\nReason: {reason}, Message: {message}")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_worded_as_scripts_know_them() {
        for (status, body, text) in [
            (
                404,
                r#"{"error":{"code":404,"message":"unit does not exist"}}"#,
                "googleapi: Error 404: unit does not exist",
            ),
            (500, r#"{"error":{"message":"boom"}}"#, "googleapi: Error 500: boom"),
            (500, r#"{"error":{"code":0,"message":"boom"}}"#, "googleapi: Error 500: boom"),
            (
                500,
                r#"{"error":{"code":500,"message":""}}"#,
                r#"googleapi: got HTTP response code 500 with body: {"error":{"code":500,"message":""}}"#,
            ),
            (
                503,
                "fleet server unable to communicate with etcd\n",
                "googleapi: got HTTP response code 503 with body: fleet server unable to communicate with etcd",
            ),
            (502, "", "googleapi: got HTTP response code 502 with body: "),
            (
                502,
                "<html>\n<b>bad\u{1b}[2J</b>\n",
                "googleapi: got HTTP response code 502 with body: <html> <b>bad [2J</b>",
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"no\nUnit a.service launched\u001b[A"}}"#,
                "googleapi: Error 400: no Unit a.service launched [A",
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"m","errors":[{"reason":"r","message":"m"}]}}"#,
                "googleapi: Error 400: m, r",
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"m","errors":[{"reason":"r","message":"n"}]}}"#,
                "googleapi: Error 400: m\nMore details:\nReason: r, Message: n",
            ),
        ] {
            assert_eq!(Answer::new(status, body.as_bytes()).to_string(), text, "{body}");
        }
    }

    #[test]
    fn of_a_local_server_only_its_own_words_are_told() {
        let body = r#"{"error":{"code":409,"message":"unit is not\nlaunched\n"}}"#;
        assert_eq!(Answer::plain(409, body.as_bytes()).to_string(), "unit is not launched");
        let unknown = "googleapi: got HTTP response code 404 with body: ";
        assert_eq!(Answer::plain(404, b"").to_string(), unknown);
    }
}
