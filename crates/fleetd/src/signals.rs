//! The signals fleetd answers to (`fleetd.md` 8).

use std::{io, time::Duration};

use tokio::{
    signal::unix::{Signal as Stream, SignalKind, signal},
    time::Instant,
};

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

    /// Waits for TERM, INT or HUP: there is no state to dump yet. Cancel-safe.
    pub(crate) async fn stop_or_reload(&mut self) -> Signal {
        loop {
            let signal = self.next().await;
            if signal != Signal::Dump {
                return signal;
            }
        }
    }

    /// Waits for TERM or INT: nothing is there yet that could be reloaded or dumped. Cancel-safe.
    pub(crate) async fn terminate(&mut self) {
        while self.next().await != Signal::Terminate {}
    }

    /// Waits for a TERM or INT that comes a while after one. Cancel-safe.
    pub(crate) async fn terminate_again(&mut self) {
        insisted(async || self.terminate().await).await;
    }
}

/// How far apart two TERMs are at least. Two that come closer are one: timeout(1) and others signal
/// a process, and then its group.
const APART: Duration = Duration::from_millis(500);

/// Ends with the first `terminate` that comes a while from now on.
async fn insisted(mut terminate: impl AsyncFnMut()) {
    let first = Instant::now();
    loop {
        terminate().await;
        if first.elapsed() >= APART {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_counts_unless_it_comes_with_the_first() {
        let millis = Duration::from_millis;
        for (pauses, ends_after) in
            [(&[0, 2000][..], 2000), (&[0, 20, 480], 500), (&[600], 600), (&[499, 1, 1], 500)]
        {
            let (start, mut pauses) = (Instant::now(), pauses.iter());
            let next = async || time::sleep(millis(*pauses.next().unwrap())).await;
            insisted(next).await;
            assert_eq!(start.elapsed(), millis(ends_after));
        }
    }
}
