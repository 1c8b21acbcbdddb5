//! systemd reads in a unit file what fleet has in it: odd and generated files are accepted as from
//! outside, written by the manager, and shown by systemd.

use std::collections::BTreeMap;

use fastrand::Rng;
use fleet_agent::manager::UnitManager;
use fleet_core::{UnitFile, UnitName, UnitOption, validate};

use crate::machine::{Machine, reload, unit, units};

/// What stands behind the odd part of each file.
const REST: &str = "\n[Service]\nType=oneshot\nExecStart=/bin/true a\nSyslogIdentifier=good\n";

/// Odd values of a description; also with what they hide.
const ODD: [&str; 24] = [
    "plain",
    "  blanks round it \t",
    "a\\\nb",
    "a \\\n  b \\\n  c",
    "a\\\\",
    "a\\\\\\\\",
    "a\\\\\\\nb",
    "a\\\n# c\nb",
    "a\\\n# c \\\n ; d\\\n b\\\n\t#\n e",
    "a\\\n\n",
    "a\\\n# c\n\n",
    "a\\\n[Service]",
    "a\\\nSyslogIdentifier=joined",
    "a \\  \n x=y",
    "a \\\t\n x = y \\\n z",
    "a\\\n\u{a0}b",
    "\u{a0}a\u{85}b\u{2028}c\u{b}d\u{c}",
    "\u{1}\u{1b}[31m\u{7f}",
    "a # b ; c",
    "# a",
    "[Service]",
    "'a \"b",
    "a\r\nDocumentation=man:a\r\n\r\n",
    "\\\nb",
];

/// Of these values are put together.
const PIECES: [&str; 27] = [
    "a",
    "é",
    " ",
    "\t",
    "=",
    "\\",
    "\\",
    "\\\\",
    "\\\n",
    "\\\n",
    "\\ \n",
    "\n",
    "\r",
    "\r\n",
    "\0",
    "#",
    ";",
    "\\\n# c \\\n",
    "\\\n ; c\n",
    "\n\n",
    "[Service]",
    "\n[Service]\n",
    "SyslogIdentifier=evil",
    "ExecStart=/bin/evil b",
    "\u{feff}",
    "\u{a0}",
    "\u{b}",
];

/// How many files are made of pieces, each way. About a third is accepted.
const MADE: usize = 600;

/// A value made of a few pieces.
fn value(numbers: &mut Rng) -> String {
    (0..=numbers.usize(..7)).map(|_| PIECES[numbers.usize(..PIECES.len())]).collect()
}

/// The content as it is stored when a file with this description is submitted, by `fleetctl`
/// or over the API; `None` when it is refused.
fn submitted(description: &str, from_file: bool) -> Option<UnitFile> {
    let options = if from_file {
        let text = format!("[Unit]\nDescription={description}{REST}");
        UnitFile::parse(text.as_bytes()).ok()?.into_options()
    } else {
        let rest = UnitFile::parse(REST.as_bytes()).unwrap().into_options();
        [vec![UnitOption::new("Unit", "Description", description)], rest].concat()
    };
    let accepted = validate(&unit("a.service"), options).ok()?;
    // And is the same when the agent reads it.
    let stored = UnitFile::parse_stored(accepted.to_text().as_bytes()).unwrap();
    assert_eq!(stored, accepted);
    Some(stored)
}

/// The values that `file` has for an option, as systemd shows values: their lines joined, and without
/// the first byte order mark that a line begins with.
fn values(file: &UnitFile, section: &str, name: &str) -> Vec<String> {
    let its = |option: &&UnitOption| option.section == section && option.name == name;
    let joined = |option: &UnitOption| {
        let value = option.value.replacen("\n\u{feff}", "\n", 1).replace("\\\n", " ");
        value.trim_matches([' ', '\t', '\n', '\r']).to_owned()
    };
    file.options().iter().filter(its).map(joined).collect()
}

