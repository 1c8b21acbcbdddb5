//! Those who use the cluster, and remember what they were told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use fleet_api::serve_local;
use fleet_client::{Client, ClientError, Removal};
use fleet_core::{JobState, UnitHash, UnitName};
use fleet_net::{BoxStream, Dial, DialError, Target};
use fleet_registry::MetadataChange;
use fleet_schema::UnitOption;
use tokio::{
    io::duplex,
    time::{self, Instant},
};

use crate::{
    machine::Machine,
    plan::{Kind, Operation},
    sometimes::Rare,
    world::World,
};

/// How long a user waits for an answer.
const PATIENCE: Duration = Duration::from_secs(8);

/// For how long a request that wasn't answered may still take effect.
const LATE: Duration = Duration::from_secs(20);

/// How many bytes are on their way between client and API.
const BUFFER: usize = 64 * 1024;

/// What a user knows of a unit: its content and what he wants of it; `None` is that there is none.
type Known = Option<(UnitHash, JobState)>;

/// All of them: there is one for each unit, who does one thing after the other.
#[derive(Clone, Debug)]
pub struct Users {
    world: World,
    units: Arc<BTreeMap<UnitName, tokio::sync::Mutex<Remembered>>>,
    /// When the last request wasn't answered, for each unit.
    unsure: Arc<Mutex<BTreeMap<UnitName, Instant>>>,
}

#[derive(Debug)]
struct Remembered {
    known: Known,
    since: Instant,
}

impl Remembered {
    fn now(known: Known) -> Self {
        Self { known, since: Instant::now() }
    }
}

impl Users {
    /// The users of these units.
    #[must_use]
    pub fn new(world: World, units: impl IntoIterator<Item = UnitName>) -> Self {
        let nothing = |unit| (unit, tokio::sync::Mutex::new(Remembered::now(None)));
        let units = units.into_iter().map(nothing).collect();
        Self { world, units: Arc::new(units), unsure: Arc::default() }
    }

    /// Does it, over the API of a machine, when what was begun before with the same unit is done.
    pub async fn carry_out(self, operation: Operation, via: usize) {
        if let Operation::Metadata(machine, value) = operation {
            let change = MetadataChange {
                machine: self.world.machines[machine].id.clone(),
                key: "role".to_owned(),
                value: if value { "odd".to_owned() } else { String::new() },
            };
            self.world.trace.note("user", format_args!("{operation:?}"));
            let _ = self.world.registry().change_metadata(&[change]).await;
            return;
        }
        let Some(unit) = operation.unit() else { return };
        let Some(remembered) = self.units.get(&unit) else { return };
        let mut remembered = remembered.lock().await;
        if self.is_sure_again(&unit) || self.world.has_lost(remembered.since) {
            *remembered = Remembered::now(self.found(&unit));
        }
        let asked = Instant::now();
        let result = self.ask(&operation, &unit, via).await;
        let shown = match &result {
            Ok(()) => "done".to_owned(),
            Err(error) => error.to_string(),
        };
        self.world.trace.note("user", format_args!("{operation:?} via m{via}: {shown}"));
        let next = expected(&operation, remembered.known);
        match result {
            Ok(()) => {
                *remembered = Remembered { known: next, since: asked };
                if !self.is_unsure(&unit) && !self.world.has_lost(asked) {
                    self.compare(&unit, next, "was acknowledged");
                }
            }
            // It was refused for what it is, and so has had no effect.
            Err(ClientError::Answer(answer)) if answer.status < 500 => {}
            Err(_) => {
                let mut unsure = self.unsure.lock().unwrap_or_else(PoisonError::into_inner);
                unsure.insert(unit, Instant::now());
            }
        }
    }

    /// Whether nothing can come any more of a request that wasn't answered; then it is over.
    fn is_sure_again(&self, unit: &UnitName) -> bool {
        let mut unsure = self.unsure.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = unsure.get(unit).is_some_and(|since| since.elapsed() >= LATE);
        is_over && unsure.remove(unit).is_some()
    }

    fn is_unsure(&self, unit: &UnitName) -> bool {
        let unsure = self.unsure.lock().unwrap_or_else(PoisonError::into_inner);
        unsure.contains_key(unit)
    }

    fn client(&self, via: usize) -> Client {
        let machine = Arc::clone(&self.world.machines[via]);
        let here = "http://m".parse().unwrap_or_else(|_| unreachable!("this is a URL"));
        let dial = Arc::new(Local { world: self.world.clone(), machine });
        Client::with(here, dial, None, Some(PATIENCE))
    }

