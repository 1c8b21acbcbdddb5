//! An operating system that is played to what runs on this thread.

use std::{cell::RefCell, path::Path, rc::Rc, time::Duration};

/// What becomes of a file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// It is written.
    Whole,
    /// Its writer dies over it: what was there stays, and something half written lies beside it.
    Torn,
    /// There is no room for another file.
    Full,
    /// Its writer is dead: nothing happens.
    Nothing,
}

/// Plays the operating system.
pub trait Played {
    /// The time since 1970.
    fn since_1970(&self) -> Duration;

    /// The time since the boot.
    fn since_boot(&self) -> Duration;

    /// What tells this boot from all others.
    fn boot_id(&self) -> String;

    /// What becomes of the file at `path` that is about to be written.
    fn writing(&self, path: &Path) -> Writing;
}

thread_local! {
    static PLAYED: RefCell<Option<Rc<dyn Played>>> = const { RefCell::new(None) };
}

/// Ends the play when it is dropped.
#[must_use]
#[derive(Debug)]
pub struct Playing(());

impl Drop for Playing {
    fn drop(&mut self) {
        PLAYED.with_borrow_mut(|played| *played = None);
    }
}

/// Plays this operating system to the thread from now on: it works without other threads.
pub fn play(played: Rc<dyn Played>) -> Playing {
    PLAYED.with_borrow_mut(|slot| *slot = Some(played));
    Playing(())
}

/// Whether this thread's operating system is played.
#[must_use]
pub fn is_on() -> bool {
    PLAYED.with_borrow(Option::is_some)
}

/// Asks the one that is played; `None` where none is.
pub(crate) fn with<T>(ask: impl FnOnce(&dyn Played) -> T) -> Option<T> {
    let played = PLAYED.with_borrow(Clone::clone);
    played.map(|played| ask(&*played))
}
