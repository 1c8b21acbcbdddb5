//! Deadlines and retries of calls.
//!
//! A try at one endpoint takes at most the request timeout, and a call at most that for each
//! endpoint. What never left, or was turned away because the login had expired, is sent again
//! over a new connection; what may have arrived only if a second arrival does no harm.

use std::{future::Future, time::Duration};

use tokio::time::{self, Instant};

use crate::{
    failure::Failure,
    link::{Link, Links},
};

/// Whether a second arrival of a request does harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    Harmless,
    Harmful,
}

/// Makes a call over the connection, and over others if it fails.
pub(crate) async fn call<T, F>(
    links: &Links,
    timeout: Duration,
    repeat: Repeat,
    send: impl Fn(Link) -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let patience = timeout.saturating_mul(links.endpoints());
    let deadline = Instant::now() + patience;
    // A single endpoint gets a second try too: its connection may have broken while it was idle.
    let mut tries_left = links.endpoints().max(2);
    let mut login_expired = false;
    loop {
        tries_left -= 1;
        let link = match time::timeout_at(deadline, links.get()).await {
            Ok(link) => link?,
            Err(_) => return Err(Failure::timeout(patience)),
        };
        let until = deadline.min(Instant::now() + timeout);
        let failure = match time::timeout_at(until, send(link.clone())).await {
            Ok(Ok(answer)) => {
                links.answered(&link);
                return Ok(answer);
            }
            Ok(Err(Failure::LoginExpired(why))) if login_expired => {
                return Err(Failure::Refused(why)); // a new one was no better
            }
            Ok(Err(failure)) => failure,
            Err(_) => Failure::timeout(timeout),
        };
        login_expired |= matches!(failure, Failure::LoginExpired(_));
        if failure.is_of_the_link() {
            links.condemn(&link, &failure);
        }
        if !may_repeat(&failure, repeat) || tries_left == 0 || Instant::now() >= deadline {
            return Err(failure);
        }
    }
}

fn may_repeat(failure: &Failure, repeat: Repeat) -> bool {
    match failure {
        Failure::LoginExpired(_) | Failure::NotSent(_) => true,
        Failure::Lost(_) => repeat == Repeat::Harmless,
        Failure::Compacted | Failure::NoSuchLease | Failure::Refused(_) | Failure::Busy(_) => false,
    }
}
