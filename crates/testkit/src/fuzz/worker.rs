//! The thread that a target runs on, and what it says of an input.

use std::{
    cell::RefCell,
    fmt,
    panic::{self, AssertUnwindSafe},
    sync::{
        Once,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

/// The name of such threads. What panics say there is kept for the report instead of being shown:
/// while an input is shrunk there are many.
const THREAD: &str = "fuzz";

thread_local! {
    static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// A target on its thread, which ends with this.
pub(super) struct Worker {
    inputs: SyncSender<Vec<u8>>,
    outcomes: Receiver<Result<(), String>>,
    patience: Duration,
}

/// What an input showed.
#[derive(Debug)]
pub(super) enum Fault {
    Panicked(String),
    /// It didn't end in this time. The thread is lost.
    Stuck(Duration),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(said) => f.write_str(said),
            Self::Stuck(patience) => write!(f, "not done after {patience:?}"),
        }
    }
}

impl Worker {
    pub(super) fn start(target: impl Fn(&[u8]) + Send + 'static, patience: Duration) -> Self {
        keep_what_is_said();
        let (inputs, to_do) = sync_channel::<Vec<u8>>(1);
        let (done, outcomes) = sync_channel(1);
        let work = move || {
            for input in to_do {
                let result = panic::catch_unwind(AssertUnwindSafe(|| target(&input)));
                let said = SAID.take().join("\n");
                if done.send(result.map_err(|_| said)).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name(THREAD.to_owned()).spawn(work).expect("a thread");
        Self { inputs, outcomes, patience }
    }

    pub(super) fn feed(&self, input: &[u8]) -> Result<(), Fault> {
        self.inputs.send(input.to_vec()).expect("the thread takes inputs");
        match self.outcomes.recv_timeout(self.patience) {
            Ok(outcome) => outcome.map_err(Fault::Panicked),
            Err(RecvTimeoutError::Timeout) => Err(Fault::Stuck(self.patience)),
            Err(RecvTimeoutError::Disconnected) => unreachable!("the thread outlives its inputs"),
        }
    }
}

fn keep_what_is_said() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |said| {
            if thread::current().name() == Some(THREAD) {
                SAID.with_borrow_mut(|all| all.push(said.to_string()));
            } else {
                others(said);
            }
        }));
    });
}
