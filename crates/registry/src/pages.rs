//! Lists, page by page: each page is read at one revision, and costs what it holds.

use std::{collections::BTreeMap, iter};

use fleet_core::{MachineId, MachineStanding, UnitName};
use fleet_store::{Key, KeyValue, Range, Revision};
use tracing::error;

use crate::{
    MachineRecord, PublishedState, Registry, RegistryError, Unit, UnitRecord, Versioned,
    effective_metadata,
    keys::{Entry, OF_MACHINE},
    registry::decode,
    scan::after as key_after,
    size::MAX_TEXT,
    walk::Part,
};

/// A page ends when its items have this many bytes of unit files, or of metadata: as many as the
/// largest unit may have, so that no page takes more memory than that.
const PAGE_BYTES: usize = MAX_TEXT;

/// A page of states ends when they have this many bytes: some four thousand of them.
const STATES_BYTES: usize = 1024 * 1024;

/// A page of a list in key order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page starts: after this key. `None` on the last page. Opaque to callers.
    pub next: Option<String>,
}

/// Which states to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateFilter {
    /// Only of this unit.
    pub unit: Option<UnitName>,
    /// Only of this machine (exact text).
    pub machine: Option<String>,
}

/// A published state with whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateView {
    /// The unit.
    pub unit: UnitName,
    /// The machine.
    pub machine: MachineId,
    /// What it says.
    pub state: PublishedState,
}

/// A present machine with its effective metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineView {
    /// Its id.
    pub id: MachineId,
    /// Its address; empty when unknown.
    pub public_ip: String,
    /// Configured metadata overlaid with dynamic metadata.
    pub metadata: BTreeMap<String, String>,
    /// How it stands, in its own words.
    pub standing: MachineStanding,
}

/// The keys of one page, and where the next starts.
struct Slice {
    kvs: Vec<KeyValue>,
    revision: Revision,
    next: Option<String>,
}

