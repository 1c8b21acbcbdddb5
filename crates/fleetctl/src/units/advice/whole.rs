//! What is wrong with a unit as a whole: what systemd refuses to load, as 252 does it.

use super::{Advice, Item, Unit, shown};

/// What makes the section of a type complete: it needs an option that begins with one of these.
const NEEDED: [(&str, &[&str]); 4] = [
    ("timer", &["On"]),
    ("socket", &["Listen"]),
    ("path", &["PathExists", "PathChanged", "PathModified", "DirectoryNotEmpty"]),
    ("mount", &["What"]),
];

/// All of them.
pub(super) fn faults(unit: &Unit<'_>) -> Vec<Advice> {
    let mut faults: Vec<Advice> = unit.items.iter().filter_map(refused_line).collect();
    faults.extend(match unit.kind {
        "service" => service(unit),
        kind => NEEDED.iter().find(|(of, _)| *of == kind).and_then(|(_, options)| {
            let section = unit.own_section();
            let has = |item: &Item| options.iter().any(|option| item.name.starts_with(option));
            let found = unit.items.iter().any(|item| item.section == section && has(item));
            let text = format!(
                "{kind} has no {}= in section [{section}], systemd refuses to load it",
                options.join("=, ")
            );
            (!found).then(|| Advice { line: unit.line_of(&section), text })
        }),
    });
    faults
}

/// What systemd refuses a file for, whatever its type.
fn refused_line(Item { line, section, name, value }: &Item) -> Option<Advice> {
    let no_character =
        |c: char| matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe;
    let text = if section.contains(|c: char| c.is_ascii_control() || "\"'\\".contains(c)) {
        format!("section {} has characters for which systemd refuses the file", shown(section))
    } else if name.contains(no_character) || value.contains(no_character) {
        format!("option {} has characters for which systemd refuses the file", shown(name))
    } else {
        return None;
    };
    Some(Advice { line: *line, text })
}

/// What systemd demands of services (`service_verify`).
fn service(unit: &Unit<'_>) -> Option<Advice> {
    let last =
        |name: &str| unit.items.iter().rfind(|item| item.name == name && item.section == "Service");
    let value = |name: &str| last(name).map_or("", |item| item.value.as_str());
    let commands = |name: &str| {
        let all = unit.items.iter().filter(|item| item.name == name && item.section == "Service");
        all.fold(Vec::new(), |mut commands, item| {
            if item.value.is_empty() {
                commands.clear(); // the way to take earlier ones back
            } else {
                commands.push(item);
            }
            commands
        })
    };
    let (starts, oneshot) = (commands("ExecStart"), value("Type") == "oneshot");
    let acts = unit.items.iter().any(|item| item.name == "SuccessAction" && item.value != "none");
    let remains = matches!(
        value("RemainAfterExit").to_ascii_lowercase().as_str(),
        "1" | "yes" | "y" | "true" | "t" | "on"
    );
    let section = unit.line_of("Service");
    let (line, text) = if starts.is_empty() && !oneshot {
        (section, "service has no ExecStart=, which only Type=oneshot may lack")
    } else if starts.is_empty() && !acts && (!remains || commands("ExecStop").is_empty()) {
        (section, "service has no ExecStart=, and not both ExecStop= and RemainAfterExit=yes")
    } else if let (false, Some(second)) = (oneshot, starts.get(1)) {
        (second.line, "service has more than one ExecStart=, which only Type=oneshot may have")
    } else if oneshot && matches!(value("Restart"), "always" | "on-success") {
        let line = last("Restart").map_or(section, |item| item.line);
        (line, "Restart= is always or on-success, which Type=oneshot may not have")
    } else if value("Type") == "dbus" && value("BusName").is_empty() {
        let line = last("Type").map_or(section, |item| item.line);
        (line, "service of Type=dbus has no BusName=")
    } else {
        return None;
    };
    Some(Advice { line, text: format!("{text}: systemd refuses to load it") })
}
