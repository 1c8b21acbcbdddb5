//! What should be here (`cluster.md` 5): from this machine's part of the registry, by a function.

use std::collections::BTreeMap;

use fleet_core::{
    JobState, Machine, Requirements, UnitHash, UnitName,
    eligibility::{Candidate, Refusal},
    residents::{Contender, Origin, residents},
};
use fleet_registry::{Assignment, Event, MachineRecord, Model, Order, Unclear, effective_metadata};
use fleet_store::Revision;

/// This machine's part of the registry: what a mirror of `Scope::Machine` keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// What the engine has put here.
    pub scheduled: BTreeMap<UnitName, Order>,
    /// Every global unit.
    pub globals: BTreeMap<UnitName, Order>,
    /// This machine's dynamic metadata.
    pub metadata: BTreeMap<String, String>,
    /// Restarts asked of this machine, each with the revision of the request.
    pub restarts: BTreeMap<UnitName, Revision>,
    /// This machine's own entry; `None` where there is none that can be read. Nothing that should be
    /// here depends on it: when the lease is lost the entry is gone, and that must not end the global
    /// units here.
    pub entry: Option<MachineRecord>,
}

impl Model for Orders {
    fn apply(&mut self, event: Event) {
        match event {
            Event::Schedule(_, name, order) => put(&mut self.scheduled, name, order),
            Event::Global(name, order) => put(&mut self.globals, name, order),
            Event::Metadata(_, key, value) => put(&mut self.metadata, key, value),
            // One that can't be read is written anew, as if it were gone.
            Event::Machine(_, entry) => {
                self.entry = entry.and_then(Result::ok).map(|entry| entry.value);
            }
            Event::Restart(_, name, request) => put(&mut self.restarts, name, request),
            Event::Unit(..)
            | Event::Leaving(..)
            | Event::Obstacle(..)
            | Event::Leader(..)
            | Event::EngineVersion(..) => {}
        }
    }
}

impl Orders {
    /// The units that this machine is to let go, and to say so once they are gone
    /// (`docs/decisions/0013`).
    pub fn leaving(&self) -> impl Iterator<Item = &UnitName> {
        let leaves = |order: &Order| order.as_ref().is_ok_and(Assignment::leaves);
        let orders = self.scheduled.iter().filter(move |(_, order)| leaves(order));
        orders.map(|(name, _)| name)
    }

    /// Whether this machine is to let a unit go.
    #[must_use]
    pub fn lets_go(&self, unit: &UnitName) -> bool {
        self.scheduled.get(unit).is_some_and(|order| order.as_ref().is_ok_and(Assignment::leaves))
    }
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

/// What is wanted of one unit here: `loaded` or `launched`, never `inactive`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The content.
    pub hash: UnitHash,
    /// The state.
    pub state: JobState,
    /// The restart that is asked for, by the revision of the request. Only of what is launched.
    pub restart: Option<Revision>,
}

impl Wanted {
    fn new(unit: &Assignment, restart: Option<Revision>) -> Self {
        let state = unit.desired_state;
        Self { hash: unit.hash, state, restart: restart.filter(|_| state == JobState::Launched) }
    }
}

/// What should be here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// The units.
    pub units: BTreeMap<UnitName, Wanted>,
    /// Those that would be here if this machine took them.
    pub refused: BTreeMap<UnitName, Refusal>,
    /// Those of which nobody knows what is wanted. They stay as they are.
    pub unclear: BTreeMap<UnitName, Unclear>,
}

/// Returns what should be on `machine`, whose metadata is the configured one.
///
/// Units desired `inactive`, or asked to leave, are not here and in nobody's way; no more is a global
/// unit that `is_kept_off` by its name. Where an order can't be understood the unit may be here: others
/// are judged beside it if the engine has put it here, but it asks nothing of them.
#[must_use]
pub fn desired(
    orders: &Orders,
    machine: &Machine,
    is_kept_off: impl Fn(&UnitName) -> bool,
) -> Desired {
    let machine = Machine {
        id: machine.id.clone(),
        metadata: effective_metadata(&machine.metadata, &orders.metadata),
    };
    let scheduled =
        active(&orders.scheduled).map(|order| OrderedUnit::new(order, Origin::Scheduled));
    let globals = active(&orders.globals).filter(|(_, order)| order.is_ok());
    let globals = globals.map(|order| {
        let origin = if is_kept_off(order.0) { Origin::IdleGlobal } else { Origin::Global };
        OrderedUnit::new(order, origin)
    });
    let asked: Vec<OrderedUnit<'_>> = scheduled.chain(globals).collect();
    let mut desired = Desired { unclear: unclear(&orders.globals), ..Desired::default() };
    for (contender, verdict) in residents(&machine, asked.iter().map(OrderedUnit::contender)) {
        let (name, order) = contender.tag;
        desired.unclear.remove(name); // for as long as it is scheduled too
        match (order, verdict) {
            (Err(unclear), _) => drop(desired.unclear.insert(name.clone(), unclear.clone())),
            (Ok(_), Err(refusal)) => drop(desired.refused.insert(name.clone(), refusal)),
            (Ok(unit), Ok(())) => {
                let restart = orders.restarts.get(name).copied();
                desired.units.insert(name.clone(), Wanted::new(unit, restart));
            }
        }
    }
    desired
}

