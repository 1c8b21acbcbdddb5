//! The far end of a stream when it is the command `fleetctl fd-forward` (`ssh.md` 3.1).

use std::{io, os::unix::ffi::OsStrExt, path::Path};

use russh::Sig;

use crate::{Refusal, session};

/// How much of what it says on stderr is kept, in bytes.
const SAID: usize = 4096;

/// The command's status when the shell doesn't find it.
const NOT_FOUND: u32 = 127;

/// The command line that connects to the socket at `path`. Paths of plain characters stay bare, for
/// old filters of commands to match; others are quoted, for the shell to leave them alone.
pub(super) fn line(path: &Path) -> Vec<u8> {
    let path = path.as_os_str().as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_./:@%+=,-".contains(byte);
    let mut line = b"fleetctl fd-forward ".to_vec();
    if !path.is_empty() && path.iter().all(plain) {
        line.extend(path);
    } else {
        line.push(b'\'');
        for &byte in path {
            match byte {
                b'\'' => line.extend(br"'\''"),
                byte => line.push(byte),
            }
        }
        line.push(b'\'');
    }
    line
}

/// What is known of the command.
pub(super) struct FarEnd {
    host: String,
    /// What the host said when it was asked for a channel straight to the socket.
    refusal: Option<Refusal>,
    said: Vec<u8>,
    /// Whether anything came through it.
    heard: bool,
    ended: Ended,
}

/// How it ended.
enum Ended {
    /// Not that anybody knows.
    Unknown,
    /// It was never started.
    NotRun,
    Status(u32),
    Signal(Sig),
}

impl FarEnd {
    pub(super) fn new(host: String, refusal: Option<Refusal>) -> Self {
        Self { host, refusal, said: Vec::new(), heard: false, ended: Ended::Unknown }
    }

    /// Notes that something came through it, and says whether that is news.
    pub(super) fn hear(&mut self) -> bool {
        !std::mem::replace(&mut self.heard, true)
    }

    /// Notes what it says on stderr.
    pub(super) fn says(&mut self, words: &[u8]) {
        let room = SAID - self.said.len();
        self.said.extend(&words[..words.len().min(room)]);
    }

    pub(super) fn exited(&mut self, status: u32) {
        self.ended = Ended::Status(status);
    }

    pub(super) fn killed(&mut self, signal: Sig) {
        // A status says more.
        if !matches!(self.ended, Ended::Status(_)) {
            self.ended = Ended::Signal(signal);
        }
    }

    pub(super) fn refused(&mut self) {
        self.ended = Ended::NotRun;
    }

    /// What its end means for the stream.
    pub(super) fn verdict(&self) -> io::Result<()> {
        let said = self.said();
        let text = match &self.ended {
            // The original's command ends like this when there is no socket.
            Ended::Status(0) if !self.heard && !said.is_empty() => "EOF".to_owned(),
            Ended::Status(0) => return Ok(()),
            Ended::Status(status) => format!("Process exited with status {status}"),
            Ended::Signal(signal) => {
                let status = 128 + u32::from(session::number(signal));
                format!("Process exited with status {status} from signal {}", name(signal))
            }
            Ended::NotRun => "ssh: command fleetctl fd-forward failed".to_owned(),
            Ended::Unknown => return Err(lost()),
        };
        Err(io::Error::other(text + &self.details(&said)))
    }

    fn details(&self, said: &str) -> String {
        let mut details = String::new();
        if !said.is_empty() {
            details = format!(": {said}");
        }
        if matches!(self.ended, Ended::Status(NOT_FOUND)) {
            details += "; fleetctl must be in the PATH of non-interactive logins on ";
            details += &self.host;
        }
        if let Some(refusal) = self.refusal.filter(|_| !self.heard) {
            details += &format!("; the host opens no channel straight to the socket: {refusal}");
        }
        details
    }