impl Registry {
    /// Units after `after` (a page's `next`), at most `limit`, and fewer when they are large.
    /// Corrupt ones are left out and logged.
    ///
    /// # Errors
    /// The store failed.
    pub async fn units_page(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Unit>, RegistryError> {
        self.files.get_all.count(self.read_units(after, limit)).await
    }

    async fn read_units(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Unit>, RegistryError> {
        let prefix = self.keys.units();
        let Slice { kvs, revision, mut next } = self.slice(&prefix, after, limit).await?;
        let (mut records, mut bytes) = (Vec::<(UnitName, Versioned<UnitRecord>)>::new(), 0);
        let mut last = None;
        for kv in &kvs {
            if let Some(Entry::Unit(name)) = self.keys.parse(&kv.key)
                && let Some(record) = logged(decode::<UnitRecord>(kv))
            {
                bytes += record.value.size;
                if bytes > PAGE_BYTES && !records.is_empty() {
                    next = last;
                    break;
                }
                records.push((name, record));
            }
            last = kv.key.strip_prefix(&prefix).map(str::to_owned);
        }
        let mut rest = self.rest_of(&records, revision).await?;
        let items = records
            .into_iter()
            .filter_map(|(name, record)| {
                let file = rest.remove(&self.keys.file(name.as_str()));
                let state = record.value.machine.as_ref().and_then(|machine| {
                    rest.remove(&self.keys.state(name.as_str(), machine.as_str()))
                });
                logged(self.assemble(name, record, file.as_ref(), state.as_ref()))
            })
            .collect();
        Ok(Page { items, next })
    }

    /// What else there is about units that follow each other in the list: contents and states. Both
    /// come in the same order, so they are read as ranges.
    async fn rest_of(
        &self,
        records: &[(UnitName, Versioned<UnitRecord>)],
        at: Revision,
    ) -> Result<BTreeMap<Key, KeyValue>, RegistryError> {
        let ([(first, _), ..], [.., (last, _)]) = (records, records) else {
            return Ok(BTreeMap::new());
        };
        let [first, last] = [first, last].map(|name| self.keys.file(name.as_str()));
        let files = Range { start: first, end: Some(key_after(&last)), limit: 0 };
        let states = records.chunk_by(|(_, one), (_, next)| one.value.global == next.value.global);
        // A global unit has none of its own, and one for each machine.
        let states = states.filter(|run| run.iter().any(|(_, record)| !record.value.global));
        let states = states.filter_map(|run| {
            let ([(first, _), ..], [.., (last, _)]) = (run, run) else { return None };
            let start = self.keys.states_of(first.as_str());
            let end = Range::prefix(&self.keys.states_of(last.as_str())).end;
            Some(Range { start, end, limit: 0 })
        });
        let ranges: Vec<Range> = iter::once(files).chain(states).collect();
        let (kvs, _) = self.scan_until(&ranges, Some(at), usize::MAX).await?;
        Ok(kvs.into_iter().flatten().map(|kv| (kv.key.clone(), kv)).collect())
    }

    /// States that pass `filter`, ordered by unit, then machine.
    ///
    /// # Errors
    /// The store failed.
    pub async fn states_page(
        &self,
        filter: &StateFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<StateView>, RegistryError> {
        let all = self.keys.states();
        let prefix = match &filter.unit {
            Some(unit) => self.keys.states_of(unit.as_str()),
            None => all.clone(),
        };
        // A page of another filter's list may have ended before this one begins.
        let after = after.map_or_else(|| prefix.clone(), |after| join(&all, after));
        let mut walk = match &filter.unit {
            Some(_) => self.short_walk(&prefix, &after),
            None => self.walk(&prefix, &after),
        };
        let (mut items, mut bytes) = (Vec::<StateView>::new(), 0);
        while !walk.is_over() {
            // Of one machine there may be few in many.
            let wanted = limit.saturating_add(1) - items.len();
            let wanted = if filter.machine.is_some() { usize::MAX } else { wanted };
            for kv in walk.read(wanted).await? {
                let Some(view) = self.state_view(&kv).filter(|view| {
                    filter.machine.as_ref().is_none_or(|machine| machine == view.machine.as_str())
                }) else {
                    continue;
                };
                if items.len() >= limit || bytes > STATES_BYTES {
                    let last = items.last();
                    let next =
                        last.map(|last| format!("{}{OF_MACHINE}{}", last.unit, last.machine));
                    return Ok(Page { items, next });
                }
                bytes += kv.key.as_str().len() + kv.value.len();
                items.push(view);
            }
        }
        Ok(Page { items, next: None })
    }

    fn state_view(&self, kv: &KeyValue) -> Option<StateView> {
        let Some(Entry::State(unit, machine)) = self.keys.parse(&kv.key) else { return None };
        let state = logged(decode::<PublishedState>(kv))?.value;
        Some(StateView { unit, machine, state })
    }

    /// Present machines by id, at most `limit`, and fewer when they have much dynamic metadata.
    ///
    /// # Errors
    /// The store failed.
    pub async fn machines_page(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<MachineView>, RegistryError> {
        let Slice { kvs, revision, mut next } =
            self.slice(&self.keys.machines(), after, limit).await?;
        let machines: Vec<(MachineId, MachineRecord)> = kvs
            .iter()
            .filter_map(|kv| match self.keys.parse(&kv.key) {
                Some(Entry::Machine(id)) => Some((id, logged(decode(kv))?.value)),
                _ => None,
            })
            .collect();
        let ranges: Vec<Range> =
            machines.iter().map(|(id, _)| Range::prefix(&self.keys.metadata_of(id))).collect();
        let (dynamic, _) = self.scan_until(&ranges, Some(revision), PAGE_BYTES).await?;
        if dynamic.len() < machines.len() {
            next = dynamic.len().checked_sub(1).map(|last| machines[last].0.to_string());
        }
        let items = machines
            .into_iter()
            .zip(dynamic)
            .map(|((id, record), dynamic)| {
                let metadata = effective_metadata(&record.metadata, &self.pairs(&dynamic));
                let MachineRecord { public_ip, standing, .. } = record;
                MachineView { id, public_ip, metadata, standing }
            })
            .collect();
        Ok(Page { items, next })
    }

    /// Dynamic metadata as stored under these keys.
    fn pairs(&self, kvs: &[KeyValue]) -> BTreeMap<String, String> {
        let pair = |kv: &KeyValue| match self.keys.parse(&kv.key)? {
            Entry::Metadata(_, key) => Some((key, String::from_utf8_lossy(&kv.value).into_owned())),
            _ => None,
        };
        kvs.iter().filter_map(pair).collect()
    }

    /// The versions of fleetd on present machines, in the machines' order.
    ///
    /// # Errors
    /// The store failed.
    pub async fn machine_versions(&self) -> Result<Vec<String>, RegistryError> {
        let (kvs, _) = self.scan(&[Range::prefix(&self.keys.machines())]).await?;
        let records = kvs.iter().filter_map(|kv| logged(decode::<MachineRecord>(kv)));
        Ok(records.map(|record| record.value.version).collect())
    }

    /// The keys of a page under `prefix`.
    async fn slice(
        &self,
        prefix: &Key,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Slice, RegistryError> {
        let mut walk = self.walk(prefix, &join(prefix, after.unwrap_or_default()));
        let Part { kvs, revision, more } = walk.part(limit, PAGE_BYTES).await?;
        let last = kvs.last().and_then(|kv| kv.key.strip_prefix(prefix));
        let next = last.filter(|_| more).map(str::to_owned);
        Ok(Slice { kvs, revision, next })
    }
}

fn join(prefix: &Key, rest: &str) -> Key {
    format!("{prefix}{rest}").into()
}

/// A corrupt entry costs only itself: it is logged and left out of lists (`api.md` 3.1).
fn logged<T>(entry: Result<T, RegistryError>) -> Option<T> {
    entry.map_err(|error| error!(%error, "left out of a list")).ok()
}
