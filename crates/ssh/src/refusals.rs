//! Why the server would not open a channel, in its own words.
//!
//! The library hands the words to the handler and only a number to whoever opens the channel.
//! Here they meet again. Two openings that fail at the same time for the same general reason may
//! get each other's words.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use fleet_core::error_text::tame_stranger;
use russh::{Channel, ChannelOpenFailure, client::Msg};
use tokio::{sync::Notify, time};

use crate::{Cause, error::Refusal};

/// How long words may come after the number: both are from one packet.
const WORDS_LATE: Duration = Duration::from_secs(1);

/// Words for refused openings.
#[derive(Default)]
pub(crate) struct Refusals {
    state: Mutex<State>,
    came: Notify,
}

#[derive(Default)]
struct State {
    /// Openings under way.
    open: usize,
    /// Words that nobody took yet, at most one for each opening.
    words: Vec<(Refusal, String)>,
}

/// An opening under way.
struct Opening<'a>(&'a Refusals);

impl Refusals {
    /// Opens a channel.
    pub(crate) async fn open(
        &self,
        opening: impl Future<Output = Result<Channel<Msg>, russh::Error>>,
    ) -> Result<Channel<Msg>, Cause> {
        let _opening = Opening::new(self);
        match opening.await {
            Ok(channel) => Ok(channel),
            Err(russh::Error::ChannelOpenFailure(failure)) => {
                let refusal = general(&failure);
                let reason = self.words(refusal).await;
                Err(Cause::Rejected { refusal, reason })
            }
            Err(_) => Err(Cause::Lost),
        }
    }

    /// Notes the words for a refusal.
    pub(crate) fn note(&self, failure: &ChannelOpenFailure, words: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.words.len() < state.open {
            state.words.push((general(failure), tame_stranger(words)));
        }
        drop(state);
        self.came.notify_waiters();
    }

    async fn words(&self, refusal: Refusal) -> String {
        let late = time::sleep(WORDS_LATE);
        tokio::pin!(late);
        loop {
            let came = self.came.notified();
            if let Some(words) = self.take(refusal) {
                return words;
            }
            tokio::select! {
                () = came => {}
                () = &mut late => return "no reason given".into(),
            }
        }
    }

    fn take(&self, refusal: Refusal) -> Option<String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let at = state.words.iter().position(|(of, _)| *of == refusal)?;
        Some(state.words.remove(at).1)
    }
}

impl<'a> Opening<'a> {
    fn new(refusals: &'a Refusals) -> Self {
        let mut state = refusals.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.open += 1;
        drop(state);
        Self(refusals)
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.open -= 1;
        if state.open == 0 {
            // Those of openings that were given up.
            state.words.clear();
        }
    }
}

fn general(failure: &ChannelOpenFailure) -> Refusal {
    match failure {
        ChannelOpenFailure::AdministrativelyProhibited => Refusal::Prohibited,
        ChannelOpenFailure::UnknownChannelType => Refusal::UnknownType,
        ChannelOpenFailure::ResourceShortage => Refusal::Shortage,
        ChannelOpenFailure::ConnectFailed | ChannelOpenFailure::Other { .. } => {
            Refusal::ConnectFailed
        }
    }
}
