//! The values under the registry's keys, all JSON (`architecture.md`, "What is in etcd").

use std::collections::BTreeMap;

use fleet_core::{FleetOptions, JobState, MachineId, MachineStanding, UnitHash, UnitState};
use fleet_store::Revision;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A record with the revisions it was read at, so that a later write can insist on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The record.
    pub value: T,
    /// The revision of its last change.
    pub revision: Revision,
    /// The revision that created its key.
    pub created: Revision,
}

/// `unit/<name>`: everything that is decided about a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnitRecord {
    /// The hash of the text under `file/<name>`.
    pub hash: UnitHash,
    /// The size of that text in bytes, so that a list ends before it is too large. 0 in records
    /// from before there were sizes.
    #[serde(default)]
    pub size: usize,
    /// What the user wants; a record that doesn't say means `inactive` (`units.md` 6).
    #[serde(default)]
    pub desired_state: JobState,
    /// The machine it is scheduled to; never set for global units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineId>,
    /// Whether its machine is asked to let it go. It is there until that has happened
    /// (`docs/decisions/0013`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub leaving: bool,
    /// The machine that had it when its content was replaced, while it has none: it goes back
    /// there if it may (`docs/decisions/0010`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_to: Option<MachineId>,
    /// Whether every eligible machine runs it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub global: bool,
    /// Whether it is a template, which never runs itself.
    #[serde(default, skip_serializing_if = "is_false")]
    pub template: bool,
    /// Its `[X-Fleet]` options, so that whoever judges it needs no file.
    #[serde(default, skip_serializing_if = "FleetOptions::is_empty")]
    pub x_fleet: FleetOptions,
}

impl UnitRecord {
    /// What a machine that has the unit must do.
    #[must_use]
    pub fn assignment(&self) -> Assignment {
        Assignment {
            hash: self.hash,
            desired_state: self.desired_state,
            leaving: self.leaving,
            x_fleet: self.x_fleet.clone(),
        }
    }

    /// Whether the machine that has it must let it go: nobody wants it, or it is to be elsewhere.
    #[must_use]
    pub fn leaves(&self) -> bool {
        self.leaving || self.desired_state == JobState::Inactive
    }
}

/// `schedule/<machine>/<name>` and `global/<name>`: what a machine must do with a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// The content to run, under `file/<name>`.
    pub hash: UnitHash,
    /// What the user wants.
    pub desired_state: JobState,
    /// Whether the machine must let it go, whatever the user wants.
    #[serde(default, skip_serializing_if = "is_false")]
    pub leaving: bool,
    /// The unit's `[X-Fleet]` options.
    #[serde(default, skip_serializing_if = "FleetOptions::is_empty")]
    pub x_fleet: FleetOptions,
}

impl Assignment {
    /// Whether the machine must let the unit go.
    #[must_use]
    pub fn leaves(&self) -> bool {
        self.leaving || self.desired_state == JobState::Inactive
    }

    /// The order to let a unit go that is destroyed. A fleetd that doesn't know `leaving` obeys it
    /// as well.
    pub(crate) fn to_leave(hash: UnitHash) -> Self {
        let (desired_state, x_fleet) = (JobState::Inactive, FleetOptions::default());
        Self { hash, desired_state, leaving: true, x_fleet }
    }
}

/// `leaving/<name>`: where a unit that was destroyed may still be. Nothing of that name goes
/// elsewhere until its machine has let it go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// The machine; `None` when the entry can't be understood.
    #[serde(default)]
    pub machine: Option<MachineId>,
}

/// `state/<name>,<machine>`: what a machine says of a unit it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishedState {
    /// What systemd says.
    #[serde(flatten)]
    pub systemd: UnitState,
    /// The hash of the content it runs.
    pub hash: UnitHash,
    /// What the agent has done: `loaded`, or `launched` once it has called start.
    pub claim: JobState,
    /// How that start went; `None` where nothing was started, or nobody knows any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    /// Of a unit that has failed, or waits to be started again after it failed: how, in words.
    /// Empty otherwise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub failure: String,
}

impl PublishedState {
    /// A state of which no more is known than this.
    #[must_use]
    pub fn new(systemd: UnitState, hash: UnitHash, claim: JobState) -> Self {
        Self { systemd, hash, claim, start: None, failure: String::new() }
    }

    /// Whether its process failed, and nothing is done about that.
    pub(crate) fn has_failed(&self) -> bool {
        self.systemd.active == "failed"
    }