/// What systemd should show of `file`: description, identifier, commands.
fn expected(name: &UnitName, file: &UnitFile) -> [String; 3] {
    let last = |section, name| values(file, section, name).pop().unwrap_or_default();
    let description = match last("Unit", "Description") {
        empty if empty.is_empty() => name.to_string(),
        description => description,
    };
    let mut commands = Vec::new();
    for command in values(file, "Service", "ExecStart") {
        if command.is_empty() { commands.clear() } else { commands.push(command) }
    }
    [description, last("Service", "SyslogIdentifier"), commands.join(", ")]
}

/// The same as systemd has it, by unit, and whether it would start the unit.
fn shown(machine: &Machine, folder: &str) -> BTreeMap<String, ([String; 3], bool)> {
    let properties = "Id,LoadState,Description,SyslogIdentifier,ExecStart";
    let command = format!("cd {folder} && systemctl show --property={properties} -- *.service");
    let text = machine.host().run(&["sh", "-c", &command]).unwrap();
    let block = |block: &str| -> (String, ([String; 3], bool)) {
        let all = |name: &str| -> Vec<String> {
            let lines = block.split('\n').filter_map(|line| line.split_once('='));
            lines.filter(|line| line.0 == name).map(|line| line.1.to_owned()).collect()
        };
        let one = |name: &str| all(name).pop().unwrap_or_default();
        let argv = |command: String| {
            let (_, rest) = command.split_once("argv[]=").unwrap_or_default();
            rest.split_once(" ;").map(|(argv, _)| argv.to_owned()).unwrap_or_default()
        };
        let commands: Vec<String> = all("ExecStart").into_iter().map(argv).collect();
        let shown = [one("Description"), one("SyslogIdentifier"), commands.join(", ")];
        (one("Id"), (shown, one("LoadState") == "loaded"))
    };
    text.split("\n\n").map(block).collect()
}

#[tokio::test]
async fn systemd_reads_what_was_submitted() {
    let machine = Machine::shared();
    let manager = machine.manager("reading").await;
    let mut numbers = Rng::with_seed(15); // the same each time
    let made: Vec<String> = (0..MADE).map(|_| value(&mut numbers)).collect();
    let descriptions = ODD.iter().map(ToString::to_string).chain(made);
    let ways = descriptions.flat_map(|text| [(text.clone(), true), (text, false)]);
    let accepted = ways.filter_map(|(text, from_file)| submitted(&text, from_file));
    let named = (0..).map(|number| unit(&format!("reading-{number}.service"))).zip(accepted);
    let files: BTreeMap<UnitName, UnitFile> = named.collect();
    assert!(files.len() > MADE / 3, "{} accepted", files.len());

    let loaded = manager.load(&files).await;
    assert!(loaded.values().all(Result::is_ok), "{loaded:?}");
    let names: Vec<&str> = files.keys().map(UnitName::as_str).collect();
    reload(&manager, &names).await;
    let folder = machine.folder("reading");
    let shown = shown(&machine, &folder);
    let mut starts = 0;
    for (name, file) in &files {
        let text = file.to_text();
        let [description, identifier, commands] = expected(name, file);
        let ([shown, shown_identifier, shown_commands], would_start) = &shown[name.as_str()];
        assert_eq!((shown, shown_identifier), (&description, &identifier), "{text:?}");
        if *would_start {
            assert_eq!(*shown_commands, commands, "{text:?}");
            starts += 1;
        } else {
            // There is no command, or it is none.
            assert!(commands.is_empty() || commands.contains("/bin/evil"), "{text:?}");
        }
    }
    assert!(starts > files.len() / 2, "{starts} of {}", files.len());

    // Nor has systemd anything to say about lines that it doesn't understand.
    let verify = format!("cd {folder} && systemd-analyze verify --man=no *.service 2>&1 || true");
    let said = machine.host().run(&["sh", "-c", &verify]).unwrap();
    for complaint in [
        "Missing '='",
        "Missing key name",
        "section header",
        "outside of section",
        "too long",
        "UTF-8",
    ] {
        assert!(!said.contains(complaint), "{complaint}: {said}");
    }
    let unloaded = manager.unload(&units(&names)).await;
    assert!(unloaded.values().all(Result::is_ok), "{unloaded:?}");
}
