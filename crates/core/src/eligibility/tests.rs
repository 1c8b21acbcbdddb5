//! The rules of `units.md` 5.8, one by one and in their order.

use std::collections::BTreeMap;

use super::*;
use crate::{Obstacle, UnitFile};

const ID: &str = "ad210dc0ffee4b0d3255bfef95601890";

/// A unit with the requirements that `lines` of `[X-Fleet]` make.
struct Unit {
    name: UnitName,
    requirements: Requirements,
}

impl Unit {
    fn candidate(&self) -> Candidate<'_> {
        Candidate { name: &self.name, requirements: &self.requirements }
    }
}

fn unit(name: &str, lines: &str) -> Unit {
    let file = UnitFile::parse(format!("[X-Fleet]\n{lines}\n").as_bytes()).expect(lines);
    let name: UnitName = name.parse().expect(name);
    Unit { requirements: file.fleet_options().requirements(&name), name }
}

fn machine(id: &str) -> Machine {
    let pairs = [("region", "eu"), ("disk", "ssd")];
    let metadata: BTreeMap<_, _> =
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Machine { id: id.parse().expect(id), metadata }
}

fn judged(unit: &Unit, residents: &[Unit]) -> Verdict {
    judge(unit.candidate(), &machine(ID), residents.iter().map(Unit::candidate))
}

/// The text of a judgement of a unit `j.service` with `lines`; empty when eligible.
fn reason(lines: &str, residents: &[Unit]) -> String {
    match judged(&unit("j.service", lines), residents) {
        Verdict::Eligible => String::new(),
        Verdict::Replaces(name) => Obstacle::Replaced(name).to_string(),
        Verdict::Refused(refusal) => Obstacle::Refused(refusal).to_string(),
    }
}

#[test]
fn unit_that_asks_for_nothing_is_eligible() {
    assert_eq!(judged(&unit("j.service", ""), &[]), Verdict::Eligible);
    assert_eq!(judged(&unit("j.service", ""), &[unit("a.service", "")]), Verdict::Eligible);
}

#[test]
fn required_machine_is_known_by_its_full_or_short_id() {
    assert_eq!(reason(&format!("MachineID={ID}"), &[]), "");
    assert_eq!(reason("MachineID=ad210dc0", &[]), "");
    for other in ["ad210dc", "ad210dc0f", "AD210DC0", "a\"b"] {
        let quoted = other.replace('"', "\\\"");
        assert_eq!(
            reason(&format!("MachineID={other}"), &[]),
            format!("agent ID \"{ID}\" does not match required \"{quoted}\"")
        );
    }
}

#[test]
fn short_machine_ids_are_their_own_short_form() {
    for (wanted, expected) in [("m1", true), ("m", false)] {
        let unit = unit("j.service", &format!("MachineID={wanted}"));
        let verdict = judge(unit.candidate(), &machine("m1"), std::iter::empty());
        assert_eq!(verdict == Verdict::Eligible, expected, "{wanted}");
    }
}

#[test]
fn every_metadata_key_needs_one_of_its_values() {
    let insufficient = "local Machine metadata insufficient";
    for (lines, expected) in [
        ("MachineMetadata=region=eu", ""),
        ("MachineMetadata=region=eu\nMachineMetadata=region=us", ""),
        ("MachineMetadata=\"region=eu\" \"disk=ssd\"", ""),
        ("MachineMetadata=region=us", insufficient),
        ("MachineMetadata=\"region=eu\" \"disk=hdd\"", insufficient),
        ("MachineMetadata=zone=1", insufficient),
        ("MachineMetadata=region=EU", insufficient),
        ("MachineMetadata=nonsense", ""),
    ] {
        assert_eq!(reason(lines, &[]), expected, "{lines}");
    }
}