    /// Whether it failed, and systemd is about to start it again. One that ends well may be started
    /// anew for ever.
    pub(crate) fn is_in_restart_loop(&self) -> bool {
        self.systemd.sub.starts_with("auto-restart") && !self.failure.is_empty()
    }

    /// Whether it doesn't run: it has ended well, or was never started.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.systemd.active == "inactive"
    }
}

/// How a start (or restart) went that an agent has asked systemd for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Start {
    /// When systemd was asked, in milliseconds of Unix time: it tells one start from the next.
    pub at: i64,
    /// Whether its end is known: systemd's job is done, and a moment has passed since.
    pub settled: bool,
    /// Why it came to nothing, in words; empty when it did not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub failure: String,
}

/// `trouble/<name>,<machine>`: what keeps a machine from making a unit what it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What went wrong when it was tried last, in words.
    pub error: String,
    /// The content that the service manager refuses as things are: another try will get the same
    /// answer unless something changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<UnitHash>,
}

/// `obstacle/<name>,<machine>`: what keeps a unit off a machine that only that machine can see. It is
/// there before anything is put there, and stays when what was put there has gone again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostObstacle {
    /// What it is, in words.
    #[serde(default)]
    pub reason: String,
}

/// `machine/<id>`: a machine that is present.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineRecord {
    /// The published address; empty when there is none.
    #[serde(default, rename = "publicIP")]
    pub public_ip: String,
    /// The configured metadata.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// What this fleetd can do.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// The version of its fleetd.
    #[serde(default)]
    pub version: String,
    /// The instance nonce: tells this machine from another that has the same id.
    #[serde(default)]
    pub nonce: String,
    /// How it stands, in its own words.
    #[serde(
        default,
        skip_serializing_if = "is_in_service",
        serialize_with = "write_standing",
        deserialize_with = "read_standing"
    )]
    pub standing: MachineStanding,
    /// The boot in which it was written, by a fleetd that answers when it is asked
    /// (`docs/decisions/0016`); empty by one that doesn't.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub boot_id: String,
    /// The nonce of whoever asks whether the machine is still there. It answers by writing its entry
    /// anew, without this.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub asked_by: String,
}

/// What a fleetd can do (`fleetd.md` 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// It never runs the engine.
    #[serde(default, rename = "DISABLE_ENGINE")]
    pub disable_engine: bool,
    /// Always false (`spec/README.md` 10).
    #[serde(default, rename = "GRPC")]
    pub grpc: bool,
    /// Its agent says when a unit that had to go is gone (`docs/decisions/0013`).
    #[serde(default, rename = "HANDOVER", skip_serializing_if = "is_false")]
    pub handover: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_in_service(standing: &MachineStanding) -> bool {
    *standing == MachineStanding::InService
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn write_standing<S: Serializer>(
    standing: &MachineStanding,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(standing.word())
}

/// Whatever a later version writes there is no reason to take the machine for absent.
fn read_standing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MachineStanding, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_str().map(MachineStanding::of_word).unwrap_or_default())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readers ignore what they don't know, and do without what their writer didn't know.
    #[test]
    fn machine_records_of_other_versions_are_read() {
        let plain = r#"{"publicIP":"198.18.0.1","metadata":{},"capabilities":{"DISABLE_ENGINE":false,"GRPC":false},"version":"v2","nonce":"n"}"#;
        let read = |text: &str| serde_json::from_str::<MachineRecord>(text).unwrap();
        let record = read(plain);
        assert_eq!(record.standing, MachineStanding::InService);
        assert_eq!(serde_json::to_string(&record).unwrap(), plain, "nothing new is said");
        for (standing, expected) in [
            (r#""leaving""#, MachineStanding::Leaving),
            (r#""silent""#, MachineStanding::Silent),
            (r#""on-holiday""#, MachineStanding::InService),
            (r#"{"since":7}"#, MachineStanding::InService),
            ("null", MachineStanding::InService),
        ] {
            let text = format!(r#"{{"standing":{standing},"unheardOf":[1],{}"#, &plain[1..]);
            assert_eq!(read(&text).standing, expected, "{text}");
        }
        let leaving = MachineRecord { standing: MachineStanding::Leaving, ..record };
        let text = serde_json::to_string(&leaving).unwrap();
        assert!(text.contains(r#""standing":"leaving""#), "{text}");
        assert_eq!(read(&text), leaving);
    }
}
