//! A terminal with a script in front of it: what a program asks is waited for, then answered.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

use crate::process::Process;
use crate::wait::eventually;

/// Longest time a program may take to say what is expected of it, or to end.
const LIMIT: Duration = Duration::from_secs(20);

/// A program on a terminal of its own, of 80 columns and 24 rows at first.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    /// The side of the one who types.
    screen: File,
    /// The program's side, kept open so that its settings can be read when the program is gone.
    line: File,
    shown: Arc<Mutex<Vec<u8>>>,
    /// How much of that was expected already.
    seen: usize,
}

impl Terminal {
    /// Starts `command`, with the terminal as all its streams. It has to make it its own.
    pub(crate) fn run(mut command: Command) -> Result<Self> {
        let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&screen)?;
        unlockpt(&screen)?;
        let name = ptsname(&screen, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let line = File::from(rustix::fs::open(name, flags, Mode::empty())?);
        command.stdin(line.try_clone()?).stdout(line.try_clone()?).stderr(line.try_clone()?);
        let screen = File::from(screen);
        let shown = Arc::default();
        keep(screen.try_clone()?, Arc::clone(&shown));
        resize(&line, 80, 24)?;
        let child = command.spawn().context("cannot run a program on a terminal")?;
        Ok(Self { child, screen, line, shown, seen: 0 })
    }

    /// Waits until the program has written `text` after what was expected before, and returns
    /// what it wrote up to there.
    ///
    /// # Errors
    /// When it doesn't: with all that it did write.
    pub fn expect(&mut self, text: &str) -> Result<String> {
        let (before, end) = eventually(&format!("{text:?} is shown"), LIMIT, || {
            let all = self.all();
            let new = all.get(self.seen..).unwrap_or_default();
            let at = new.find(text).with_context(|| format!("on the terminal is {all:?}"))?;
            let end = at + text.len();
            Ok((new[..end].to_owned(), self.seen + end))
        })?;
        self.seen = end;
        Ok(before)
    }

    /// Types `text`.
    ///
    /// # Errors
    /// When nobody can read it any more.
    pub fn send(&mut self, text: &str) -> Result<()> {
        Ok(self.screen.write_all(text.as_bytes())?)
    }

    /// Makes the window as large, which the program is told.
    ///
    /// # Errors
    /// When it has gone.
    pub fn resize(&self, columns: u16, rows: u16) -> Result<()> {
        resize(&self.screen, columns, rows)
    }

    /// The settings, in words.
    ///
    /// # Errors
    /// When the terminal has gone.
    pub fn settings(&self) -> Result<String> {
        Ok(format!("{:?}", tcgetattr(&self.line)?))
    }

    /// Sends `signal` to the process of this name among those that the command started.
    ///
    /// # Errors
    /// When there is none.
    pub fn signal(&self, name: &str, signal: Signal) -> Result<()> {
        let own = i32::try_from(self.child.id())?;
        let first = Process::find(own).context("it has ended")?;
        first.child(name).with_context(|| format!("no {name} was started"))?.signal(signal)
    }

    /// Waits for the program's end and returns its exit code, `None` for a signal.
    ///
    /// # Errors
    /// When it goes on.
    pub fn end(&mut self) -> Result<Option<i32>> {
        let status = eventually("the program on the terminal ends", LIMIT, || {
            let status = self.child.try_wait()?;
            status.with_context(|| format!("on the terminal is {:?}", self.all()))
        })?;
        Ok(status.code())
    }

    /// All that was shown.
    #[must_use]
    pub fn all(&self) -> String {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&shown).into_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Whatever a failed story left running; the lab's end would end it too.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Keeps what is shown until the last holder of the program's side is gone.
fn keep(mut screen: File, shown: Arc<Mutex<Vec<u8>>>) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = screen.read(&mut buffer) {
            let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            shown.extend_from_slice(&buffer[..count]);
        }
    });
}

fn resize(side: &File, columns: u16, rows: u16) -> Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(side, size)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Terminal {
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait", "sh", "-c", text]);
        Terminal::run(command).unwrap()
    }

    #[test]
    fn what_is_asked_can_be_answered() {
        let mut terminal = script("printf 'name? '; read x; echo hello $x; exit 3");
        let before = terminal.settings().unwrap();
        terminal.expect("name? ").unwrap();
        terminal.send("you\n").unwrap();
        terminal.expect("hello you\r\n").unwrap();
        assert_eq!(terminal.end().unwrap(), Some(3));
        assert_eq!(terminal.settings().unwrap(), before);
    }

    #[test]
    fn the_program_hears_of_a_new_size() {
        let mut terminal =
            script("trap 'stty size; exit' WINCH; stty size; while :; do sleep 0.02; done");
        terminal.expect("24 80\r\n").unwrap();
        terminal.resize(132, 50).unwrap();
        terminal.expect("50 132\r\n").unwrap();
        assert_eq!(terminal.end().unwrap(), Some(0));
    }

    #[test]
    fn settings_that_a_program_leaves_behind_are_seen() {
        let mut terminal = script("stty raw -echo");
        let before = terminal.settings().unwrap();
        terminal.end().unwrap();
        assert_ne!(terminal.settings().unwrap(), before);
    }
}
