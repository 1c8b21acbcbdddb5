//! What a lab's hosts and its etcd are made of: the machine's own programs, or those of another
//! release of Debian, from a root that debootstrap makes once and that all labs share.

use std::env;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::fcntl::{Flock, FlockArg};
use serde_json::{Value, json};

use crate::needs;
use crate::rootfs::PATH;
use crate::sandbox::tail;

/// The release to take where a lab's description names none.
pub(crate) const RELEASE: &str = "FLEET_LAB_RELEASE";
/// Where the roots are, unless this variable names another folder.
const ROOTS: (&str, &str) = ("FLEET_LAB_ROOTS", "/var/cache/fleet-lab");
/// The file in a root that says what is in it. Without it, it isn't whole.
const CONTENT: &str = "lab-packages";
/// What stories call in a host, beside what the lab needs.
const ALSO: [&str; 1] = ["procps"];

const DEBOOTSTRAP: &str = "/usr/sbin/debootstrap";
/// In namespaces of its own, so that nothing stays mounted and nothing goes on when its parent
/// is killed.
const APART: [&str; 9] = [
    "--pdeathsig",
    "KILL",
    "unshare",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child=SIGKILL",
    "--mount-proc",
    DEBOOTSTRAP,
];

/// Runs the rest of its arguments where the first is `/usr`.
const WITH_USR: &str = "mount --bind \"$1\" /usr && shift && exec \"$@\"";

/// Where the programs of a lab are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    /// A release other than the machine's own.
    release: Option<String>,
    root: PathBuf,
}

impl Base {
    /// Returns the base that is wanted, else that of the environment, else the machine. A root
    /// that isn't there yet is made.
    ///
    /// # Errors
    /// When there is no such release, or its root can't be made.
    pub(crate) fn wanted(release: Option<&str>) -> Result<Self> {
        let release = release.map(str::to_owned).or_else(|| env::var(RELEASE).ok());
        let own = fs::read_to_string("/etc/os-release").unwrap_or_default();
        match release {
            Some(release) if !release.is_empty() && Some(&*release) != codename(&own) => {
                Ok(Self { root: root(&release)?, release: Some(release) })
            }
            _ => Ok(Self::machine()),
        }
    }

    fn machine() -> Self {
        Self { release: None, root: PathBuf::from("/") }
    }

    /// Returns how a lab's record tells it.
    pub(crate) fn record(&self) -> Value {
        json!({ "release": self.release, "root": self.root })
    }

    /// Returns what a lab's record says; one from before there were releases says nothing.
    pub(crate) fn recorded(record: &Value) -> Self {
        let text = |key: &str| Some(record.get("base")?.get(key)?.as_str()?.to_owned());
        text("release").zip(text("root")).map_or_else(Self::machine, |(release, root)| Self {
            release: Some(release),
            root: PathBuf::from(root),
        })
    }

    /// Returns the name of the release, unless it is the machine's own.
    pub(crate) fn release(&self) -> Option<&str> {
        self.release.as_deref()
    }

    /// Returns the root that has `/usr` and `/etc`.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns its `/usr`.
    pub(crate) fn usr(&self) -> PathBuf {
        self.root.join("usr")
    }

    /// Returns `command` so that it runs with this base's programs and libraries, and sees all
    /// other files of the machine.
    pub(crate) fn command(&self, command: &[&str]) -> Vec<String> {
        let usr = self.usr().display().to_string();
        let apart = ["unshare", "--mount", "sh", "-c", WITH_USR, "with-usr", &usr];
        let apart = self.release.as_ref().map_or(&[][..], |_| &apart);
        apart.iter().chain(command).map(|word| (*word).to_owned()).collect()
    }
}

/// Returns the name of the release that an `os-release` speaks of.
fn codename(os_release: &str) -> Option<&str> {
    let value = os_release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(value.trim().trim_matches('"'))
}

/// Returns the root of `release`, which is made if there is none.
fn root(release: &str) -> Result<PathBuf> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    ensure!(release.chars().all(plain), "{release:?} isn't a name of a release, such as trixie");
    let roots = env::var_os(ROOTS.0).map_or_else(|| PathBuf::from(ROOTS.1), PathBuf::from);
    fs::create_dir_all(&roots).with_context(|| format!("cannot make {}", roots.display()))?;
    let lock = File::create(roots.join("lock"))?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
    let root = roots.join(release);
    let wanted = packages().join("\n");
    match fs::read_to_string(root.join(CONTENT)) {
        Err(error) if error.kind() == ErrorKind::NotFound => make(release, &root, &wanted)?,
        content => ensure!(
            content? == wanted,
            "{} was made from other packages than labs take now: remove it when none runs on it, \
             and the next lab makes it anew",
            root.display()
        ),
    }
    Ok(root)
}

