//! Where text goes: results to stdout, everything else to stderr.

use std::{
    borrow::Cow,
    cell::RefCell,
    fmt,
    io::{self, ErrorKind, IsTerminal, Write},
};

use fleet_core::error_text::tame_lines;

use crate::error::CliError;

pub(crate) use fleet_core::error_text::tame;

/// The two streams. Shared by futures of one thread; never borrowed across an await.
///
/// Whatever a server, a machine or a unit says is in what is printed, it reaches no terminal but as
/// letters and lines. What is piped stays as it is.
pub(crate) struct Ui {
    out: RefCell<Box<dyn Write>>,
    err: RefCell<Box<dyn Write>>,
    /// Whether somebody looks at the results.
    is_shown: bool,
}

impl Ui {
    /// The streams of this process.
    pub(crate) fn standard() -> Self {
        let is_shown = io::stdout().is_terminal();
        Self { is_shown, ..Self::new(io::stdout(), io::stderr()) }
    }

    /// Other streams.
    pub(crate) fn new(out: impl Write + 'static, err: impl Write + 'static) -> Self {
        let (out, err) = (RefCell::new(Box::new(out) as _), RefCell::new(Box::new(err) as _));
        Self { out, err, is_shown: false }
    }

    /// Prints a line of the result.
    pub(crate) fn out(&self, line: impl fmt::Display) -> Result<(), CliError> {
        self.text(&format!("{line}\n"))
    }

    /// Prints text of the result as it is. Whoever closes the pipe has seen enough, and the
    /// command goes on without: `start x | grep -q inactive` starts x.
    pub(crate) fn text(&self, text: &str) -> Result<(), CliError> {
        let text = if self.is_shown { Cow::from(tame_lines(text)) } else { Cow::from(text) };
        let mut out = self.out.borrow_mut();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(CliError::Output),
        }
    }

    /// Prints a line that isn't part of the result. Nobody is left to tell when that fails.
    pub(crate) fn err(&self, line: impl fmt::Display) {
        let _ = writeln!(self.err.borrow_mut(), "{}", tame_lines(&line.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    /// What was written, kept for the test.
    #[derive(Clone, Default)]
    struct Written(Rc<RefCell<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_terminal_gets_letters_and_lines_and_a_pipe_every_byte() {
        let text = "[Service]\nA=\u{1b}]0;x\u{7}\u{202e}b\n";
        for (is_shown, expected) in [(false, text), (true, "[Service]\nA= ]0;x  b\n")] {
            let (out, err) = (Written::default(), Written::default());
            let ui = Ui { is_shown, ..Ui::new(out.clone(), err.clone()) };
            ui.text(text).unwrap();
            ui.err("server: \u{1b}[2J\nno");
            assert_eq!(String::from_utf8(out.0.take()).unwrap(), expected);
            assert_eq!(String::from_utf8(err.0.take()).unwrap(), "server:  [2J\nno\n");
        }
    }
}
