//! The units on one machine, in the sense of `cluster.md` 2.

use std::{collections::BTreeMap, sync::Arc};

use fleet_core::{
    Machine, MachineStanding, Obstacle, UnitName,
    eligibility::{Candidate, Refusal, Verdict, judge, judge_global},
    residents::{Contender, Origin, residents},
};
use fleet_registry::HostObstacle;

use super::{Rings, Unit};

/// Units by name. They are shared, so that copying a map copies no unit.
pub(crate) type Units = BTreeMap<UnitName, Arc<Unit>>;

/// The units on one machine: those scheduled to it that are wanted, and the global units it is
/// eligible for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Residents {
    all: Units,
    /// Those of `all` with patterns: all that a unit without any need be compared with.
    choosy: Units,
    /// Units that the machine itself has said it can't have, and why. They are never among `all`,
    /// but for those that are about to leave.
    barred: Arc<BTreeMap<UnitName, HostObstacle>>,
}

impl Residents {
    /// How many units are on the machine: its load.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether this unit is one of them.
    pub(crate) fn has(&self, unit: &UnitName) -> bool {
        self.all.contains_key(unit)
    }

    /// The residents that can matter to `unit`, in name order.
    pub(crate) fn met_by<'a>(
        &'a self,
        unit: &Unit,
    ) -> impl Iterator<Item = Candidate<'a>> + Clone + use<'a> {
        let relevant = if unit.looks_around() { &self.all } else { &self.choosy };
        relevant.values().map(|resident| resident.candidate())
    }

    /// What keeps `unit` from coming to their `machine`, which stands so. Where it is already it
    /// needn't come.
    pub(crate) fn obstacle_to_coming(
        &self,
        unit: &Unit,
        machine: &Machine,
        standing: MachineStanding,
        rings: &Rings,
    ) -> Option<Obstacle> {
        if unit.target() != Some(&machine.id)
            && let Err(refusal) = standing.takes_newcomers()
        {
            Some(Obstacle::Refused(refusal))
        } else if unit.is_global() {
            self.obstacle_of_global(unit, machine)
        } else {
            self.obstacle(unit, machine, rings)
        }
    }

    /// What keeps `unit` from being on their `machine`, whether it is there already or not.
    ///
    /// A unit that `unit` itself would replace is no obstacle: it leaves in the next pass, when
    /// this one finds its replacer beside it (`cluster.md` 4).
    pub(crate) fn obstacle(
        &self,
        unit: &Unit,
        machine: &Machine,
        rings: &Rings,
    ) -> Option<Obstacle> {
        if let Some(refusal) = self.barrier(&unit.name) {
            return Some(Obstacle::Refused(refusal));
        }
        match judge(unit.candidate(), machine, self.met_by(unit)) {
            Verdict::Eligible => None,
            Verdict::Refused(refusal) => Some(Obstacle::Refused(refusal)),
            Verdict::Replaces(_) => self.replacer_of(unit, rings).cloned().map(Obstacle::Replaced),
        }
    }

    /// What keeps a global unit from being on their `machine`, whether it is there already or not.
    fn obstacle_of_global(&self, unit: &Unit, machine: &Machine) -> Option<Obstacle> {
        let judged = || judge_global(unit.candidate(), machine, self.met_by(unit)).err();
        self.barrier(&unit.name).or_else(judged).map(Obstacle::Refused)
    }

    /// Whether the machine itself has said that it can't have this unit.
    fn barrier(&self, unit: &UnitName) -> Option<Refusal> {
        self.barred.get(unit).map(|found| Refusal::NameTaken(found.reason.clone()))
    }

    /// Takes in what the machine says that it can't have.
    pub(crate) fn bar(&mut self, barred: Arc<BTreeMap<UnitName, HostObstacle>>) {
        self.barred = barred;
    }

    /// The first resident that pushes `unit` off this machine (`cluster.md` 4).
    fn replacer_of(&self, unit: &Unit, rings: &Rings) -> Option<&UnitName> {
        let mut replacers = self.choosy.values().filter(|resident| resident.replaces(unit, rings));
        replacers.next().map(|found| &found.name)
    }

    /// Puts a non-global unit on `machine`; global units make way for it.
    pub(crate) fn add(&mut self, unit: &Arc<Unit>, machine: &Machine, globals: &Units) {
        self.insert(unit);
        if concerns(unit, globals) {
            self.settle(machine, globals);
        }
    }

    /// Takes a non-global unit off `machine`; global units may come in its place.
    pub(crate) fn remove(&mut self, unit: &Unit, machine: &Machine, globals: &Units) {
        self.take(&unit.name);
        if concerns(unit, globals) {
            self.settle(machine, globals);
        }
    }

    /// Takes in that the global unit `name` has come, gone or changed.
    pub(crate) fn refresh(&mut self, name: &UnitName, machine: &Machine, globals: &Units) {
        let was_choosy = self.take(name).is_some_and(|unit| unit.is_choosy());
        let is_choosy = globals.values().any(|global| global.is_choosy());
        if was_choosy || is_choosy || !self.choosy.is_empty() {
            self.settle(machine, globals);
        } else if let Some(unit) = globals.get(name)
            && self.obstacle_of_global(unit, machine).is_none()
        {
            self.insert(unit);
        }
    }

    /// Decides anew which global units are here.
    pub(crate) fn settle(&mut self, machine: &Machine, globals: &Units) {
        self.all.retain(|_, unit| !unit.is_global());
        self.choosy.retain(|_, unit| !unit.is_global());
        let (scheduled, globals) = (self.all.values(), globals.values());
        let scheduled = scheduled.map(|unit| contender(unit, Origin::Unjudged));
        let globals = globals.filter(|unit| self.barrier(&unit.name).is_none());
        let globals = globals.map(|unit| {
            let runs = unit.is_wanted();
            contender(unit, if runs { Origin::Global } else { Origin::IdleGlobal })
        });
        let judged = residents(machine, scheduled.chain(globals)).into_iter();
        let here = judged.filter(|(unit, verdict)| unit.tag.is_global() && verdict.is_ok());
        for unit in here.map(|(unit, _)| Arc::clone(unit.tag)).collect::<Vec<_>>() {
            self.insert(&unit);
        }
    }

    fn insert(&mut self, unit: &Arc<Unit>) {
        self.all.insert(unit.name.clone(), Arc::clone(unit));
        if unit.is_choosy() {
            self.choosy.insert(unit.name.clone(), Arc::clone(unit));
        }
    }

    fn take(&mut self, name: &UnitName) -> Option<Arc<Unit>> {
        self.choosy.remove(name);
        self.all.remove(name)
    }
}

fn contender(unit: &Arc<Unit>, origin: Origin) -> Contender<'_, &Arc<Unit>> {
    Contender { unit: unit.candidate(), origin, tag: unit }
}

/// Whether the coming or going of a non-global unit can change where global units are.
fn concerns(unit: &Unit, globals: &Units) -> bool {
    !globals.is_empty() && (unit.is_choosy() || globals.values().any(|global| global.is_choosy()))
}
