//! What the engine writes: placements, each insisting on what it was decided on, and all on the
//! engine lease.

use std::collections::BTreeSet;

use fleet_core::{MachineId, UnitName};
use fleet_store::{Compare, MAX_TXN_OPS, Op, Revision, StoreError, Txn};

use crate::{Leadership, Registry, RegistryError, UnitRecord, Versioned, registry::halves};

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

    /// What it writes at most: the record, the order of the machine it leaves and a restart asked for
    /// there, the order of the machine it goes to, and that it isn't leaving that any more.
    fn most_ops(&self) -> usize {
        let leaves = if self.seen.value.machine.is_some() { 2 } else { 0 };
        let comes = match &self.target {
            Target::None => 0,
            Target::Leaving(_) => 1,
            Target::Machine { leaving, .. } => 1 + usize::from(leaving.is_some()),
        };
        1 + leaves + comes
    }

    /// What it compares at most, beside machines: the record, and where it is leaving.
    fn most_compares(&self) -> usize {
        if matches!(self.target, Target::Machine { .. }) { 2 } else { 1 }
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
        let mut batches: Vec<&[Decision]> = Vec::new();
        let mut left = decisions;
        while !left.is_empty() {
            let (batch, behind) = left.split_at(Self::fitting(left));
            batches.push(batch);
            left = behind;
        }
        batches.reverse();
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

    /// Cuts decisions into as many as fit in a transaction each.
    #[must_use]
    pub fn batches(mut decisions: Vec<Decision>) -> Vec<Vec<Decision>> {
        let mut batches = Vec::new();
        while !decisions.is_empty() {
            let behind = decisions.split_off(Self::fitting(&decisions));
            batches.push(std::mem::replace(&mut decisions, behind));
        }
        batches
    }

    /// How many of `decisions`, from the first on, fit in a transaction: at least one.
    fn fitting(decisions: &[Decision]) -> usize {
        let (mut compares, mut ops, mut machines) = (1, 0, BTreeSet::new());
        let mut fitting = 0;
        for decision in decisions {
            machines.extend(decision.machines());
            compares += decision.most_compares();
            ops += decision.most_ops();
            if fitting > 0 && (compares + machines.len() > MAX_TXN_OPS || ops > MAX_TXN_OPS) {
                break;
            }
            fitting += 1;
        }
        fitting
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
