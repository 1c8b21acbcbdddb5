//! Where text goes: results to stdout, everything else to stderr.

use std::{
    cell::RefCell,
    fmt,
    io::{self, ErrorKind, Write},
};

use crate::error::CliError;

/// What a server, a machine or a unit says, fit for a terminal and for one line: it may be anything.
pub(crate) fn tame(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// The two streams. Shared by futures of one thread; never borrowed across an await.
pub(crate) struct Ui {
    out: RefCell<Box<dyn Write>>,
    err: RefCell<Box<dyn Write>>,
}

impl Ui {
    /// The streams of this process.
    pub(crate) fn standard() -> Self {
        Self::new(io::stdout(), io::stderr())
    }

    /// Other streams.
    pub(crate) fn new(out: impl Write + 'static, err: impl Write + 'static) -> Self {
        Self { out: RefCell::new(Box::new(out)), err: RefCell::new(Box::new(err)) }
    }

    /// Prints a line of the result.
    pub(crate) fn out(&self, line: impl fmt::Display) -> Result<(), CliError> {
        self.text(&format!("{line}\n"))
    }

    /// Prints text of the result as it is. Whoever closes the pipe has seen enough, and the
    /// command goes on without: `start x | grep -q inactive` starts x.
    pub(crate) fn text(&self, text: &str) -> Result<(), CliError> {
        let mut out = self.out.borrow_mut();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(CliError::Output),
        }
    }

    /// Prints a line that isn't part of the result. Nobody is left to tell when that fails.
    pub(crate) fn err(&self, line: impl fmt::Display) {
        let _ = writeln!(self.err.borrow_mut(), "{line}");
    }
}
