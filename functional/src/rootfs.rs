//! The root file system of a host: a small tree of its own, with `/usr` and the binaries under
//! test bound in read-only when it boots.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// What of its base's `/etc` a host needs to boot, log people in and resolve libraries.
const FROM_ETC: [&str; 10] = [
    "pam.d",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "alternatives",
    "dbus-1",
    "nsswitch.conf",
    "passwd",
    "group",
    "shadow",
];

/// Units that would look for hardware, the network or a terminal that a host doesn't have, and
/// etcd, which would come up beside the lab's own.
const MASKED: [&str; 10] = [
    "systemd-udevd.service",
    "systemd-udev-trigger.service",
    "systemd-udev-hwdb-update.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "systemd-logind.service",
    "getty@.service",
    "console-getty.service",
    "etcd.service",
    "fstrim.timer",
];

/// Where a host finds the binaries under test.
pub(crate) const BINARIES: &str = "/opt/fleet";
/// Is there when the host has booted.
pub(crate) const READY: &str = "run/lab-ready";
/// `PATH` of everything that runs in a host.
pub(crate) const PATH: &str = "/opt/fleet:/usr/sbin:/usr/bin:/sbin:/bin";

const READY_UNIT: &str = "[Unit]
After=lab-net.service lab-sshd.service dbus.service fleet.socket
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/touch /run/lab-ready
";

/// Debian's sshd tells systemd when it listens. Without waiting for that a host would be ready
/// before anybody can log in.
const SSHD_UNIT: &str = "[Unit]
After=lab-net.service
StartLimitIntervalSec=0
[Service]
Type=notify
ExecStartPre=/usr/bin/mkdir -p /run/sshd
ExecStart=/usr/sbin/sshd -D -e -f /etc/ssh/sshd_config
";

/// The keys that every host's sshd shows.
pub(crate) const SSHD_KEYS: &str =
    "HostKey /etc/ssh/hostkey-ed25519\nHostKey /etc/ssh/hostkey-ecdsa\n";

/// Without host keys: those are in front of it.
pub(crate) const SSHD_CONFIG: &str = "UsePAM no
PermitRootLogin yes
StrictModes no
SetEnv PATH=/opt/fleet:/usr/sbin:/usr/bin:/sbin:/bin
";

/// As fleetd.md 10, plus a TCP socket, which only a lab may have: the API has no protection.
const FLEET_SOCKET: &str = "[Unit]
Description=fleet API socket
[Socket]
ListenStream=/run/fleet.sock
ListenStream=49153
SocketMode=0660
[Install]
WantedBy=sockets.target
";

/// The unit that is shipped, for where the lab has its binaries and brings up its network.
fn fleet_service() -> String {
    include_str!("../../crates/fleetd/dist/fleet.service")
        .replace("@BINDIR@/fleetd", "/opt/fleet/fleetd --config /etc/fleet/fleet.conf")
        .replace("network-online.target", "lab-net.service")
}

/// No rate limit, or the log of a busy moment is lost just when a story fails.
const JOURNALD: &str = "[Journal]
Storage=persistent
RateLimitIntervalSec=0
SystemMaxUse=64M
";

/// What tells one host from another.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// The root that has its `/usr`, and what it has of `/etc`.
    pub(crate) base: &'a Path,
    /// Name in the network, such as `h1`.
    pub(crate) hostname: &'a str,
    /// Content of `/etc/machine-id`.
    pub(crate) machine_id: &'a str,
    /// Its own address.
    pub(crate) address: Ipv4Addr,
    /// The bridge's address, where etcd listens.
    pub(crate) gateway: Ipv4Addr,
    /// Content of `/etc/fleet/fleet.conf`.
    pub(crate) config: &'a str,
    /// The public key that may log in as root.
    pub(crate) user_key: &'a Path,
    /// The keys that its sshd shows.
    pub(crate) host_keys: [PathBuf; 2],
    /// Whether `fleet.socket` and `fleet.service` come up at boot.
    pub(crate) fleet: bool,
}

