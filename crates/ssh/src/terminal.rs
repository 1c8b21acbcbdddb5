//! The local terminal: settings that come back, and its size (`ssh.md` 5).

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// A terminal whose settings were changed. Dropped, it gets back those from before, so they also
/// come back after an error, a panic and a signal that is waited for.
#[must_use = "the settings come back as soon as this is dropped"]
pub(crate) struct TerminalGuard(Arc<Changed>);

/// A terminal and its settings from before.
struct Changed {
    terminal: OwnedFd,
    before: Termios,
}

/// The terminals that are changed, for [`restore`], in the order in which they were.
static CHANGED: Mutex<Vec<Arc<Changed>>> = Mutex::new(Vec::new());

fn changed() -> MutexGuard<'static, Vec<Arc<Changed>>> {
    CHANGED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives all terminals back their settings, for a process that ends without dropping anything.
pub(crate) fn restore() {
    undo(&changed());
}

/// The last change first: it came upon what the others had made.
fn undo(changes: &[Arc<Changed>]) {
    changes.iter().rev().for_each(|change| change.undo());
}

impl TerminalGuard {
    /// Makes `terminal` raw, as `cfmakeraw` does: every key goes through, nothing is echoed.
    ///
    /// # Errors
    /// It is no terminal.
    pub(crate) fn raw(terminal: impl AsFd) -> io::Result<Self> {
        Self::change(terminal, Termios::make_raw)
    }

    /// Stops the echo of `terminal`, but for that of line ends. Everything else stays.
    ///
    /// # Errors
    /// It is no terminal.
    pub(crate) fn silent(terminal: impl AsFd) -> io::Result<Self> {
        Self::change(terminal, |settings| {
            settings.local_modes -= LocalModes::ECHO;
            settings.local_modes |= LocalModes::ECHONL;
        })
    }

    fn change(terminal: impl AsFd, change: impl FnOnce(&mut Termios)) -> io::Result<Self> {
        let terminal = terminal.as_fd().try_clone_to_owned()?;
        let before = tcgetattr(&terminal)?;
        let mut settings = before.clone();
        change(&mut settings);
        let kept = Arc::new(Changed { terminal, before });
        let mut all = changed();
        tcsetattr(&kept.terminal, OptionalActions::Now, &settings)?;
        all.push(Arc::clone(&kept));
        Ok(Self(kept))
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        let mut all = changed();
        self.0.undo();
        all.retain(|other| !Arc::ptr_eq(other, &self.0));
    }
}

impl Changed {
    fn undo(&self) {
        // Not `Drain`: a terminal that nobody reads would never give this process back. There is
        // nobody to tell about a terminal that is gone.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// How large a terminal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// In characters.
    pub(crate) columns: u32,
    /// In characters.
    pub(crate) rows: u32,
}

impl Size {
    /// The size of `terminal`.
    ///
    /// # Errors
    /// It is no terminal.
    pub(crate) fn of(terminal: impl AsFd) -> io::Result<Self> {
        let size = tcgetwinsize(terminal)?;
        Ok(Self { columns: size.ws_col.into(), rows: size.ws_row.into() })
    }

    /// Width and height in pixels, as the server is told: a character has eight each way.
    pub(crate) fn pixels(self) -> (u32, u32) {
        (self.columns * 8, self.rows * 8)
    }
}

#[cfg(test)]
mod tests {
    use rustix::{
        pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
        termios::{InputModes, OutputModes},
    };

    use super::*;

    /// Both ends of a terminal.
    fn terminal() -> (OwnedFd, OwnedFd) {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let far = openpt(flags).unwrap();
        grantpt(&far).unwrap();
        unlockpt(&far).unwrap();
        let near = ioctl_tiocgptpeer(&far, flags).unwrap();
        (far, near)
    }

    fn modes(terminal: &OwnedFd) -> (InputModes, OutputModes, LocalModes) {
        let settings = tcgetattr(terminal).unwrap();
        (settings.input_modes, settings.output_modes, settings.local_modes)
    }

    #[test]
    fn raw_lasts_as_long_as_it_is_kept() {
        let (_far, near) = terminal();
        let before = modes(&near);
        let kept = TerminalGuard::raw(&near).unwrap();
        let (_, output, local) = modes(&near);
        assert!(!local.intersects(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG));
        assert!(!output.contains(OutputModes::OPOST));
        drop(kept);
        assert_eq!(modes(&near), before);
    }

    #[test]
    fn settings_come_back_after_a_panic() {
        let (_far, near) = terminal();
        let before = modes(&near);
        let panicked = std::panic::catch_unwind(|| {
            let _kept = TerminalGuard::raw(&near).unwrap();
            panic!("on purpose");
        });
        assert!(panicked.is_err());
        assert_eq!(modes(&near), before);
    }

    #[test]
    fn changes_upon_each_other_are_undone_without_being_dropped() {
        let (_far, near) = terminal();
        let before = modes(&near);
        let (raw, silent) =
            (TerminalGuard::raw(&near).unwrap(), TerminalGuard::silent(&near).unwrap());
        assert!(changed().iter().any(|change| Arc::ptr_eq(change, &silent.0)));
        undo(&[Arc::clone(&raw.0), Arc::clone(&silent.0)]);
        assert_eq!(modes(&near), before);
    }

    #[test]
    fn silence_takes_nothing_but_the_echo() {
        let (_far, near) = terminal();
        let (_, _, before) = modes(&near);
        let kept = TerminalGuard::silent(&near).unwrap();
        let (_, _, during) = modes(&near);
        assert!(!during.contains(LocalModes::ECHO));
        assert!(during.contains(LocalModes::ICANON | LocalModes::ISIG | LocalModes::ECHONL));
        drop(kept);
        assert_eq!(modes(&near).2, before);
    }

    #[test]
    fn what_is_no_terminal_is_refused() {
        let file = tempfile::tempfile().unwrap();
        assert!(TerminalGuard::raw(&file).is_err());
        assert!(Size::of(&file).is_err());
    }
}
