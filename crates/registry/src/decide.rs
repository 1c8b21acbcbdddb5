//! What the engine writes.

use fleet_core::{MachineId, UnitName};
use fleet_store::Revision;

use crate::{Leadership, Registry, RegistryError, UnitRecord, Versioned};

/// A unit's new target, and what the decision rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The unit.
    pub unit: UnitName,
    /// Its record as seen. Any change since then refuses the decision.
    pub seen: Versioned<UnitRecord>,
    /// The machine it goes to with the revision that created that machine's entry, or `None` to
    /// take it off its machine. A machine that left or came anew since refuses the decision.
    pub target: Option<(MachineId, Revision)>,
}

/// What became of one decision: the record as it is now, or why it was refused.
pub type Decided = Result<Versioned<UnitRecord>, RegistryError>;

impl Registry {
    /// Carries out decisions, as many in a transaction as fit; when one is refused its
    /// members are tried alone. The answers are in the order of `decisions`.
    ///
    /// # Errors
    /// `LeadershipLost` when `lead` is no longer ours, and store errors; what was carried out
    /// before stays, and shows up in the mirror.
    pub async fn decide(
        &self,
        _lead: &Leadership,
        _decisions: &[Decision],
    ) -> Result<Vec<Decided>, RegistryError> {
        todo!()
    }
}
#[expect(unused, reason = "skeleton")]
type U = UnitName;
