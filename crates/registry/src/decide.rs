//! What the engine writes: placements, each insisting on what it was decided on, and all on the
//! engine lease.

use std::collections::BTreeSet;

use fleet_core::{MachineId, UnitName};
use fleet_store::{Compare, MAX_TXN_OPS, Op, Revision, StoreError, Txn};

use crate::{Leadership, Registry, RegistryError, UnitRecord, Versioned, registry::halves};

/// Operations of one decision at most: the record, the old schedule entry and a restart asked
/// for there, the new schedule entry.
const OPS_OF_DECISION: usize = 4;

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

impl Decision {
    fn record(&self) -> UnitRecord {
        let machine = self.target.as_ref().map(|(machine, _)| machine.clone());
        // Wherever it goes now, it has come back from its replacement.
        let return_to = self.seen.value.return_to.clone().filter(|_| machine.is_none());
        UnitRecord { machine, return_to, ..self.seen.value.clone() }
    }
}

/// What became of one decision: the record as it is now, or why it was refused.
pub type Decided = Result<Versioned<UnitRecord>, RegistryError>;

impl Registry {
    /// Carries out decisions, as many in a transaction as fit. When something that one rests on
    /// doesn't hold its members are tried alone; when the store refuses it as it is, because
    /// together they are too large, in halves. The answers are in the order of `decisions`.
    ///
    /// # Errors
    /// `LeadershipLost` when `lead` is no longer ours, and store errors; what was carried out
    /// before stays, and shows up in the mirror.
    pub async fn decide(
        &self,
        lead: &Leadership,
        decisions: &[Decision],
    ) -> Result<Vec<Decided>, RegistryError> {
        let mut decided = Vec::with_capacity(decisions.len());
        // The next one is the last.
        let mut batches: Vec<&[Decision]> =
            decisions.chunks(MAX_TXN_OPS / OPS_OF_DECISION).rev().collect();
        while let Some(batch) = batches.pop() {
            match (self.commit_decisions(lead, batch).await, batch) {
                (Ok(Some(revision)), _) => {
                    decided.extend(batch.iter().map(|decision| Ok(written(decision, revision))));
                }
                (Ok(None), [decision]) => decided.push(Err(self.refusal(lead, decision).await?)),
                (Ok(None), _) => batches.extend(batch.chunks(1).rev()),
                (Err(error @ RegistryError::Store(StoreError::Refused(_))), [_]) => {
                    decided.push(Err(error));
                }
                (Err(RegistryError::Store(StoreError::Refused(_))), _) => {
                    batches.extend(halves(batch));
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(decided)
    }

    /// Commits decisions together; `None` when something they rest on doesn't hold.
    async fn commit_decisions(
        &self,
        lead: &Leadership,
        decisions: &[Decision],
    ) -> Result<Option<Revision>, RegistryError> {
        let mut compare = vec![Compare::ModRevision(self.keys.leader(), lead.revision)];
        let targets: BTreeSet<_> = decisions.iter().filter_map(|d| d.target.as_ref()).collect();
        compare.extend(targets.into_iter().map(|(machine, created)| {
            Compare::CreateRevision(self.keys.machine(machine.as_str()), *created)
        }));
        compare.extend(decisions.iter().map(|decision| {
            Compare::ModRevision(self.keys.unit(decision.unit.as_str()), decision.seen.revision)
        }));
        let then: Vec<Op> = decisions
            .iter()
            .flat_map(|d| self.unit_ops(&d.unit, Some(&d.seen.value), &d.record()))
            .collect();
        let outcome = self.store.commit(Txn { compare, then }).await?;
        Ok(outcome.applied.then_some(outcome.revision))
    }

    /// Why a decision was refused: our lease, or what it was based on.
    async fn refusal(
        &self,
        lead: &Leadership,
        decision: &Decision,
    ) -> Result<RegistryError, RegistryError> {
        match self.get(self.keys.leader()).await? {
            Some(kv) if kv.mod_revision == lead.revision => {
                Ok(RegistryError::Conflict(format!("unit {} or its machine", decision.unit)))
            }
            _ => Err(RegistryError::LeadershipLost),
        }
    }
}

fn written(decision: &Decision, revision: Revision) -> Versioned<UnitRecord> {
    Versioned { value: decision.record(), revision, created: decision.seen.created }
}
