//! The signals fleetd answers to (`fleetd.md` 8).

use std::io;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// TERM or INT: stop.
    Terminate,
    /// HUP: read the configuration again.
    Reload,
    /// USR1: dump the state.
    Dump,
}

/// The signals, from the moment this exists on.
#[derive(Debug)]
pub(crate) struct Signals {
    term: Stream,
    int: Stream,
    hup: Stream,
    usr1: Stream,
}

impl Signals {
    /// Starts listening, before anything runs that a signal would have to stop.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
        })
    }

    /// Waits for the next signal. Several of a kind that came meanwhile are one. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            biased;
            _ = self.term.recv() => Signal::Terminate,
            _ = self.int.recv() => Signal::Terminate,
            _ = self.hup.recv() => Signal::Reload,
            _ = self.usr1.recv() => Signal::Dump,
        }
    }

    /// Waits for TERM or INT. Cancel-safe.
    pub(crate) async fn terminate(&mut self) {
        while self.next().await != Signal::Terminate {}
    }
}