/// Lays out the root file system of a host in `root`.
pub(crate) fn lay_out(root: &Path, plan: &Plan<'_>) -> Result<()> {
    for folder in [
        "etc/systemd/system/multi-user.target.wants",
        "etc/systemd/system/sockets.target.wants",
        "etc/ssh",
        "etc/fleet",
        "usr",
        "proc",
        "sys",
        "dev",
        "run",
        "tmp",
        "home",
        "opt/fleet",
        "var/log/journal",
        "root/.ssh",
    ] {
        fs::create_dir_all(root.join(folder))?;
    }
    // /bin and its like are links into /usr on every Debian that we support.
    for link in ["bin", "sbin", "lib", "lib64", "lib32", "libx32"] {
        if let Ok(target) = fs::read_link(plan.base.join(link)) {
            symlink(target, root.join(link))?;
        }
    }
    copy_etc(plan.base, root)?;
    let etc = root.join("etc");
    // A real file: nspawn looks at it before it binds /usr, where it usually leads.
    fs::copy(plan.base.join("etc/os-release"), etc.join("os-release"))?;
    fs::write(etc.join("machine-id"), format!("{}\n", plan.machine_id))?;
    fs::write(etc.join("hosts"), "127.0.0.1 localhost\n")?;
    fs::write(etc.join("hostname"), format!("{}\n", plan.hostname))?;
    fs::write(etc.join("systemd/journald.conf"), JOURNALD)?;
    fs::write(etc.join("fleet/fleet.conf"), plan.config)?;
    symlink("/proc/self/mounts", etc.join("mtab"))?;
    fs::write(etc.join("ssh/sshd_config"), format!("{SSHD_KEYS}{SSHD_CONFIG}"))?;
    fs::write(root.join("root/.bashrc"), "PS1='\\h# '\n")?;
    for key in &plan.host_keys {
        copy_private(key, &etc.join("ssh").join(key.file_name().context("a key has a name")?))?;
    }
    copy_private(plan.user_key, &root.join("root/.ssh/authorized_keys"))?;
    units(&etc.join("systemd/system"), plan)
}

fn units(system: &Path, plan: &Plan<'_>) -> Result<()> {
    for unit in MASKED {
        symlink("/dev/null", system.join(unit))?;
    }
    symlink("/usr/lib/systemd/system/multi-user.target", system.join("default.target"))?;
    let network = format!(
        "[Unit]\nDefaultDependencies=no\nBefore=sockets.target\n[Service]\nType=oneshot\n\
         RemainAfterExit=yes\nExecStart=/usr/sbin/ip link set lo up\n\
         ExecStart=/usr/sbin/ip addr add {}/24 dev host0\n\
         ExecStart=/usr/sbin/ip link set host0 up\n\
         ExecStart=/usr/sbin/ip route add default via {}\n",
        plan.address, plan.gateway
    );
    for (name, text) in [
        ("lab-net.service", network.as_str()),
        ("lab-sshd.service", SSHD_UNIT),
        ("lab-ready.service", READY_UNIT),
        ("fleet.socket", FLEET_SOCKET),
        ("fleet.service", fleet_service().as_str()),
    ] {
        fs::write(system.join(name), text)?;
    }
    let mut wanted = vec![
        "multi-user.target.wants/lab-net.service",
        "multi-user.target.wants/lab-sshd.service",
        "multi-user.target.wants/lab-ready.service",
    ];
    if plan.fleet {
        wanted
            .extend(["sockets.target.wants/fleet.socket", "multi-user.target.wants/fleet.service"]);
    }
    for link in wanted {
        let name = link.rsplit('/').next().unwrap_or(link);
        symlink(Path::new("..").join(name), system.join(link))?;
    }
    Ok(())
}

fn copy_etc(base: &Path, root: &Path) -> Result<()> {
    let present = FROM_ETC.iter().map(|name| base.join("etc").join(name));
    let present = present.filter(|path| path.exists());
    let output = Command::new("cp").arg("-a").args(present).arg(root.join("etc")).output()?;
    ensure!(output.status.success(), "cp: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn copy_private(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o600))?;
    Ok(())
}