/// Makes a root, which is seen when it is whole.
fn make(release: &str, root: &Path, content: &str) -> Result<()> {
    let script = Path::new("/usr/share/debootstrap/scripts").join(release);
    ensure!(Path::new(DEBOOTSTRAP).exists(), "missing Debian packages: debootstrap");
    ensure!(script.exists(), "debootstrap knows no release {release:?}");
    let half = root.with_extension("half");
    let log = root.with_extension("log");
    if half.exists() {
        fs::remove_dir_all(&half)?;
    }
    say(&format!("making {}, once: this takes some minutes", root.display()));
    let output = File::create(&log)?;
    let status = Command::new("setpriv")
        .args(APART)
        .arg("--variant=minbase")
        .arg(format!("--include={}", packages().join(",")))
        .args([release.as_ref(), half.as_os_str()])
        .args(mirror())
        .envs([("PATH", PATH), ("LC_ALL", "C")])
        .stdout(output.try_clone()?)
        .stderr(output)
        .status()
        .context("cannot run setpriv (Debian: util-linux)")?;
    ensure!(
        status.success(),
        "debootstrap: {status}; {} ends in:\n{}",
        log.display(),
        tail(&log, 5)
    );
    // What it was unpacked from.
    fs::remove_dir_all(half.join("var/cache/apt/archives"))?;
    fs::write(half.join(CONTENT), content)?;
    fs::rename(&half, root)?;
    Ok(())
}

/// The packages that a root has, beside the essential ones.
fn packages() -> Vec<&'static str> {
    let mut packages = needs::packages();
    packages.extend(ALSO);
    packages
}

/// Returns whence apt has this machine's packages, if that is known; debootstrap knows a place
/// of its own.
fn mirror() -> Option<String> {
    let format = "$(LABEL) $(REPO_URI)";
    let args = ["indextargets", "--format", format, "Created-By: Packages"];
    let output = Command::new("apt-get").args(args).output().ok()?;
    main_archive(&String::from_utf8_lossy(&output.stdout)).map(str::to_owned)
}

/// The first that is labelled as Debian's main archive; labels are there once lists were fetched.
fn main_archive(targets: &str) -> Option<&str> {
    let labelled = targets.lines().find_map(|line| line.strip_prefix("Debian "));
    let bare = || targets.lines().map(str::trim).find(|uri| uri.ends_with("/debian/"));
    labelled.or_else(bare)
}

#[expect(clippy::print_stderr, reason = "who waits for minutes wants to know why")]
fn say(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_tells_the_base_and_one_without_is_the_machine() {
        let trixie = Base { release: Some("trixie".into()), root: "/roots/trixie".into() };
        for base in [trixie, Base::machine()] {
            assert_eq!(Base::recorded(&json!({ "base": base.record() })), base);
        }
        assert_eq!(Base::recorded(&json!({ "slot": 0 })), Base::machine());
    }

    #[test]
    fn a_command_of_the_machine_is_run_as_it_is() {
        assert_eq!(Base::machine().command(&["etcd", "--version"]), ["etcd", "--version"]);
        let trixie = Base { release: Some("trixie".into()), root: "/roots/trixie".into() };
        let command = trixie.command(&["etcd", "--version"]);
        assert!(command.ends_with(&[
            "/roots/trixie/usr".into(),
            "etcd".into(),
            "--version".into()
        ]));
    }

    #[test]
    fn a_name_with_anything_odd_is_no_release() {
        for name in ["../trixie", "trixie half", "-x", "TRIXIE"] {
            assert!(root(name).unwrap_err().to_string().contains("isn't a name"), "{name}");
        }
    }

    #[test]
    fn the_machines_release_is_told_by_its_codename() {
        assert_eq!(codename("ID=debian\nVERSION_CODENAME=bookworm\n"), Some("bookworm"));
        assert_eq!(codename("VERSION_CODENAME=\"trixie\"\n"), Some("trixie"));
        assert_eq!(codename("ID=debian\n"), None);
    }

    #[test]
    fn the_mirror_is_the_main_archive_that_apt_uses() {
        let fetched = "Other http://other/debian/\nDebian http://here/d/\nDebian http://there/d/\n";
        assert_eq!(main_archive(fetched), Some("http://here/d/"));
        let never_fetched = " http://here/debian-security/\n http://here/debian/\n";
        assert_eq!(main_archive(never_fetched), Some("http://here/debian/"));
        assert_eq!(main_archive(""), None);
    }
}
