//! Diagnostics: `YYYY/MM/DD HH:MM:SS LEVEL source:line: text` on stderr (`fleetctl.md` 2.3).

use std::{
    fmt::{Debug, Result},
    io,
};

use chrono::Local;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    fmt::{self, FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::SubscriberExt,
    registry::LookupSpan,
};

/// What the names of our libraries begin with.
const OURS: &str = "fleet";

/// Starts writing diagnostics: ours from INFO on and what our libraries warn of, or all of both.
/// What libraries of others have to say helps nobody.
pub(crate) fn start(debug: bool) {
    let targets = if debug {
        Targets::new().with_target(OURS, LevelFilter::DEBUG)
    } else {
        Targets::new()
            .with_target(OURS, LevelFilter::WARN)
            .with_target("fleetctl", LevelFilter::INFO)
    };
    let lines = fmt::layer().with_writer(io::stderr).event_format(Lines).with_filter(targets);
    // Fails only when something in this process has done it before; then that is in place.
    let _ = tracing::subscriber::set_global_default(Registry::default().with(lines));
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
    ) -> Result {
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
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.fields.push_str(&format!(" {}={value:?}", field.name()));
        }
    }
}