#[test]
fn every_peer_must_be_here() {
    let absent = |name| format!("required peer Unit({name}) is not scheduled locally");
    let residents = [unit("a.service", ""), unit("b.service", "")];
    assert_eq!(reason("MachineOf=a.service", &residents), "");
    assert_eq!(reason("MachineOf=a.service b.service", &residents), "");
    assert_eq!(reason("MachineOf=a.service c.service", &residents), absent("c.service"));
    assert_eq!(reason("MachineOf=a.service", &[]), absent("a.service"));
    assert_eq!(reason("MachineOf=*", &residents), absent("*"));
}

#[test]
fn unit_that_is_here_is_its_own_peer() {
    assert_eq!(reason("MachineOf=j.service", &[unit("j.service", "")]), "");
    assert_ne!(reason("MachineOf=j.service", &[]), "");
}

#[test]
fn conflict_of_either_side_refuses_and_names_the_other_unit() {
    let found = |name| format!("found conflict with locally-scheduled Unit([{name}])");
    let residents = [unit("a.service", ""), unit("e.service", "")];
    assert_eq!(reason("Conflicts=e.*", &residents), found("e.service"));
    assert_eq!(reason("Conflicts=*", &residents), found("a.service"));
    assert_eq!(reason("", &[unit("e.service", "Conflicts=j*")]), found("e.service"));
    assert_eq!(reason("Conflicts=x.* e[", &residents), "");
}

#[test]
fn unit_does_not_conflict_with_itself_nor_replace_itself() {
    assert_eq!(reason("Conflicts=*", &[unit("j.service", "Conflicts=*")]), "");
    assert_eq!(reason("Replaces=*", &[unit("j.service", "")]), "");
}

#[test]
fn replaced_unit_is_named_unless_it_is_circular() {
    let found = |name| format!("found replace with locally-scheduled Unit({name})");
    let plain = [unit("e.service", "")];
    assert_eq!(reason("Replaces=e*", &plain), found("e.service"));
    assert_eq!(reason("", &[unit("e.service", "Replaces=j*")]), found("e.service"));
    assert_eq!(reason("Replaces=e*", &[unit("e.service", "Replaces=j*")]), "");
    assert_eq!(reason("Replaces=x", &plain), "");

    let both = [unit("a.service", "Replaces=*"), unit("e.service", "")];
    let verdict = judged(&unit("j.service", "Replaces=*"), &both);
    assert_eq!(verdict, Verdict::Replaces("e.service".parse().expect("a name")));
}

#[test]
fn first_rule_broken_decides() {
    let residents = [unit("e.service", "")];
    let rules = [
        ("MachineID=other", "agent ID"),
        ("MachineMetadata=zone=1", "local Machine metadata"),
        ("MachineOf=absent.service", "required peer"),
        ("Conflicts=e*", "found conflict"),
        ("Replaces=e*", "found replace"),
    ];
    for first in 0..rules.len() {
        let lines: Vec<&str> = rules[first..].iter().map(|(line, _)| *line).collect();
        let reason = reason(&lines.join("\n"), &residents);
        assert!(reason.starts_with(rules[first].1), "{reason}");
    }
}

#[test]
fn global_units_are_judged_by_metadata_and_conflicts_only() {
    let judged = |lines: &str, residents: &[Unit]| {
        let unit = unit("j.service", &format!("Global=true\n{lines}"));
        judge_global(unit.candidate(), &machine(ID), residents.iter().map(Unit::candidate))
    };
    let resident = || [unit("e.service", "")];
    assert_eq!(
        judged("MachineID=other\nMachineOf=absent.service\nReplaces=e*", &resident()),
        Ok(())
    );
    assert_eq!(judged("MachineMetadata=zone=1\nConflicts=e*", &resident()), Err(Refusal::Metadata));
    let conflict = Err(Refusal::Conflict("e.service".parse().expect("a name")));
    assert_eq!(judged("Conflicts=e*", &resident()), conflict);
    assert_eq!(judged("", &[unit("e.service", "Conflicts=j*")]), conflict);
}
