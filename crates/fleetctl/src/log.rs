//! Diagnostics: `YYYY/MM/DD HH:MM:SS LEVEL source:line: text` on stderr (`fleetctl.md` 2.3).

use std::{fmt, io};

use chrono::Local;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Starts writing diagnostics: from INFO on, or all.
pub(crate) fn start(debug: bool) {
    let level = if debug { LevelFilter::DEBUG } else { LevelFilter::INFO };
    // Fails only when something in this process has done it before; then that is in place.
    let _ = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .event_format(Lines)
        .try_init();
}

/// The layout of a line.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let now = Local::now().format("%Y/%m/%d %H:%M:%S");
        let metadata = event.metadata();
        let level = match *metadata.level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARN",
            Level::INFO => "INFO",
            Level::DEBUG | Level::TRACE => "DEBUG",
        };
        let file = metadata.file().and_then(|path| path.rsplit('/').next()).unwrap_or("fleetctl");
        let line = metadata.line().unwrap_or_default();
        let mut text = Text::default();
        event.record(&mut text);
        writeln!(writer, "{now} {level} {file}:{line}: {}{}", text.message, text.fields)
    }
}

/// What an event says: its message, then its fields.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.fields.push_str(&format!(" {}={value:?}", field.name()));
        }
    }
}