/// An order about a unit, by the unit's name.
type Named<'a> = (&'a UnitName, &'a Order);

/// A unit that is to be here, with what its order asks for.
struct OrderedUnit<'a> {
    order: Named<'a>,
    origin: Origin,
    requirements: Requirements,
}

impl<'a> OrderedUnit<'a> {
    /// What isn't understood asks for nothing, and isn't judged.
    fn new(order: Named<'a>, origin: Origin) -> Self {
        let (origin, requirements) = match order {
            (name, Ok(unit)) => (origin, unit.x_fleet.requirements(name)),
            (_, Err(_)) => (Origin::Unjudged, Requirements::default()),
        };
        Self { order, origin, requirements }
    }

    fn contender(&self) -> Contender<'_, Named<'a>> {
        let unit = Candidate { name: self.order.0, requirements: &self.requirements };
        Contender { unit, origin: self.origin, tag: self.order }
    }
}

/// Orders about units that are neither `inactive` nor to leave.
fn active(orders: &BTreeMap<UnitName, Order>) -> impl Iterator<Item = Named<'_>> {
    orders.iter().filter(|(_, order)| order.as_ref().map_or(true, |unit| !unit.leaves()))
}

/// Those of `orders` that nobody understands.
fn unclear(orders: &BTreeMap<UnitName, Order>) -> BTreeMap<UnitName, Unclear> {
    let unclear = |(name, order): Named<'_>| Some((name.clone(), order.as_ref().err()?.clone()));
    orders.iter().filter_map(unclear).collect()
}

#[cfg(test)]
mod tests {
    use fleet_core::FleetOptions;

    use super::*;

    fn name(name: &str) -> UnitName {
        name.parse().unwrap()
    }

    fn unit(state: JobState, options: &[(&str, &str)]) -> Assignment {
        let x_fleet =
            FleetOptions(options.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect());
        Assignment { hash: UnitHash::of(b"x"), desired_state: state, leaving: false, x_fleet }
    }

    fn orders(
        scheduled: &[(&str, &Assignment)],
        globals: &[(&str, &Assignment)],
        metadata: &[(&str, &str)],
    ) -> Orders {
        let units = |list: &[(&str, &Assignment)]| {
            list.iter().map(|(n, unit)| (name(n), Ok((*unit).clone()))).collect()
        };
        let metadata = metadata.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        Orders {
            scheduled: units(scheduled),
            globals: units(globals),
            metadata,
            ..Orders::default()
        }
    }

