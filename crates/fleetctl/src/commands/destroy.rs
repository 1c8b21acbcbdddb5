//! `fleetctl destroy` (`fleetctl.md` 5.7).

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    convert::Infallible,
};

use clap::{ArgMatches, Command};
use fleet_client::Removal;
use fleet_schema::Unit;

use crate::{
    cluster::session::Session,
    error::CliError,
    flags,
    units::{
        many,
        name::UnitArg,
        select::select,
        wait::{Block, Cause, Failure, OnFailure, Poll, Wait, running},
    },
};

pub(crate) fn describe(command: Command) -> Command {
    command
        .about("Destroy one or more units in the cluster")
        .override_usage("destroy [--no-block|--block-attempts=N] UNIT...")
        .long_about(
            "Remove one or more units from the cluster, stopping them where they run. Units that\n\
             don't exist are ignored. Templates and their instances are destroyed separately.\n\
             \n\
             Waits until the units have stopped and are gone, unless --no-block is given;\n\
             --block-attempts bounds the wait.",
        )
        .args(flags::blocking())
}

pub(crate) async fn run(matches: &ArgMatches, session: &Session<'_>) -> Result<(), CliError> {
    let words = flags::words(matches);
    if words.is_empty() {
        session.ui.err("No units given");
        return Ok(());
    }
    let block = flags::block(matches);
    let mut result = Ok(());
    let mut fail = |error: String| {
        session.ui.err(format_args!("Error destroying units: {error}"));
        result = Err(CliError::Reported);
    };
    let mut removed: Vec<String> = Vec::new();
    let units = select(session, &UnitArg::all(&words)?).await?;
    // One that fails keeps none of the others.
    let (told, _) = many::in_order(units, async |Unit { name, .. }: Unit| {
        let ended = session.api.destroy(&name).await;
        Ok::<_, Infallible>((name, ended))
    })
    .await;
    for (name, ended) in told {
        match ended {
            Ok(Removal::Removed) if block == Block::No => {
                session.ui.out(format_args!("Destroyed {name}"))?;
            }
            Ok(Removal::Removed) => removed.push(name),
            // Somebody else destroyed it meanwhile.
            Ok(Removal::Absent) => {}
            Err(error) => fail(error.to_string()),
        }
    }
    for error in gone(session, &removed, block).await? {
        fail(error);
    }
    result
}

/// Waits until the cluster doesn't have the units any more and no machine reports anything of them:
/// then they have stopped. Says so of each, in their order, and returns what went wrong.
async fn gone(
    session: &Session<'_>,
    units: &[String],
    block: Block,
) -> Result<Vec<String>, CliError> {
    let wait = Wait {
        ui: session.ui,
        goal: "to be destroyed",
        units,
        limit: block.limit(),
        on_failure: OnFailure::GoOn,
    };
    let order = Order::new(units);
    let look = async |most: usize| {
        let known = session.api.units_within(most).await.ok()??.into_iter().map(|unit| unit.name);
        let reported =
            session.api.states_within(most).await.ok()??.into_iter().map(|state| state.name);
        let there: BTreeSet<String> = known.chain(reported).collect();
        let gone = |name: &&String| !there.contains(*name);
        Some(units.iter().filter(gone).cloned().collect())
    };
    let failures = wait
        .run_with_list(look, async |name, _| match is_there(session, name).await {
            Some(what) => Ok(Poll::NotYet(what)),
            None => {
                order.over(name, |name| session.ui.out(format_args!("Destroyed {name}")))?;
                Ok(Poll::Reached)
            }
        })
        .await?;
    order.rest(|name| session.ui.out(format_args!("Destroyed {name}")))?;
    let worded = |Failure { unit, cause }: Failure| match cause {
        Cause::TimedOut => format!("timed out waiting for unit {unit} to be destroyed"),
        Cause::Never(reason) => reason,
    };
    Ok(failures.into_iter().map(worded).collect())
}

/// What there still is of a unit that was destroyed.
async fn is_there(session: &Session<'_>, name: &str) -> Option<String> {
    match session.api.unit(name).await {
        Ok(None) => {}
        Ok(Some(unit)) => return Some(format!("still there, {}", unit.desired_state)),
        Err(error) => return Some(error.to_string()),
    }
    match session.api.states_of(name, None).await {
        Ok(states) => running(&states, false),
        Err(error) => Some(error.to_string()),
    }
}

/// Says what is over in the order in which it was asked for.
struct Order<'a> {
    units: &'a [String],
    /// How many of them were told of.
    told: Cell<usize>,
    over: RefCell<BTreeSet<String>>,
}

impl<'a> Order<'a> {
    fn new(units: &'a [String]) -> Self {
        Self { units, told: Cell::new(0), over: RefCell::default() }
    }

    /// Takes in that a unit is over, and tells of all that may be told of now.
    fn over(
        &self,
        name: &str,
        tell: impl Fn(&str) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        self.over.borrow_mut().insert(name.to_owned());
        while let Some(next) = self.units.get(self.told.get())
            && self.over.borrow().contains(next)
        {
            tell(next)?;
            self.told.set(self.told.get() + 1);
        }
        Ok(())
    }

    /// Tells of those that had to wait for one that isn't over.
    fn rest(&self, tell: impl Fn(&str) -> Result<(), CliError>) -> Result<(), CliError> {
        let left = self.units.iter().skip(self.told.get());
        left.filter(|name| self.over.borrow().contains(*name)).try_for_each(|name| tell(name))
    }
}
