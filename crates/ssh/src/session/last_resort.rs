//! The end of a process that no longer minds its signals.
//!
//! A signal that is waited for ends nothing by itself, and whoever waits for it may be kept from
//! running: the runtime's thread writes to a pipe that nobody reads, say. So a thread with a runtime
//! of its own waits for the same signals and ends the process when the first runtime takes up no
//! work. It starts with the first [`Events::of_process`] and ends with the process.

use std::{
    io, process,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use tokio::{
    runtime::{Builder, Handle},
    time,
};

use super::events::{Events, Stop};
use crate::terminal;

/// How long the runtime may take to take up work after a signal.
const PATIENCE: Duration = Duration::from_secs(1);

impl Events {
    /// The signals of this process. From now on they no longer end it by themselves, but for those
    /// that it was started to ignore (`nohup`, a job in the background): these stay ignored. They
    /// still end it when the runtime that this is called from takes up no work for a second.
    ///
    /// # Errors
    /// The operating system takes no handler.
    pub fn of_process() -> io::Result<Self> {
        start()?;
        Self::unguarded()
    }
}

/// Looks after this process from now on, on behalf of the runtime that this is called from; of
/// several the first.
///
/// # Errors
/// No thread, runtime or handler can be had.
fn start() -> io::Result<()> {
    static STARTED: Mutex<bool> = Mutex::new(false);
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    if *started {
        return Ok(());
    }
    let watched = Handle::current();
    let own = Builder::new_current_thread().enable_all().build()?;
    let events = {
        let _own = own.enter();
        Events::unguarded()?
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let stop = own.block_on(unheeded(events, &watched));
        terminal::restore();
        exit(stop)
    })?;
    *started = true;
    Ok(())
}

/// Waits for a signal upon which `watched` takes up no work: not within [`PATIENCE`], nor before
/// another signal comes.
async fn unheeded(mut events: Events, watched: &Handle) -> Stop {
    loop {
        let stop = events.stop().await;
        tokio::select! {
            biased;
            // It fails when the runtime is gone, and the process is about to end.
            Ok(()) = watched.spawn(async {}) => {}
            another = events.stop() => return another,
            () = time::sleep(PATIENCE) => return stop,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "main can't return any more")]
fn exit(stop: Stop) -> ! {
    process::exit(stop.status().into())
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::{super::events::Event, *};

    /// What comes of these signals on behalf of `watched`, if anything.
    async fn ended_by(signals: &[Stop], watched: &Handle) -> Option<Stop> {
        let (script, events) = Events::scripted();
        for stop in signals {
            script.send(Event::Stop(*stop)).await.unwrap();
        }
        time::timeout(60 * PATIENCE, unheeded(events, watched)).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_runtime_that_works_is_left_to_mind_its_signals() {
        assert_eq!(ended_by(&[Stop::Terminate], &Handle::current()).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_runtime_that_does_not_work_is_ended_after_a_second_or_by_the_next_signal() {
        // Nobody drives it.
        let stuck = Builder::new_current_thread().build().unwrap();
        let started = Instant::now();
        let signals = [Stop::Terminate, Stop::Interrupt];
        assert_eq!(ended_by(&signals, stuck.handle()).await, Some(Stop::Interrupt));
        assert_eq!(started.elapsed(), Duration::ZERO);
        assert_eq!(ended_by(&signals[..1], stuck.handle()).await, Some(Stop::Terminate));
        assert_eq!(started.elapsed(), PATIENCE);
        let gone = stuck.handle().clone();
        stuck.shutdown_background();
        assert_eq!(ended_by(&signals[..1], &gone).await, Some(Stop::Terminate));
    }
}
