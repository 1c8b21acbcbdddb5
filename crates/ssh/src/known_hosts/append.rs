//! Adding a host (`ssh.md` 4.5).

use std::{
    fs::{DirBuilder, File},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use data_encoding::BASE64;
use russh::keys::{PublicKey, ssh_key::public::KeyData};

/// Appends a line for `key` to the file `path`, which is made if it isn't there, as are the
/// folders above it. What is in it stays as it is.
pub(super) fn append(path: &Path, name: &str, key: &KeyData) -> io::Result<()> {
    let line = line(name, key)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut file = File::options().read(true).append(true).create(true).mode(0o644).open(path)?;
    let glue = if ends_its_line(&mut file)? { "" } else { "\n" };
    // In one write, so that lines of several processes don't mix.
    file.write_all(format!("{glue}{line}").as_bytes())
}

/// Returns the line for `name`.
///
/// # Errors
/// A name that would be read as something else; a host can have any in `~/.ssh/config`.
fn line(name: &str, key: &KeyData) -> io::Result<String> {
    let spoils = |c: char| c.is_whitespace() || c.is_control() || ",*?!|#@".contains(c);
    if name.is_empty() || name.contains(spoils) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no name for a host"));
    }
    let blob = PublicKey::from(key.clone()).to_bytes().map_err(io::Error::other)?;
    Ok(format!("{name} {} {}\n", key.algorithm(), BASE64.encode(&blob)))
}

/// Whether what is added begins a line.
fn ends_its_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}
