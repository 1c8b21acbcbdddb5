//! Room for the watches of hosts: all of them are root's, which may have only so many
//! instances of inotify. A systemd that gets none doesn't come up, and doesn't say why.

use std::{fs, path::Path};

use anyhow::{Context, Result};

/// The kernel's limit for one user.
const LIMIT: &str = "/proc/sys/fs/inotify/max_user_instances";
/// What a host takes: its systemd, udev, journal, D-Bus and logins, with one to spare.
const PER_HOST: u64 = 6;
/// What the limit is raised to at least, for labs that come up side by side.
const PLENTY: u64 = 1024;

/// Sees to it that `hosts` more hosts can watch what they have to.
///
/// # Errors
/// The limit is too low and can't be raised.
pub(crate) fn make_room(hosts: u8) -> Result<()> {
    let limit = fs::read_to_string(LIMIT).context(LIMIT)?;
    let limit = limit.trim().parse().with_context(|| format!("{LIMIT}: {limit:?}"))?;
    let used = used()?;
    let Some(wanted) = too_low(limit, used, hosts) else { return Ok(()) };
    fs::write(LIMIT, format!("{wanted}\n")).with_context(|| {
        format!(
            "{hosts} hosts need more instances of inotify than are left of root's ({used} of \
             {limit} are used), and the limit can't be raised from here; take fewer hosts, or run \
             'sysctl fs.inotify.max_user_instances={wanted}' where it may be"
        )
    })
}

/// What the limit has to be, when it is too low.
fn too_low(limit: u64, used: u64, hosts: u8) -> Option<u64> {
    let wanted = used + u64::from(hosts) * PER_HOST;
    (wanted > limit).then(|| wanted.max(PLENTY))
}

/// How many instances all processes have that can be looked at.
fn used() -> Result<u64> {
    let mut used = 0;
    for process in fs::read_dir("/proc").context("/proc")?.flatten() {
        // A process may end meanwhile, and other entries have no such folder.
        let Ok(open) = fs::read_dir(process.path().join("fd")) else { continue };
        let files = open.flatten().filter_map(|file| fs::read_link(file.path()).ok());
        used += files.filter(|file| file == Path::new("anon_inode:inotify")).count() as u64;
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_only_when_it_is_too_low() {
        for (limit, used, hosts, wanted) in [
            (128, 0, 21, None),
            (128, 2, 21, None),
            (128, 3, 21, Some(1024)),
            (128, 0, 40, Some(1024)),
            (1024, 900, 20, None),
            (1024, 900, 40, Some(1140)),
        ] {
            assert_eq!(too_low(limit, used, hosts), wanted, "{limit} {used} {hosts}");
        }
    }
}