    fn names(orders: &Orders) -> Vec<String> {
        let metadata = BTreeMap::from([("zone".to_owned(), "a".to_owned())]);
        let machine = Machine { id: "m1".parse().unwrap(), metadata };
        desired(orders, &machine, |_| false).units.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn scheduled_and_eligible_global_units_are_here_unless_inactive() {
        let zone = |state, zone: &str| unit(state, &[("MachineMetadata", zone)]);
        let (plain, inactive) = (unit(JobState::Loaded, &[]), unit(JobState::Inactive, &[]));
        let (fits, not) = (zone(JobState::Launched, "zone=a"), zone(JobState::Launched, "zone=b"));
        let orders = orders(
            &[("s.service", &plain), ("t.service", &inactive), ("u.service", &not)],
            &[("g.service", &fits), ("h.service", &not), ("i.service", &inactive)],
            &[],
        );
        // The engine answers for the metadata of what it schedules: u stays until it says so.
        assert_eq!(names(&orders), ["g.service", "s.service", "u.service"]);
    }

    #[test]
    fn dynamic_metadata_decides_about_global_units() {
        let global = unit(JobState::Launched, &[("MachineMetadata", "zone=a")]);
        let with = |metadata: &[(&str, &str)]| {
            names(&orders(&[], &[("g.service", &global)], metadata)).len()
        };
        assert_eq!(with(&[]), 1);
        assert_eq!(with(&[("zone", "b")]), 0);
        assert_eq!(with(&[("zone", "")]), 0, "an empty value hides the key");
        assert_eq!(with(&[("other", "b")]), 1);
    }

    #[test]
    fn an_inactive_unit_is_in_nobodys_way() {
        let off = unit(JobState::Inactive, &[]);
        let picky = unit(JobState::Launched, &[("Conflicts", "a*")]);
        let both = orders(&[("b.service", &picky)], &[("a.service", &off)], &[]);
        assert_eq!(names(&both), ["b.service"]);
    }

    #[test]
    fn a_unit_that_is_asked_to_leave_is_not_here_whatever_is_wanted_of_it() {
        let leaving = Assignment { leaving: true, ..unit(JobState::Launched, &[]) };
        let off = unit(JobState::Inactive, &[]);
        let picky = unit(JobState::Launched, &[("Conflicts", "a*")]);
        let scheduled = [("a1.service", &leaving), ("a2.service", &off), ("b.service", &picky)];
        let both = orders(&scheduled, &[("a1.service", &unit(JobState::Launched, &[]))], &[]);
        assert_eq!(
            names(&both),
            ["b.service"],
            "it is in nobody's way, and the global one makes way"
        );
        assert_eq!(both.leaving().collect::<Vec<_>>(), [&name("a1.service"), &name("a2.service")]);
        assert!(both.lets_go(&name("a1.service")) && !both.lets_go(&name("b.service")));
        let alone = orders(&scheduled[..1], &[("a1.service", &picky)], &[]);
        assert_eq!(names(&alone), ["a1.service"], "it is global by now");
        let mut unclear = both;
        unclear.scheduled.insert(name("a1.service"), Err(Unclear("why".into())));
        assert!(!unclear.lets_go(&name("a1.service")));
    }

    #[test]
    fn an_unclear_order_is_in_the_way_only_where_the_engine_has_put_it() {
        let machine = Machine { id: "m1".parse().unwrap(), metadata: BTreeMap::new() };
        let picky = unit(JobState::Launched, &[("Conflicts", "a*")]);
        let unclear = || Err(Unclear("why".into()));
        for (origin, expected) in [(Origin::Scheduled, 0), (Origin::Global, 1)] {
            let mut orders = orders(&[], &[("b.service", &picky)], &[]);
            let of_a = match origin {
                Origin::Scheduled => &mut orders.scheduled,
                _ => &mut orders.globals,
            };
            of_a.insert(name("a.service"), unclear());
            let found = desired(&orders, &machine, |_| false);
            assert_eq!(found.unclear, [(name("a.service"), Unclear("why".into()))].into());
            assert_eq!(found.units.len(), expected);
        }
        // While it changes from one to the other the schedule counts, whatever it says.
        let mut orders = orders(&[], &[("a.service", &picky)], &[]);
        orders.scheduled.insert(name("a.service"), unclear());
        let found = desired(&orders, &machine, |_| false);
        assert_eq!((found.units.len(), found.unclear.len()), (0, 1));
    }

    #[test]
    fn a_global_unit_whose_name_the_host_has_is_in_nobodys_way() {
        let machine = Machine { id: "m1".parse().unwrap(), metadata: BTreeMap::new() };
        let (plain, picky) =
            (unit(JobState::Launched, &[]), unit(JobState::Launched, &[("Conflicts", "b.*")]));
        let wanted = |orders: &Orders, is_kept_off| -> Vec<UnitName> {
            desired(orders, &machine, |unit| is_kept_off && *unit == name("a.service"))
                .units
                .into_keys()
                .collect()
        };
        let alone = orders(&[], &[("a.service", &picky)], &[]);
        assert_eq!(wanted(&alone, true), [name("a.service")], "so it is a trouble here");
        let both = orders(&[], &[("a.service", &picky), ("b.service", &plain)], &[]);
        assert_eq!(wanted(&both, true), [name("b.service")]);
        assert_eq!(wanted(&both, false), [name("a.service")]);
    }

    #[test]
    fn a_restart_is_for_what_is_launched_here() {
        let machine = Machine { id: "m1".parse().unwrap(), metadata: BTreeMap::new() };
        let (on, off) = (unit(JobState::Launched, &[]), unit(JobState::Loaded, &[]));
        let mut orders = orders(&[("on.service", &on), ("off.service", &off)], &[], &[]);
        for asked in ["on.service", "off.service", "gone.service"] {
            let request = Event::Restart(machine.id.clone(), name(asked), Some(Revision(7)));
            orders.apply(request);
        }
        let desired = desired(&orders, &machine, |_| false).units;
        assert_eq!(desired[&name("on.service")].restart, Some(Revision(7)));
        assert_eq!(desired[&name("off.service")].restart, None);
        assert_eq!(desired.len(), 2);
    }

    #[test]
    fn the_model_follows_events_and_forgets_what_is_gone() {
        let unit = unit(JobState::Launched, &[]);
        let me: fleet_core::MachineId = "m1".parse().unwrap();
        let mut model = Orders::default();
        model.apply(Event::Schedule(me.clone(), name("s.service"), Some(Ok(unit.clone()))));
        model.apply(Event::Global(name("g.service"), Some(Ok(unit.clone()))));
        model.apply(Event::Metadata(me.clone(), "zone".into(), Some("b".into())));
        let full = orders(&[("s.service", &unit)], &[("g.service", &unit)], &[("zone", "b")]);
        assert_eq!(model, full);
        model.apply(Event::Machine(me.clone(), None));
        assert_eq!(model, full, "the machine's own entry may come and go");
        model.apply(Event::Schedule(me.clone(), name("s.service"), None));
        model.apply(Event::Global(name("g.service"), None));
        model.apply(Event::Metadata(me, "zone".into(), None));
        assert_eq!(model, Orders::default());
    }
}
