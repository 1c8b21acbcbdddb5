//! Bringing units into the registry: the first half of submit, load and start (`fleetctl.md` 5.1).

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
};

use fleet_core::{JobState, UnitName, validate};
use fleet_schema::{Unit, UnitOption};
use tracing::{debug, warn};

use crate::{
    cluster::session::Session,
    error::CliError,
    units::{
        local::{self, Content, Local},
        many,
        name::UnitArg,
        unit,
        wait::{Block, Goal, OnFailure, for_state},
    },
};

/// Which command asks; it decides what `--replace` may replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CreatingCommand {
    /// `fleetctl submit`.
    Submit,
    /// `fleetctl load`.
    Load,
    /// `fleetctl start`.
    Start,
}

impl CreatingCommand {
    /// Whether a unit of which `desired` is desired may be replaced.
    fn may_replace(self, desired: &str) -> bool {
        match desired {
            "launched" => self == Self::Start,
            "loaded" => self != Self::Submit,
            _ => true,
        }
    }
}

/// What to do about a unit that exists and differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// Leave it, with a warning.
    Keep,
    /// Replace it, where the command may.
    Replace,
}

/// Whether something is said of what is odd about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remarks {
    /// By line, on stderr.
    Said,
    /// Nothing is said.
    Unsaid,
}

/// What became of the arguments.
#[derive(Debug, Default)]
pub(crate) struct Created {
    /// Names of units that were not to be replaced; the user was told.
    pub(crate) refused: Vec<String>,
    /// Where global units ran whose content was replaced.
    pub(crate) machines: BTreeMap<String, Vec<String>>,
}

/// A failure of this half; the command puts its words in front.
#[derive(Debug)]
enum Failure {
    /// For these reasons no unit can be brought in.
    Text(String),
    /// Something else.
    Other(CliError),
}

impl From<CliError> for Failure {
    fn from(error: CliError) -> Self {
        Self::Other(error)
    }
}

/// One run over the arguments.
struct Creation<'a> {
    session: &'a Session<'a>,
    command: CreatingCommand,
    existing: Existing,
    remarks: Remarks,
    block: Block,
    /// The files about which everything was said; several instances have one template.
    remarked: RefCell<BTreeSet<PathBuf>>,
    /// The templates that were asked for, as long as nothing is uploaded.
    templates: RefCell<BTreeMap<String, Option<Unit>>>,
}

/// What is uploaded of a unit.
struct Upload {
    name: String,
    options: Vec<UnitOption>,
}

/// Creates or replaces the units of `arguments` that need it, and waits for what was created. Many are
/// asked about and uploaded at a time. The first failure ends it; what was done stays done.
pub(crate) async fn create(
    session: &Session<'_>,
    command: CreatingCommand,
    existing: Existing,
    remarks: Remarks,
    block: Block,
    arguments: &[UnitArg],
) -> Result<Created, CliError> {
    let (remarked, templates) = (RefCell::default(), RefCell::default());
    let creation = Creation { session, command, existing, remarks, block, remarked, templates };
    creation.run(arguments).await.map_err(|failure| match failure {
        Failure::Text(text) => CliError::Failed(format!("Error creating units: {text}")),
        Failure::Other(error) => error,
    })
}

