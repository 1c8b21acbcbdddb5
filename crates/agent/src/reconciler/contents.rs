//! Fetches contents, and says of those that are not what they should be.

use std::collections::BTreeSet;

use fleet_core::{UnitFile, UnitHash, UnitName};
use fleet_registry::RegistryError;
use tracing::{debug, error};

use super::{PassError, Reconciler};
use crate::plan::{Text, texts_needed};

impl Reconciler {
    /// Fetches the contents that are needed and not at hand. One that isn't there (its record
    /// came first, or the unit is gone meanwhile) is looked for again when something changes.
    pub(super) async fn fetch(&mut self) -> Result<(), PassError> {
        let mut needed = texts_needed(&self.desired.units, &self.current);
        self.wrong.retain(|unit, _| needed.contains(unit));
        needed.retain(|unit| !self.missing.contains(unit));
        if needed.is_empty() {
            return Ok(());
        }
        let mut texts = self.registry.unit_texts(&needed).await?;
        let mut odd = Vec::new();
        for unit in needed {
            let Some(wanted) = self.desired.units.get(&unit).map(|wanted| wanted.hash) else {
                continue;
            };
            match parse(wanted, texts.remove(&unit)) {
                Ok(text) => {
                    self.wrong.remove(&unit);
                    self.current.texts.insert(unit, text);
                }
                Err(why) => odd.push((unit, wanted, why)),
            }
        }
        Ok(self.judge(odd).await?)
    }

    /// Tells contents that are late from those that are wrong. A record and its content are written
    /// together, so where the record, read after the content, is the one that was wanted all along,
    /// no other content is to be expected.
    async fn judge(&mut self, odd: Vec<(UnitName, UnitHash, String)>) -> Result<(), RegistryError> {
        if odd.is_empty() {
            return Ok(());
        }
        let names: BTreeSet<UnitName> = odd.iter().map(|(unit, ..)| unit.clone()).collect();
        let records = self.registry.unit_records(&names).await?;
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
        Ok(())
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
