//! How large things may be: a matter of what etcd takes, and of what everybody who reads them can
//! bear, whoever writes.

use fleet_core::UnitFile;

use crate::{MetadataChange, registry::encode};

/// The most the text of a unit may have, in bytes. etcd refuses requests of more than 1.5 MiB,
/// and a unit's text goes out together with its record and its schedule.
pub(crate) const MAX_TEXT: usize = 256 * 1024;

/// The most a unit's `[X-Fleet]` options may have as JSON, in bytes: they are in its record and in
/// its schedule, and every machine that weighs the unit keeps them in memory.
const MAX_OPTIONS: usize = 64 * 1024;

/// The most a key of dynamic metadata may have, in bytes: as a unit's name.
const MAX_METADATA_KEY: usize = 256;

/// The most a value of dynamic metadata may have, in bytes. Lists and engines read all of them, and
/// one `PATCH` may set 128.
const MAX_METADATA_VALUE: usize = 4 * 1024;

/// What is too large.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// A unit's text.
    #[error("unit is too large: its file has more than {MAX_TEXT} bytes")]
    Text,
    /// A unit's `[X-Fleet]` options.
    #[error("unit is too large: its X-Fleet options have more than {MAX_OPTIONS} bytes")]
    Options,
    /// A key of dynamic metadata.
    #[error("machine metadata is too large: a key has more than {MAX_METADATA_KEY} bytes")]
    MetadataKey,
    /// A value of dynamic metadata.
    #[error(
        "machine metadata is too large: the value of {0} has more than {MAX_METADATA_VALUE} bytes"
    )]
    MetadataValue(String),
}

/// Checks that a unit may be stored.
///
/// # Errors
/// What is too large about it.
pub fn check_size(file: &UnitFile) -> Result<(), TooLarge> {
    if file.to_text().len() > MAX_TEXT {
        return Err(TooLarge::Text);
    }
    if encode(&file.fleet_options()).len() > MAX_OPTIONS {
        return Err(TooLarge::Options);
    }
    Ok(())
}

/// Checks that a change of dynamic metadata may be stored.
///
/// # Errors
/// What is too large about it.
pub fn check_metadata(change: &MetadataChange) -> Result<(), TooLarge> {
    if change.key.len() > MAX_METADATA_KEY {
        return Err(TooLarge::MetadataKey);
    }
    if change.value.len() > MAX_METADATA_VALUE {
        return Err(TooLarge::MetadataValue(change.key.clone()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_options_have_limits_of_their_own() {
        let file = |section: &str, size: usize| {
            let line = format!("Conflicts={}\n", "x".repeat(1000));
            let text = format!("[{section}]\n{}", line.repeat(size / 1000));
            UnitFile::parse(text.as_bytes()).unwrap()
        };
        assert_eq!(check_size(&file("Service", MAX_TEXT * 9 / 10)), Ok(()));
        assert_eq!(check_size(&file("Service", MAX_TEXT)), Err(TooLarge::Text));
        assert_eq!(check_size(&file("X-Fleet", MAX_OPTIONS * 9 / 10)), Ok(()));
        assert_eq!(check_size(&file("X-Fleet", MAX_OPTIONS)), Err(TooLarge::Options));
    }

    #[test]
    fn keys_and_values_of_metadata_have_limits() {
        let check = |key: usize, value: usize| {
            let machine = "m1".parse().unwrap();
            check_metadata(&MetadataChange {
                machine,
                key: "k".repeat(key),
                value: "v".repeat(value),
            })
        };
        assert_eq!(check(256, 4096), Ok(()));
        assert_eq!(check(257, 0), Err(TooLarge::MetadataKey));
        assert_eq!(check(1, 4097), Err(TooLarge::MetadataValue("k".to_owned())));
    }
}
