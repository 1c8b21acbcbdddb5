//! Looks at a host: what its systemd says of the units, and the files that it has.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

use super::units::{PREFIX, variant_in};
use crate::host::Host;

/// What systemd says of a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) active: String,
    pub(crate) sub: String,
    pub(crate) invocation: String,
    pub(crate) pid: String,
    pub(crate) started: String,
}

impl Seen {
    /// Whether it runs, or is on its way up or down.
    pub(crate) fn is_up(&self) -> bool {
        !matches!(self.active.as_str(), "inactive" | "failed")
    }

    /// Whether it runs, or is on its way up.
    pub(crate) fn runs(&self) -> bool {
        self.is_up() && self.active != "deactivating"
    }
}

const PROPERTIES: &str =
    "Id,ActiveState,SubState,InvocationID,MainPID,ExecMainStartTimestampMonotonic";

/// Returns all units of ours that the host's systemd has in memory.
pub(crate) fn units(host: &Host) -> Result<BTreeMap<String, Seen>> {
    let pattern = format!("{PREFIX}*");
    let show = ["systemctl", "show", "--all", "--property", PROPERTIES, "--", &pattern];
    // One that hangs holds nothing else up.
    let output = host.output(&[&["timeout", "5"], &show[..]].concat())?;
    ensure!(output.code == Some(0), "{output:?}");
    Ok(read(&output.stdout))
}

fn read(text: &str) -> BTreeMap<String, Seen> {
    let mut units = BTreeMap::new();
    for block in text.split("\n\n") {
        let (mut name, mut seen) = (String::new(), Seen::default());
        for (key, value) in block.lines().filter_map(|line| line.split_once('=')) {
            let place = match key {
                "Id" => &mut name,
                "ActiveState" => &mut seen.active,
                "SubState" => &mut seen.sub,
                "InvocationID" => &mut seen.invocation,
                "MainPID" => &mut seen.pid,
                "ExecMainStartTimestampMonotonic" => &mut seen.started,
                _ => continue,
            };
            value.clone_into(place);
        }
        if !name.is_empty() {
            units.insert(name, seen);
        }
    }
    units
}

/// Returns which content the main processes of units run, by process.
pub(crate) fn contents<'a>(
    host: &Host,
    units: impl Iterator<Item = &'a Seen>,
) -> Result<BTreeMap<String, u8>> {
    let pids = units.map(|seen| seen.pid.as_str()).filter(|pid| !["", "0"].contains(pid));
    let files: Vec<String> = pids.map(|pid| format!("/proc/{pid}/environ")).collect();
    if files.is_empty() {
        return Ok(BTreeMap::new());
    }
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    // One that ends in between fails it, and isn't told.
    let grep = ["timeout", "5", "grep", "--null-data", "--text", "--with-filename", "^VARIANT="];
    let told = host.output(&[&grep[..], &files].concat())?.stdout;
    let read = told.split('\0').filter_map(|line| {
        let (file, text) = line.trim_start().split_once(':')?;
        Some((file.split('/').nth(2)?.to_owned(), variant_in(text)?))
    });
    Ok(read.collect())
}

/// The names of files below fleet's folder, and those of ours that are known to systemd.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) units: BTreeSet<String>,
    pub(crate) links: BTreeSet<String>,
}

/// Returns the files of units that the host has.
pub(crate) fn files(host: &Host) -> Result<Files> {
    let find = format!(
        "ls -A /run/fleet/units; echo --; \
         find /run/systemd/system /etc/systemd/system -name '{PREFIX}*'"
    );
    let text = host.run(&["timeout", "5", "sh", "-c", &find])?;
    let (units, links) = text.split_once("--\n").unwrap_or((&text, ""));
    let set = |text: &str| text.lines().map(str::to_owned).collect();
    Ok(Files { units: set(units), links: set(links) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_units() {
        let units = read("MainPID=7\nId=c-a.service\nActiveState=active\n\nId=c-b.service\n");
        assert_eq!(units.len(), 2);
        assert_eq!((units["c-a.service"].pid.as_str(), units["c-a.service"].is_up()), ("7", true));
        assert!(read("").is_empty());
    }
}
