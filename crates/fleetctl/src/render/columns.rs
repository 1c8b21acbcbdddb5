//! Columns by their keys (`fleetctl.md` 5.10, 5.11).

use clap::ArgMatches;

use crate::{
    cluster::session::Session,
    error::CliError,
    legend::{Machines, Width},
    render::layout,
};

/// A column of rows of type `R`.
pub(crate) struct Column<R> {
    /// What it is called in `--fields` and, in capitals, in the header.
    pub(crate) key: &'static str,
    /// Whether its cells need to know the machines.
    pub(crate) names_machine: bool,
    /// Its cell in a row.
    pub(crate) cell: fn(&R, &Machines, Width) -> String,
}

/// A list as the user wants it.
pub(crate) struct List<R: 'static> {
    columns: Vec<&'static Column<R>>,
    width: Width,
    legend: bool,
}

impl<R> List<R> {
    /// Reads the flags of [`listing`](crate::flags::listing); every key must be one of
    /// `known`.
    pub(crate) fn new(known: &'static [Column<R>], matches: &ArgMatches) -> Result<Self, CliError> {
        let width = if matches.get_flag("full") { Width::Full } else { Width::Short };
        let legend = !matches.get_flag("no-legend");
        let fields = matches.get_one::<String>("fields").map_or("", String::as_str);
        if fields.is_empty() {
            return Err(CliError::failed("Must define output format"));
        }
        let find = |key: &str| {
            known
                .iter()
                .find(|column| column.key == key)
                .ok_or_else(|| CliError::Failed(format!("Invalid key in output format: \"{key}\"")))
        };
        let columns = fields.split(',').map(find).collect::<Result<_, _>>()?;
        Ok(Self { columns, width, legend })
    }

    /// The keys in the order in which they were given.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.columns.iter().map(|column| column.key)
    }

    /// The whole list as text.
    pub(crate) fn text(&self, rows: &[R], machines: &Machines) -> String {
        let header = self.legend.then(|| self.keys().map(str::to_uppercase).collect());
        let cells = rows.iter().map(|row| {
            self.columns.iter().map(|column| (column.cell)(row, machines, self.width)).collect()
        });
        layout(&header.into_iter().chain(cells).collect::<Vec<_>>())
    }
}

/// A text, or a dash where there is none.
pub(crate) fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// The machines, when the list shows any: `placed` says whether any row has one.
pub(crate) async fn machines_for<R>(
    session: &Session<'_>,
    list: &List<R>,
    placed: bool,
) -> Machines {
    let shows = list.columns.iter().any(|column| column.names_machine);
    if shows && placed { session.machines().await.clone() } else { Machines::new() }
}
