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

/// The global units that came to a machine and left it, as something else there changed.
#[derive(Debug, Default)]
pub(crate) struct Shift {
    pub(crate) came: Vec<Arc<Unit>>,
    pub(crate) left: Vec<Arc<Unit>>,
}

impl Shift {
    pub(crate) fn is_empty(&self) -> bool {
        self.came.is_empty() && self.left.is_empty()
    }
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

    /// Puts a non-global unit on `machine`; global units make way for it. Says which.
    #[must_use]
    pub(crate) fn add(&mut self, unit: &Arc<Unit>, machine: &Machine, globals: &Units) -> Shift {
        self.insert(unit);
        if concerns(unit, globals) { self.settle(machine, globals) } else { Shift::default() }
    }

    /// Takes a non-global unit off `machine`; global units may come in its place. Says which.
    #[must_use]
    pub(crate) fn remove(&mut self, unit: &Unit, machine: &Machine, globals: &Units) -> Shift {
        self.take(&unit.name);
        if concerns(unit, globals) { self.settle(machine, globals) } else { Shift::default() }
    }

    /// Takes in that the global unit `name` has come, gone or changed. Says what that has moved.
    #[must_use]
    pub(crate) fn refresh(&mut self, name: &UnitName, machine: &Machine, globals: &Units) -> Shift {
        let left = self.take(name);
        let was_choosy = left.as_ref().is_some_and(|unit| unit.is_choosy());
        let is_choosy = globals.values().any(|global| global.is_choosy());
        if was_choosy || is_choosy || !self.choosy.is_empty() {
            let mut shift = self.settle(machine, globals);
            shift.left.extend(left);
            return shift;
        }
        let mut shift = Shift { left: left.into_iter().collect(), ..Shift::default() };
        if let Some(unit) = globals.get(name)
            && self.obstacle_of_global(unit, machine).is_none()
        {
            self.insert(unit);
            shift.came.push(Arc::clone(unit));
        }
        shift
    }

    /// Decides anew which global units are here. Says which have come and gone.
    #[must_use]
    pub(crate) fn settle(&mut self, machine: &Machine, globals: &Units) -> Shift {
        let before: Units = self.all.extract_if(.., |_, unit| unit.is_global()).collect();
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
        let here: Vec<_> = here.map(|(unit, _)| Arc::clone(unit.tag)).collect();
        here.iter().for_each(|unit| self.insert(unit));
        let is_new = |unit: &&Arc<Unit>| {
            before.get(&unit.name).is_none_or(|known| !Arc::ptr_eq(known, unit))
        };
        let came = here.iter().filter(is_new).cloned().collect();
        let is_gone =
            |unit: &Arc<Unit>| self.all.get(&unit.name).is_none_or(|now| !Arc::ptr_eq(now, unit));
        Shift { came, left: before.into_values().filter(is_gone).collect() }
    }

    /// Those of them that `unit` has to do with, by the patterns of either.
    pub(crate) fn related(&self, unit: &Unit) -> impl Iterator<Item = &Arc<Unit>> {
        let relevant = if unit.is_choosy() { &self.all } else { &self.choosy };
        relevant.values().filter(|other| other.name != unit.name && other.is_related(unit))
    }

    /// All of them.
    pub(crate) fn all(&self) -> &Units {
        &self.all
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