impl Creation<'_> {
    async fn run(&self, arguments: &[UnitArg]) -> Result<Created, Failure> {
        let mut done = Created::default();
        let mut new = Vec::new();
        // One that was given before is there by then, and so is the template of an instance.
        let template = |argument: &UnitArg| Some(argument.template()?.name);
        for run in many::runs(arguments, |argument| &argument.name, template) {
            self.templates.borrow_mut().clear();
            if let Err(failure) = self.bring_in(run, &mut done, &mut new).await {
                if !new.is_empty() {
                    let new = new.join(", ");
                    self.session
                        .ui
                        .err(format_args!("Submitted before the error, and kept: {new}"));
                }
                return Err(failure);
            }
        }
        self.settle(&new).await?;
        Ok(done)
    }

    /// Brings units in, and puts those among the `new` that were uploaded. Those before one that can't be
    /// brought in are; none after it is.
    async fn bring_in(
        &self,
        arguments: &[UnitArg],
        done: &mut Created,
        new: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let (known, unknown) = many::looked_up(arguments, async |argument| {
            let name = &argument.name;
            self.session.api.unit(name).await.map_err(|error| {
                Failure::Text(format!("error retrieving Unit({name}) from Registry: {error}"))
            })
        })
        .await;
        let mut uploads = Vec::new();
        let mut failure = None;
        for (argument, known) in arguments.iter().zip(known) {
            match self.upload_of(argument, known, done).await {
                Ok(upload) => uploads.extend(upload),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        let (uploaded, refused) = many::in_order(uploads, async |Upload { name, options }| {
            let put = self.session.api.put_unit(&name, options).await;
            put.map_err(|error| Failure::Text(format!("failed creating unit {name}: {error}")))?;
            Ok(name)
        })
        .await;
        new.extend(uploaded);
        refused.or(failure).or(unknown).map_or(Ok(()), Err)
    }

    /// What is to be uploaded for `argument`, if anything.
    async fn upload_of(
        &self,
        argument: &UnitArg,
        known: Option<Unit>,
        done: &mut Created,
    ) -> Result<Option<Upload>, Failure> {
        match self.content(argument, known).await? {
            Wanted::Keep => Ok(None),
            Wanted::Refused => {
                done.refused.push(argument.name.clone());
                Ok(None)
            }
            Wanted::Upload(content, runs_on) => {
                if !runs_on.is_empty() {
                    done.machines.insert(argument.name.clone(), runs_on);
                }
                self.checked(argument, &content).map(Some)
            }
        }
    }

    /// What an argument leads to, where the registry has this.
    async fn content(&self, argument: &UnitArg, known: Option<Unit>) -> Result<Wanted, Failure> {
        let Some(known) = known else {
            return Ok(Wanted::Upload(self.new_file(argument).await?, Vec::new()));
        };
        match self.existing {
            Existing::Keep => {
                self.compare(argument, &known);
                Ok(Wanted::Keep)
            }
            Existing::Replace => self.replacement(argument, &known).await,
        }
    }

    /// Warns when the registry has something else than this side.
    fn compare(&self, argument: &UnitArg, known: &Unit) {
        match Local::of(argument) {
            Ok(local) if local.is_same(known) => {
                debug!("Found same Unit({}) in Registry, no need to recreate it", known.name);
            }
            Ok(local) if self.existing == Existing::Keep => {
                self.session.ui.err(local.differs(known));
            }
            Err(error) if error.is_broken() => {
                self.session.ui.err(format_args!("WARNING: {error}"));
            }
            Ok(_) | Err(_) => {}
        }
    }

    async fn replacement(&self, argument: &UnitArg, known: &Unit) -> Result<Wanted, Failure> {
        let name = &argument.name;
        let local = Local::of(argument).map_err(|error| Failure::Text(error.to_string()))?;
        if local.is_same(known) {
            let text = format!("Found same Unit({name}) in Registry, nothing to do");
            self.session.ui.out(text)?;
            return Ok(Wanted::Keep);
        }
        if !self.command.may_replace(&known.desired_state) {
            self.session.ui.err(format_args!(
                "Warning: can not replace Unit({name}) in state '{}', use the appropriate command",
                known.desired_state
            ));
            return Ok(Wanted::Refused);
        }
        Ok(Wanted::Upload(local.content, self.runs_on(known).await))
    }

    /// The machines that have a global unit, where they will be waited for.
    async fn runs_on(&self, known: &Unit) -> Vec<String> {
        let waits = self.command == CreatingCommand::Start && self.block != Block::No;
        if !waits || !unit::is_global(known) {
            return Vec::new();
        }
        let states = self.session.api.states_of(&known.name, None).await;
        // Without an answer nobody is waited for.
        states.unwrap_or_default().into_iter().map(|state| state.machine_id).collect()
    }

    /// The file of a unit that the registry doesn't have.
    async fn new_file(&self, argument: &UnitArg) -> Result<Content, Failure> {
        let path = argument.path.display();
        let own = local::read(&argument.path).map_err(|error| {
            Failure::Text(format!("failed getting Unit({path}) from file: {error}"))
        })?;
        if let Some(content) = own {
            return Ok(content);
        }
        let Some(template) = argument.template() else {
            let name = &argument.name;
            let text = format!("unable to find Unit({name}) in Registry or on filesystem");
            return Err(Failure::Text(text));
        };
        self.template_file(argument, &template).await.map_err(|error| {
            Failure::Text(format!("failed getting Unit({path}) from template: {error}"))
        })
    }

    /// The file of a template: the registry's, else that beside the argument.
    async fn template_file(
        &self,
        argument: &UnitArg,
        template: &UnitArg,
    ) -> Result<Content, String> {
        let name = &template.name;
        let asked = self.templates.borrow().get(name).cloned();
        let known = match asked {
            Some(known) => known,
            None => {
                let known = self.session.api.unit(name).await.map_err(|error| {
                    format!("error retrieving template Unit({name}) from Registry: {error}")
                })?;
                self.templates.borrow_mut().insert(name.clone(), known.clone());
                known
            }
        };
        if let Some(known) = known {
            self.compare(argument, &known);
            return Ok(Content { file: unit::file(&known), advice: None });
        }
        let local = local::read(&template.path)
            .map_err(|error| format!("unable to load template Unit({name}) from file: {error}"))?;
        local.ok_or_else(|| {
            format!("unable to find template Unit({name}) in Registry or on filesystem")
        })
    }

    /// What is uploaded of a file, after all that can be said of it here.
    fn checked(&self, argument: &UnitArg, content: &Content) -> Result<Upload, Failure> {
        let name = argument.name.clone();
        let file = &content.file;
        let text = |error: &dyn fmt::Display| Failure::Text(error.to_string());
        // The text is the original's; it doesn't name the file.
        let of_file = |error: &dyn fmt::Display| {
            Failure::Text(format!("{error} ({})", argument.path.display()))
        };
        let valid: UnitName = name.parse().map_err(|error| text(&error))?;
        let options: Vec<UnitOption> = file.options().iter().map(Into::into).collect();
        // An empty file is for the server to refuse.
        if !options.is_empty() {
            validate(&valid, file.options().to_vec()).map_err(|error| of_file(&error))?;
        }
        if self.remarks == Remarks::Said {
            for warning in file.fleet_options().warnings() {
                warn!("Unit {name}: {warning}");
            }
            self.remark(content);
        }
        Ok(Upload { name, options })
    }

    /// Says what is odd about a file, once.
    fn remark(&self, content: &Content) {
        let Some((path, advice)) = &content.advice else { return };
        if self.remarked.borrow_mut().insert(path.clone()) {
            for advice in advice {
                let (path, line) = (path.display(), advice.line);
                self.session.ui.err(format_args!("{path}:{line}: warning: {advice}"));
            }
        }
    }

    /// Waits for what was created, or at least says what it was.
    async fn settle(&self, new: &[String]) -> Result<(), Failure> {
        if self.block == Block::No {
            for name in new {
                self.session.ui.out(format_args!("Unit {name} {}", JobState::Inactive))?;
            }
            return Ok(());
        }
        let inactive = Goal::Is(JobState::Inactive);
        let failed = for_state(self.session, new, inactive, self.block, OnFailure::GoOn).await?;
        for (_, error) in &failed {
            self.session.ui.err(format_args!("Error waiting on unit creation: {error}"));
        }
        if failed.is_empty() {
            Ok(())
        } else {
            Err(Failure::Text("One or more errors creating units".to_owned()))
        }
    }
}

/// What an argument leads to.
enum Wanted {
    /// Nothing to upload.
    Keep,
    /// Nothing is uploaded, though it was asked for.
    Refused,
    /// This is uploaded, in the place of what these machines have.
    Upload(Content, Vec<String>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacing_is_up_to_the_command_that_can_restore_the_state() {
        for (desired, submit, load, start) in [
            ("inactive", true, true, true),
            ("loaded", false, true, true),
            ("launched", false, false, true),
        ] {
            let may: Vec<_> =
                [CreatingCommand::Submit, CreatingCommand::Load, CreatingCommand::Start]
                    .map(|c| c.may_replace(desired))
                    .into();
            assert_eq!(may, [submit, load, start], "{desired}");
        }
    }
}