    /// What it said, on one line and fit for a terminal.
    fn said(&self) -> String {
        let words = String::from_utf8_lossy(&self.said);
        let words = words.split(|letter: char| letter.is_whitespace() || letter.is_control());
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// The end of a stream whose connection broke.
pub(super) fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "ssh: connection lost")
}

fn name(signal: &Sig) -> String {
    match signal {
        Sig::Custom(name) => name.chars().filter(char::is_ascii_alphanumeric).collect(),
        known => format!("{known:?}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(path: &str) -> String {
        String::from_utf8(line(Path::new(path))).unwrap()
    }

    #[test]
    fn only_unusual_paths_are_quoted() {
        let lines = [
            ("/var/run/fleet.sock", "fleetctl fd-forward /var/run/fleet.sock"),
            ("/run/a-b_c.d:e@f%g+h=i,j", "fleetctl fd-forward /run/a-b_c.d:e@f%g+h=i,j"),
            ("/run/x.sock;echo pwned", "fleetctl fd-forward '/run/x.sock;echo pwned'"),
            ("/run/it's", r"fleetctl fd-forward '/run/it'\''s'"),
            ("/run/$(id)", "fleetctl fd-forward '/run/$(id)'"),
            ("/run/~", "fleetctl fd-forward '/run/~'"),
            ("", "fleetctl fd-forward ''"),
        ];
        for (path, expected) in lines {
            assert_eq!(text(path), expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_shell_gives_the_command_the_path_as_it_is(path in "[^\0]{0,20}") {
            let script = format!("fleetctl() {{ printf '%s|' \"$@\"; }}; {}", text(&path));
            let shell = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
            let expected = format!("fd-forward|{path}|");
            prop_assert_eq!(String::from_utf8(shell.stdout).unwrap(), expected);
        }
    }

    fn end(status: u32, said: &str) -> FarEnd {
        let mut end = FarEnd::new("h1".to_owned(), None);
        end.says(said.as_bytes());
        end.exited(status);
        end
    }

    #[test]
    fn a_missing_fleetctl_is_explained() {
        let error = end(127, "sh: 1: fleetctl: not found\n").verdict().unwrap_err().to_string();
        assert_eq!(
            error,
            "Process exited with status 127: sh: 1: fleetctl: not found; fleetctl must be in the \
             PATH of non-interactive logins on h1"
        );
    }

    #[test]
    fn a_good_end_is_the_end_of_the_stream() {
        assert!(end(0, "").verdict().is_ok());
        let mut spoken = end(0, "noise\n");
        spoken.hear();
        assert!(spoken.verdict().is_ok());
    }

    #[test]
    fn words_instead_of_data_are_no_good_end() {
        let error = end(0, "no such\x1b[2Jsocket\r\n").verdict().unwrap_err().to_string();
        assert_eq!(error, "EOF: no such [2Jsocket");
    }

    #[test]
    fn a_refusal_is_told_unless_the_command_worked() {
        let mut end = FarEnd::new("h1".to_owned(), Some(Refusal::ConnectFailed));
        end.exited(1);
        let error = end.verdict().unwrap_err().to_string();
        assert_eq!(
            error,
            "Process exited with status 1; the host opens no channel straight to the socket: \
             connect failed"
        );
        assert!(end.hear());
        assert!(!end.hear());
        assert_eq!(end.verdict().unwrap_err().to_string(), "Process exited with status 1");
    }

    #[test]
    fn signals_and_broken_connections_are_errors() {
        let mut end = FarEnd::new("h1".to_owned(), None);
        assert_eq!(end.verdict().unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        end.killed(Sig::TERM);
        let error = end.verdict().unwrap_err().to_string();
        assert_eq!(error, "Process exited with status 143 from signal TERM");
    }

    #[test]
    fn no_more_than_four_kibibytes_are_kept() {
        let mut end = FarEnd::new("h1".to_owned(), None);
        for _ in 0..10 {
            end.says(&[b'x'; 1000]);
        }
        assert_eq!(end.said.len(), SAID);
    }
}
