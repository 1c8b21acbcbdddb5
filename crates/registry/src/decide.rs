//! What the engine writes: placements, each insisting on what it was decided on, and all on the
//! engine lease.

use std::collections::BTreeSet;

use fleet_core::{MachineId, UnitName};
use fleet_store::{Compare, MAX_TXN_OPS, Op, Revision, StoreError, Txn};

use crate::{Leadership, Registry, RegistryError, UnitRecord, Versioned, registry::halves};

/// Operations of one decision at most, and as many comparisons, beside that of the lease: the record, the old schedule entry and a restart asked
/// for there, the new schedule entry. A unit that is destroyed and comes again has no old one, but
/// an entry that says where it is leaving.
const OPS_OF_DECISION: usize = 4;

/// A unit's new target, and what the decision rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The unit.
    pub unit: UnitName,
    /// Its record as seen. Any change since then refuses the decision.
    pub seen: Versioned<UnitRecord>,
    /// Where it goes. A machine that left or came anew since refuses the decision.
    pub target: Target,
    /// The machine that has it, where that is absent. One that has come back since refuses to have the
    /// unit taken from it: it runs there.
    pub absent: Option<MachineId>,
}

/// Where a unit goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Nowhere: it has no machine any more.
    None,
    /// Off its machine, once that has let it go: it is asked to. With the revision that created the
    /// machine's entry.
    Leaving(Revision),
    /// To a machine.
    Machine {
        /// Its id.
        id: MachineId,
        /// The revision that created its entry.
        created: Revision,
        /// The revision of `leaving/<name>`, if that says that the unit is leaving this machine. One
        /// that says it of any machine else refuses the decision.
        leaving: Option<Revision>,
    },
}

impl From<Option<(MachineId, Revision)>> for Target {
    fn from(machine: Option<(MachineId, Revision)>) -> Self {
        machine.map_or(Self::None, |(id, created)| Self::Machine { id, created, leaving: None })
    }
}

impl Decision {
    fn record(&self) -> UnitRecord {
        let seen = self.seen.value.clone();
        match &self.target {
            Target::None => UnitRecord { machine: None, leaving: false, ..seen },
            Target::Leaving(_) => UnitRecord { leaving: true, ..seen },
            // Wherever it goes now, it has come back from its replacement.
            Target::Machine { id, .. } => {
                UnitRecord { machine: Some(id.clone()), leaving: false, return_to: None, ..seen }
            }
        }
    }

    /// The machines that must be as they were seen: there since that revision, or (`None`) absent.
    fn machines(&self) -> impl Iterator<Item = (&MachineId, Option<Revision>)> {
        let named = match &self.target {
            Target::None => None,
            Target::Leaving(created) => {
                self.seen.value.machine.as_ref().map(|id| (id, Some(*created)))
            }
            Target::Machine { id, created, .. } => Some((id, Some(*created))),
        };
        named.into_iter().chain(self.absent.iter().map(|id| (id, None)))
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
            decisions.chunks((MAX_TXN_OPS - 1) / OPS_OF_DECISION).rev().collect();
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
        assert_eq!(decided.len(), decisions.len(), "every decision is answered, in their order");
        Ok(decided)
    }

    /// Commits decisions together; `None` when something they rest on doesn't hold.
    async fn commit_decisions(
        &self,
        lead: &Leadership,
        decisions: &[Decision],
    ) -> Result<Option<Revision>, RegistryError> {
        let mut compare = vec![Compare::ModRevision(self.keys.leader(), lead.revision)];
        let machines: BTreeSet<_> = decisions.iter().flat_map(Decision::machines).collect();
        compare.extend(machines.into_iter().map(|(machine, created)| {
            let key = self.keys.machine(machine.as_str());
            match created {
                Some(created) => Compare::CreateRevision(key, created),
                None => Compare::Absent(key),
            }
        }));
        compare.extend(decisions.iter().map(|decision| {
            Compare::ModRevision(self.keys.unit(decision.unit.as_str()), decision.seen.revision)
        }));
        compare.extend(decisions.iter().filter_map(|decision| self.is_free(decision)));
        let then: Vec<Op> = decisions.iter().flat_map(|decision| self.ops(decision)).collect();
        let outcome = self.store.commit(Txn { compare, then }).await?;
        Ok(outcome.applied.then_some(outcome.revision))
    }

    /// That no machine is still stopping what was destroyed under a unit's name, but the one it goes
    /// to.
    fn is_free(&self, Decision { unit, target, .. }: &Decision) -> Option<Compare> {
        let Target::Machine { leaving, .. } = target else { return None };
        let key = self.keys.leaving(unit.as_str());
        Some(match leaving {
            None => Compare::Absent(key),
            Some(seen) => Compare::ModRevision(key, *seen),
        })
    }

    fn ops(&self, decision: &Decision) -> Vec<Op> {
        let Decision { unit, seen, target, .. } = decision;
        let mut ops = self.unit_ops(unit, Some(&seen.value), &decision.record());
        if let Target::Machine { leaving: Some(_), .. } = target {
            ops.push(Op::Delete(self.keys.leaving(unit.as_str()))); // the record says it from now on
        }
        ops
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