    async fn ask(
        &self,
        operation: &Operation,
        unit: &UnitName,
        via: usize,
    ) -> Result<(), ClientError> {
        let client = self.client(via);
        let name = unit.as_str();
        match operation {
            Operation::Submit { kind, variant, .. } => {
                let file = kind.file(*variant);
                let options = file.options().iter().map(|option| UnitOption {
                    section: option.section.clone(),
                    name: option.name.clone(),
                    value: option.value.clone(),
                });
                client.put_unit(name, options.collect()).await
            }
            Operation::Want(_, state) => client.set_state(name, *state).await,
            Operation::Destroy(_) => client.destroy(name).await.map(|removal| match removal {
                Removal::Removed | Removal::Absent => {}
            }),
            Operation::Restart(_) => client.restart(name, None).await.map(drop),
            Operation::Metadata(..) => Ok(()),
        }
    }

    /// What is there of a unit.
    fn found(&self, unit: &UnitName) -> Known {
        let truth = self.world.truth();
        let record = truth.unit_now(unit)?.record.as_ref()?;
        Some((record.hash, record.desired_state))
    }

    /// What was acknowledged is there.
    fn compare(&self, unit: &UnitName, known: Known, why: &str) {
        let found = self.found(unit);
        if found != known {
            self.world.is_broken(format!("{unit} {why} as {known:?} and is {found:?}"));
        }
    }

    /// Asks why units aren't running: who has what he wants is told nothing, and who hasn't, why.
    pub async fn ask_why(&self) {
        for (number, unit) in self.units.keys().enumerate() {
            let via = number % self.world.machines.len();
            let waits = {
                let truth = self.world.truth();
                let Some(record) = truth.unit_now(unit).and_then(|now| now.record.as_ref()) else {
                    continue;
                };
                let is_wanted = record.desired_state != JobState::Inactive;
                is_wanted && !record.global && record.machine.is_none()
            };
            let pending = match self.client(via).unit(unit.as_str()).await {
                Ok(Some(found)) => found.pending,
                Ok(None) => return self.world.is_broken(format!("m{via} doesn't know {unit}")),
                Err(error) => return self.world.is_broken(format!("m{via}, of {unit}: {error}")),
            };
            let why = format!("{:?}, {:?}", pending.reason, pending.message);
            let fails = Kind::named(unit).is_some_and(Kind::fails);
            if waits == pending.reason.is_empty() && !fails {
                self.world.is_broken(format!("{unit} waits ({waits}), by m{via} for this: {why}"));
            }
            if waits {
                self.world.sometimes.reached(Rare::Waits);
            }
        }
    }

    /// Compares all that users know for certain with what is there.
    pub async fn compare_all(&self) {
        for (unit, remembered) in &*self.units {
            let mut remembered = remembered.lock().await;
            let forgotten = {
                let mut unsure = self.unsure.lock().unwrap_or_else(PoisonError::into_inner);
                unsure.remove(unit).is_some()
            };
            if forgotten || self.world.has_lost(remembered.since) {
                *remembered = Remembered::now(self.found(unit));
            } else {
                self.compare(unit, remembered.known, "is remembered");
            }
        }
    }
}

/// What is to be known of a unit after an operation that succeeded.
fn expected(operation: &Operation, before: Known) -> Known {
    match operation {
        Operation::Submit { kind, variant, .. } => {
            let hash = kind.file(*variant).hash();
            match before {
                // What is there already is no submission.
                Some((known, state)) if known == hash => Some((hash, state)),
                _ => Some((hash, JobState::Inactive)),
            }
        }
        Operation::Want(_, state) => before.map(|(hash, _)| (hash, *state)),
        Operation::Destroy(_) => None,
        Operation::Restart(_) | Operation::Metadata(..) => before,
    }
}

/// Reaches the API of a machine, while its fleetd lives.
struct Local {
    world: World,
    machine: Arc<Machine>,
}

#[async_trait]
impl Dial for Local {
    async fn dial(&self, target: &Target) -> Result<BoxStream, DialError> {
        let (Some(api), Some(life)) = (self.machine.api(), self.machine.life()) else {
            let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
            return Err(DialError::new(target, refused));
        };
        let (ours, theirs) = duplex(BUFFER);
        self.world.later(async move {
            tokio::select! {
                biased;
                () = life.over() => {}
                () = life.embody(serve_local(theirs, api)) => {}
            }
        });
        time::sleep(Duration::from_millis(1)).await;
        Ok(Box::new(ours))
    }
}
