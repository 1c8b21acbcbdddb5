//! Unit files for stories.

use crate::host::Host;
use anyhow::Result;

/// A service that runs until it is stopped.
pub const SLEEPER: &str = "[Service]\nExecStart=/usr/bin/sleep infinity\n";

/// A template of which no two instances may share a machine.
pub const APART: &str = "[Service]\nExecStart=/usr/bin/sleep infinity\n\
                         [X-Fleet]\nConflicts=apart@*.service\n";

/// A service for every machine.
pub const EVERYWHERE: &str = "[Service]\nExecStart=/usr/bin/sleep infinity\n\
                              [X-Fleet]\nGlobal=true\n";

/// Writes `text` as `/root/<name>` on `host`, where fleetctl finds it.
///
/// # Errors
/// When it can't be written.
pub fn hand_over(host: &Host, name: &str, text: &str) -> Result<String> {
    let path = format!("/root/{name}");
    host.write(&path, text)?;
    Ok(path)
}
