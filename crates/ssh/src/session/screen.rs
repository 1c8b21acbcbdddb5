//! Cleans what a host writes to a terminal of ours, for jobs that only show something.
//!
//! Letters, line ends, colours and what a pager moves about with pass; what would talk to the terminal
//! itself doesn't: titles, the clipboard, questions that it answers as if somebody had typed, mouse
//! reports, and letters that hide or turn what stands beside them.
//!
//! ```text
//! letters ── ESC ──▶ escape ── [ ──▶ control sequence ── final byte ──▶ letters, kept if it is harmless
//!    ▲                  └── ] P X ^ _ ──▶ string ── BEL, or ESC \ ──▶ letters, dropped
//!    └── anything else: dropped
//! ```

use std::mem;

use fleet_core::error_text::is_harmful;

/// The longest control sequence that is kept, in bytes.
const LONGEST: usize = 32;

/// Modes that a pager sets and resets (xterm's control sequences, `DECSET`): cursor keys, wrapping, the
/// cursor's look, the other screen, pasting.
const MODES: [&str; 9] = ["1", "7", "12", "25", "47", "1047", "1048", "1049", "2004"];

/// Where a stream is; it may be cut anywhere.
#[derive(Debug, Default)]
pub(super) struct Screen {
    state: State,
    /// The bytes of a letter or of a sequence so far.
    begun: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Letters,
    Escape,
    Control,
    String,
    /// An escape within a string: its end, if a backslash follows.
    StringEscape,
}

impl Screen {
    /// What of the next `bytes` may be written.
    pub(super) fn clean(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut clean = Vec::with_capacity(bytes.len());
        for byte in bytes {
            self.take(*byte, &mut clean);
        }
        clean
    }

    fn take(&mut self, byte: u8, clean: &mut Vec<u8>) {
        self.state = match self.state {
            State::Letters if byte == 0x1b => {
                self.finish_letter(clean);
                State::Escape
            }
            State::Letters => {
                self.letter(byte, clean);
                State::Letters
            }
            State::Escape => match byte {
                b'[' => {
                    self.begun = b"\x1b[".to_vec();
                    State::Control
                }
                b']' | b'P' | b'X' | b'^' | b'_' => State::String,
                0x1b => State::Escape,
                _ => State::Letters,
            },
            State::Control => self.control(byte, clean),
            State::String => match byte {
                0x07 | 0x18 | 0x1a => State::Letters,
                0x1b => State::StringEscape,
                _ => State::String,
            },
            State::StringEscape => match byte {
                0x1b => State::StringEscape,
                b'\\' => State::Letters,
                _ => State::String,
            },
        };
    }

    /// A byte of a letter; the letter is written when it is complete.
    fn letter(&mut self, byte: u8, clean: &mut Vec<u8>) {
        let continues = byte & 0xc0 == 0x80;
        if !continues {
            self.finish_letter(clean);
        }
        self.begun.push(byte);
        match std::str::from_utf8(&self.begun) {
            Err(error) if error.error_len().is_none() => {}
            _ => self.finish_letter(clean),
        }
    }

    fn finish_letter(&mut self, clean: &mut Vec<u8>) {
        let begun = mem::take(&mut self.begun);
        for letter in String::from_utf8_lossy(&begun).chars() {
            if matches!(letter, '\n' | '\r' | '\t' | '\u{8}') {
                clean.push(letter as u8);
            } else {
                let letter = if is_harmful(letter) { char::REPLACEMENT_CHARACTER } else { letter };
                clean.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }

    fn control(&mut self, byte: u8, clean: &mut Vec<u8>) -> State {
        match byte {
            // Anew, or broken off.
            0x1b => {
                self.begun.clear();
                State::Escape
            }
            0x20..=0x3f => {
                if self.begun.len() < LONGEST {
                    self.begun.push(byte);
                }
                State::Control
            }
            _ => {
                let sequence = mem::take(&mut self.begun);
                if sequence.len() < LONGEST && is_harmless(&sequence[2..], byte) {
                    clean.extend_from_slice(&sequence);
                    clean.push(byte);
                }
                State::Letters
            }
        }
    }
}

/// Whether a control sequence with these parameters only changes how letters look and where they go.
fn is_harmless(parameters: &[u8], end: u8) -> bool {
    let plain = parameters.iter().all(|byte| matches!(byte, b'0'..=b'9' | b';' | b':'));
    match end {
        b'm'
        | b'A'..=b'H'
        | b'J'
        | b'K'
        | b'L'
        | b'M'
        | b'P'
        | b'S'
        | b'T'
        | b'X'
        | b'@'
        | b'd'
        | b'f'
        | b'r' => plain,
        b'h' | b'l' => parameters
            .strip_prefix(b"?")
            .and_then(|modes| std::str::from_utf8(modes).ok())
            .is_some_and(|modes| modes.split(';').all(|mode| MODES.contains(&mode))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_looks_pass_and_nothing_else() {
        for (bytes, expected) in [
            (&b"\x1b[0;1;32m\xe2\x97\x8f\x1b[0m hello.service\r\n"[..], "\x1b[0;1;32m● \x1b[0m"),
            (b"a\tb\n", "a\tb\n"),
            (
                b"\x1b[?1049h\x1b[2J\x1b[1;1H\x1b[K\x1b[?25l",
                "\x1b[?1049h\x1b[2J\x1b[1;1H\x1b[K\x1b[?25l",
            ),
            (b"a\x1b]0;title\x07b", "ab"),
            (b"a\x1b]52;c;aGk=\x1b\\b", "ab"),
            (b"a\x1bPq\x1b\x1b\\b", "ab"),
            (b"a\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\b", "alinkb"),
            (b"a\x1b[6nb\x1b[cb\x1b[>cb\x1b[21tb", "abbbb"),
            (b"a\x1b[?1000hb\x1b[?1;1000hb\x1b[4hb", "abbb"),
            (b"a\x1b=\x1bcb\x1b\x1bMb", "abb"),
            (b"a\x07\x00\x7fb", "a\u{fffd}\u{fffd}\u{fffd}b"),
            (b"a\xc2\x9b2Jb", "a\u{fffd}2Jb"),
            (b"a\xe2\x80\xaeb", "a\u{fffd}b"),
            (b"a\xffb\xe2\x97c", "a\u{fffd}b\u{fffd}c"),
            (b"a\xe2\x1b[1mb", "a\u{fffd}\x1b[1mb"),
            (b"a\x1b[1\x1b[2mb", "a\x1b[2mb"),
        ] {
            let expected = expected.replace("● \x1b[0m", "●\x1b[0m hello.service\r\n");
            let whole = Screen::default().clean(bytes);
            assert_eq!(String::from_utf8(whole).unwrap(), expected, "{bytes:?}");
            // However it is cut.
            let mut screen = Screen::default();
            let parts: Vec<u8> = bytes.chunks(1).flat_map(|part| screen.clean(part)).collect();
            assert_eq!(String::from_utf8(parts).unwrap(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_sequence_without_end_takes_no_memory() {
        let mut screen = Screen::default();
        assert!(screen.clean(b"\x1b[").is_empty());
        assert!(screen.clean(&vec![b'1'; 100_000]).is_empty());
        assert!(screen.begun.len() <= LONGEST);
        assert_eq!(screen.clean(b"mx"), b"x");
    }
}
