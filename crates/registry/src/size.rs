//! How large a unit may be: a matter of what etcd takes, whoever writes.

use fleet_core::UnitFile;

use crate::registry::encode;

/// The most the text of a unit may have, in bytes. etcd refuses requests of more than 1.5 MiB,
/// and a unit's text goes out together with its record and its schedule.
const MAX_TEXT: usize = 256 * 1024;

/// The most a unit's `[X-Fleet]` options may have as JSON, in bytes: they are in its record and in
/// its schedule, and every machine that weighs the unit keeps them in memory.
const MAX_OPTIONS: usize = 64 * 1024;

/// What is too large about a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// Its text.
    #[error("unit is too large: its file has more than {MAX_TEXT} bytes")]
    Text,
    /// Its `[X-Fleet]` options.
    #[error("unit is too large: its X-Fleet options have more than {MAX_OPTIONS} bytes")]
    Options,
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
}
