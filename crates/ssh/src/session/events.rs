//! What happens to this process while a job runs: signals, and a terminal of another size.

use std::{fs, future, io, task::Poll};

use russh::Sig;
use tokio::signal::unix::{Signal, SignalKind, signal};

#[cfg(feature = "testing")]
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// A signal that ends this process and the job with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// HUP.
    HangUp,
    /// INT.
    Interrupt,
    /// QUIT.
    Quit,
    /// USR1.
    User1,
    /// USR2.
    User2,
    /// ALRM.
    Alarm,
    /// TERM.
    Terminate,
}

impl Stop {
    /// All that end a process that doesn't mind them and are sent on purpose.
    const ALL: [Self; 7] = [
        Self::HangUp,
        Self::Interrupt,
        Self::Quit,
        Self::User1,
        Self::User2,
        Self::Alarm,
        Self::Terminate,
    ];

    /// Its number.
    pub fn number(self) -> u8 {
        match self {
            Self::HangUp => 1,
            Self::Interrupt => 2,
            Self::Quit => 3,
            Self::User1 => 10,
            Self::User2 => 12,
            Self::Alarm => 14,
            Self::Terminate => 15,
        }
    }

    /// The status of a process that it ended.
    pub fn status(self) -> u8 {
        128 + self.number()
    }

    /// What SSH calls it.
    pub(super) fn sig(self) -> Sig {
        match self {
            Self::HangUp => Sig::HUP,
            Self::Interrupt => Sig::INT,
            Self::Quit => Sig::QUIT,
            Self::User1 => Sig::USR1,
            Self::User2 => Sig::Custom("USR2".to_owned()),
            Self::Alarm => Sig::ALRM,
            Self::Terminate => Sig::TERM,
        }
    }
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The terminal has another size.
    Resized,
    /// A signal came.
    Stop(Stop),
}

/// Where events come from.
pub struct Events(Source);

enum Source {
    Process(Box<Streams>),
    #[cfg(feature = "testing")]
    Scripted(Receiver<Event>),
}

struct Streams {
    /// But for those that are ignored.
    stops: Vec<(Stop, Signal)>,
    resized: Signal,
}

impl Events {
    /// The signals of this process, from now on, but for those that it was started to ignore. Nothing
    /// ends it when these events aren't looked at.
    pub(super) fn unguarded() -> io::Result<Self> {
        let ignored = ignored();
        let wanted = |stop: &Stop| ignored & (1 << (stop.number() - 1)) == 0;
        let stream = |stop: Stop| {
            io::Result::Ok((stop, signal(SignalKind::from_raw(stop.number().into()))?))
        };
        let stops = Stop::ALL.into_iter().filter(wanted).map(stream).collect::<Result<_, _>>()?;
        let resized = signal(SignalKind::window_change())?;
        Ok(Self(Source::Process(Box::new(Streams { stops, resized }))))
    }

    /// Those that are sent.
    #[cfg(feature = "testing")]
    pub fn scripted() -> (Sender<Event>, Self) {
        let (script, events) = channel(8);
        (script, Self(Source::Scripted(events)))
    }

    /// Waits for the next one. Loses none when it is dropped.
    pub(super) async fn next(&mut self) -> Event {
        match &mut self.0 {
            #[cfg(feature = "testing")]
            Source::Scripted(events) => match events.recv().await {
                Some(event) => event,
                None => future::pending().await,
            },
            Source::Process(streams) => streams.next().await,
        }
    }

    /// Waits for a signal that ends the job; sizes are passed over.
    pub(super) async fn stop(&mut self) -> Stop {
        loop {
            if let Event::Stop(stop) = self.next().await {
                return stop;
            }
        }
    }
}

impl Streams {
    async fn next(&mut self) -> Event {
        let stops = &mut self.stops;
        let stopped = future::poll_fn(|cx| {
            let stop = stops.iter_mut().find_map(|(stop, stream)| {
                (stream.poll_recv(cx) == Poll::Ready(Some(()))).then_some(*stop)
            });
            stop.map_or(Poll::Pending, Poll::Ready)
        });
        tokio::select! {
            stop = stopped => Event::Stop(stop),
            Some(()) = self.resized.recv() => Event::Resized,
        }
    }
}

/// The signals that this process ignores, bit 0 for number 1. None when that can't be found out.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_of(&status)
}

fn ignored_of(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status() {
        assert_eq!(ignored_of("Name:\tx\nSigIgn:\t0000000000001003\nSigCgt:\t0\n"), 0x1003);
        assert_eq!(ignored_of("Name:\tx\n"), 0);
        assert_eq!(ignored_of("SigIgn:\tnonsense\n"), 0);
    }

    #[test]
    fn statuses_are_those_of_a_shell() {
        assert_eq!(Stop::ALL.map(Stop::status), [129, 130, 131, 138, 140, 142, 143]);
    }

    #[tokio::test]
    async fn a_stop_passes_over_sizes() {
        let (script, mut events) = Events::scripted();
        script.send(Event::Resized).await.unwrap();
        script.send(Event::Stop(Stop::Terminate)).await.unwrap();
        assert_eq!(events.stop().await, Stop::Terminate);
    }
}
