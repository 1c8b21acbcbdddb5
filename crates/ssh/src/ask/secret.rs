//! Secrets, which are typed without echo.

use std::{
    fs::File,
    future,
    io::{self, Write},
};

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use super::{LONGEST, on_own_thread, read_byte, too_long};
use crate::terminal::TerminalGuard;

/// Asks on this process's terminal; `None` if there is none.
pub(super) async fn ask(question: &str) -> io::Result<Option<String>> {
    match File::options().read(true).write(true).open("/dev/tty") {
        Ok(terminal) => {
            let mut signals = signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
            let continued = async move || {
                if signals.recv().await.is_none() {
                    future::pending().await
                }
            };
            ask_on(terminal, question, continued).await
        }
        Err(_) => Ok(None),
    }
}

/// Asks on `terminal`. Its echo comes back when this future ends or is dropped, as it is when a
/// signal ends the command. When this process was stopped with Ctrl-Z and is `continued`, the shell
/// has given the echo back, and it asks again.
async fn ask_on(
    mut terminal: File,
    question: &str,
    mut continued: impl AsyncFnMut(),
) -> io::Result<Option<String>> {
    let mut silence = Some(TerminalGuard::silent(&terminal)?);
    terminal.write_all(question.as_bytes())?;
    let reader = terminal.try_clone()?;
    let reading = on_own_thread(move || read_secret(&reader));
    tokio::pin!(reading);
    let secret = loop {
        tokio::select! {
            secret = &mut reading => break secret,
            () = continued() => {
                // The settings from before first, as a shell without job control leaves ours.
                drop(silence.take());
                silence = Some(TerminalGuard::silent(&terminal)?);
                terminal.write_all(question.as_bytes())?;
            }
        }
    };
    drop(silence);
    if !matches!(secret, Ok(Some(_))) {
        // No end of a line was typed, so none was echoed.
        terminal.write_all(b"\n")?;
    }
    secret
}

/// Reads a secret; `None` is the end of input before one was entered. What was typed stays nowhere
/// in memory but in what is returned.
fn read_secret(terminal: &File) -> io::Result<Option<String>> {
    let mut secret = Zeroizing::new(Vec::with_capacity(LONGEST));
    loop {
        match read_byte(terminal)? {
            None => return Ok(None),
            Some(b'\n') => {
                let invalid = |_| io::Error::new(io::ErrorKind::InvalidData, "it isn't UTF-8");
                return String::from_utf8(std::mem::take(&mut *secret)).map(Some).map_err(invalid);
            }
            Some(_) if secret.len() == LONGEST => return Err(too_long()),
            Some(byte) => secret.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, sync::Arc};

    use rustix::{
        pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
        termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr},
    };

    use tokio::sync::Notify;

    use super::*;

    const QUESTION: &str = "Passphrase: ";

    /// Both ends of a terminal: the user's and ours.
    fn terminal() -> (File, File) {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let user = openpt(flags).unwrap();
        grantpt(&user).unwrap();
        unlockpt(&user).unwrap();
        let ours = ioctl_tiocgptpeer(&user, flags).unwrap();
        (user.into(), ours.into())
    }

    fn echoes(terminal: &File) -> bool {
        tcgetattr(terminal).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    /// Waits for the question, types `keys`, and returns what is seen from then on until a line
    /// ends.
    fn answer(user: &File, keys: &'static [u8]) -> impl FnOnce() -> io::Result<String> + use<> {
        let user = user.try_clone();
        move || {
            let mut user = user?;
            let mut question = [0; QUESTION.len()];
            user.read_exact(&mut question)?;
            assert_eq!(question, *QUESTION.as_bytes());
            user.write_all(keys)?;
            let mut seen = Vec::new();
            while !seen.ends_with(b"\n") {
                let mut byte = [0];
                user.read_exact(&mut byte)?;
                seen.push(byte[0]);
            }
            Ok(String::from_utf8_lossy(&seen).into_owned())
        }
    }

    async fn asked(keys: &'static [u8]) -> (Option<String>, String) {
        let (user, ours) = terminal();
        let same = ours.try_clone().unwrap();
        let ask = ask_on(ours, QUESTION, future::pending);
        let (secret, seen) = tokio::join!(ask, on_own_thread(answer(&user, keys)));
        assert!(echoes(&same));
        (secret.unwrap(), seen.unwrap())
    }

    #[tokio::test]
    async fn a_secret_is_read_and_not_shown() {
        // The last key before the line's end takes one back.
        let (secret, seen) = asked("geheim ß!x\x7f\n".as_bytes()).await;
        assert_eq!(secret.as_deref(), Some("geheim ß!"));
        assert_eq!(seen, "\r\n");
    }

    #[tokio::test]
    async fn a_user_can_give_up() {
        let (secret, seen) = asked(b"\x04").await;
        assert_eq!(secret, None);
        assert_eq!(seen, "\r\n");
    }

    #[tokio::test]
    async fn a_process_that_was_stopped_asks_again_without_echo() {
        let (mut user, ours) = terminal();
        let same = ours.try_clone().unwrap();
        let shown = tcgetattr(&ours).unwrap();
        let mut other_end = user.try_clone().unwrap();
        let continued = Arc::new(Notify::new());
        let said = Arc::clone(&continued);
        let stopping = on_own_thread(move || {
            other_end.read_exact(&mut [0; QUESTION.len()])?;
            // What the shell does while this process is stopped.
            tcsetattr(&same, OptionalActions::Now, &shown)?;
            said.notify_one();
            other_end.read_exact(&mut [0; QUESTION.len()])?;
            assert!(!echoes(&same));
            other_end.write_all(b"secret\n")?;
            Ok(same)
        });
        let ask = ask_on(ours, QUESTION, async || continued.notified().await);
        let (secret, same) = tokio::join!(ask, stopping);
        assert_eq!(secret.unwrap().as_deref(), Some("secret"));
        assert!(echoes(&same.unwrap()));
        user.read_exact(&mut [0; 2]).unwrap();
    }

    #[tokio::test]
    async fn the_echo_comes_back_when_nobody_waits_for_the_secret() {
        let (mut user, ours) = terminal();
        let same = ours.try_clone().unwrap();
        let mut ask = Box::pin(ask_on(ours, QUESTION, future::pending));
        let mut other_end = user.try_clone().unwrap();
        let question = on_own_thread(move || other_end.read_exact(&mut [0; QUESTION.len()]));
        tokio::select! {
            secret = &mut ask => panic!("{secret:?} was not typed"),
            asked = question => asked.unwrap(),
        }
        assert!(!echoes(&same));
        drop(ask);
        assert!(echoes(&same));
        // For the thread that reads.
        user.write_all(b"\n").unwrap();
    }
}
