//! How machines are written (`fleetctl.md` 4.6).

use std::collections::BTreeMap;

use fleet_schema::Machine;

use crate::ui::tame;

/// The machines of the cluster by id.
pub(crate) type Machines = BTreeMap<String, Machine>;

/// Whether ids and hashes are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// As long as people need.
    Short,
    /// Whole.
    Full,
}

/// The length of a short machine id.
const SHORT_ID: usize = 8;

/// What follows an id that was cut.
pub(crate) const SHORTENED: &str = "...";

/// The id of a machine: cut, with dots, or whole.
pub(crate) fn id(id: &str, width: Width) -> String {
    match width {
        Width::Short => format!("{}{SHORTENED}", tame(first(id, SHORT_ID))),
        Width::Full => tame(id),
    }
}

/// The id of a machine with its address, when that is known.
pub(crate) fn full(machine: &str, machines: &Machines, width: Width) -> String {
    let legend = id(machine, width);
    match machines.get(machine) {
        Some(known) if !known.primary_ip.is_empty() => {
            format!("{legend}/{}", tame(&known.primary_ip))
        }
        _ => legend,
    }
}

/// The first `count` characters of `text`.
pub(crate) fn first(text: &str, count: usize) -> &str {
    text.char_indices().nth(count).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_cut_and_dotted_unless_whole_ones_are_wanted() {
        assert_eq!(id("c31e44e1f858436e", Width::Short), "c31e44e1...");
        assert_eq!(id("short", Width::Short), "short...");
        assert_eq!(id("éééééééééé", Width::Short), "éééééééé...");
        assert_eq!(id("c31e44e1f858436e", Width::Full), "c31e44e1f858436e");
    }

    #[test]
    fn machines_do_nothing_to_the_terminal() {
        let (name, ip) = ("a\x1b[2J\nb\x07", "1.2\x1b]0;x\x07\u{9b}J");
        let machine = Machine { primary_ip: ip.into(), ..Machine::default() };
        let machines = Machines::from([(name.into(), machine)]);
        assert_eq!(full(name, &machines, Width::Full), "a [2J b /1.2 ]0;x  J");
        assert_eq!(full(name, &machines, Width::Short), "a [2J b .../1.2 ]0;x  J");
    }

    #[test]
    fn addresses_follow_when_they_are_known() {
        let machine = |ip: &str| Machine { primary_ip: ip.into(), ..Machine::default() };
        let machines =
            Machines::from([("a".into(), machine("1.2.3.4")), ("b".into(), machine(""))]);
        assert_eq!(full("a", &machines, Width::Short), "a.../1.2.3.4");
        assert_eq!(full("b", &machines, Width::Short), "b...");
        assert_eq!(full("c", &machines, Width::Full), "c");
    }
}
