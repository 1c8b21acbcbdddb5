//! Fetches contents, and says of those that are not what they should be.

use std::collections::{BTreeMap, BTreeSet};

use fleet_core::{UnitFile, UnitHash, UnitName};
use fleet_registry::{Registry, RegistryError, UnitRecord};
use tracing::{debug, error};

use crate::{
    desired::Wanted,
    plan::{Current, Text, texts_needed},
};

/// What is known of contents that aren't at hand.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Those that were looked for in vain since something changed last.
    missing: BTreeSet<UnitName>,
    /// What is wrong with those that can't be what is wanted.
    wrong: BTreeMap<UnitName, String>,
}

impl Contents {
    /// What is wrong with contents that can't be what is wanted.
    pub(super) fn wrong(&self) -> &BTreeMap<UnitName, String> {
        &self.wrong
    }

    /// Something has changed, or may have: what was missing may be there.
    pub(super) fn look_again(&mut self) {
        self.missing.clear();
    }

    /// Fetches the contents that are needed and not at hand. One that isn't there (its record
    /// came first, or the unit is gone meanwhile) is looked for again when something changes.
    pub(super) async fn fetch(
        &mut self,
        registry: &Registry,
        wanted: &BTreeMap<UnitName, Wanted>,
        current: &mut Current,
    ) -> Result<(), RegistryError> {
        let mut needed = texts_needed(wanted, current);
        self.wrong.retain(|unit, _| needed.contains(unit));
        needed.retain(|unit| !self.missing.contains(unit));
        if needed.is_empty() {
            return Ok(());
        }
        let mut texts = registry.unit_texts(&needed).await?;
        let mut odd = Vec::new();
        for unit in needed {
            let Some(wanted) = wanted.get(&unit).map(|wanted| wanted.hash) else { continue };
            match parse(wanted, texts.remove(&unit)) {
                Ok(text) => {
                    self.wrong.remove(&unit);
                    current.texts.insert(unit, text);
                }
                Err(why) => odd.push((unit, wanted, why)),
            }
        }
        if odd.is_empty() {
            return Ok(());
        }
        let names: BTreeSet<UnitName> = odd.iter().map(|(unit, ..)| unit.clone()).collect();
        self.judge(odd, &registry.unit_records(&names).await?);
        Ok(())
    }

    /// Tells contents that are late from those that are wrong. A record and its content are written
    /// together, so where the record, read after the content, is the one that was wanted all along,
    /// no other content is to be expected.
    fn judge(
        &mut self,
        odd: Vec<(UnitName, UnitHash, String)>,
        records: &BTreeMap<UnitName, UnitRecord>,
    ) {
        for (unit, wanted, why) in odd {
            self.missing.insert(unit.clone());
            if records.get(&unit).is_none_or(|record| record.hash != wanted) {
                debug!(%unit, "content isn't there yet, or no longer");
                self.wrong.remove(&unit);
            } else if self.wrong.get(&unit) != Some(&why) {
                error!(%unit, reason = why, "content is not what its record says");
                self.wrong.insert(unit, why);
            }
        }
        let is_missing = |unit| self.missing.contains(unit);
        assert!(self.wrong.keys().all(is_missing), "what is wrong is not at hand");
    }
}

/// The content that is wanted, or what is wrong with what is there.
fn parse(wanted: UnitHash, text: Option<Vec<u8>>) -> Result<Text, String> {
    let text = text.ok_or("the registry has no content of it")?;
    let file = UnitFile::parse_stored(&text).map_err(|error| {
        error!("error parsing Unit({wanted}): {error}");
        format!("its content can't be understood: {error}")
    })?;
    let hash = file.hash();
    if hash == wanted {
        return Ok(Text { hash, file });
    }
    Err(format!("its content has the hash {hash}, its record says {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_late_until_its_record_says_that_it_is_wrong() {
        let unit: UnitName = "a.service".parse().unwrap();
        let wanted = UnitHash::of(b"wanted");
        let record = |hash: UnitHash| {
            let record = serde_json::json!({ "hash": hash, "desiredState": "launched" });
            BTreeMap::from([(unit.clone(), serde_json::from_value(record).unwrap())])
        };
        let mut contents = Contents::default();
        for (row, records, is_wrong) in [
            ("its unit is gone", BTreeMap::new(), false),
            ("its record is of another", record(UnitHash::of(b"other")), false),
            ("its record is this", record(wanted), true),
            ("its record is of another again", record(UnitHash::of(b"other")), false),
        ] {
            let odd = vec![(unit.clone(), wanted, "it is odd".to_owned())];
            contents.judge(odd, &records);
            assert_eq!(contents.wrong().contains_key(&unit), is_wrong, "{row}");
            assert!(
                contents.missing.contains(&unit),
                "{row}: not asked for until something changes"
            );
            contents.look_again();
        }
    }
}
