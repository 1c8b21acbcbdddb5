//! Cables: what puts a network namespace of its own on the lab's bridge.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::process::Process;
use crate::sandbox::checked;
use crate::wait::eventually;

/// Longest time a process may take to have its network.
const SOON: Duration = Duration::from_secs(10);

/// Lays a cable from the lab's bridge to the network of `to`, where it is `eth0` with `address`
/// and as many bits of it as network. At the bridge it is `link`; one of that name from before goes.
///
/// # Errors
/// When `to` has no network of its own, or something can't be set up.
pub(crate) fn lay(lab: Process, link: &str, to: Process, address: (Ipv4Addr, u8)) -> Result<()> {
    let network = |process: Process| fs::read_link(format!("/proc/{}/ns/net", process.id()));
    eventually(&format!("{link} leads to a network of its own"), SOON, || {
        ensure!(network(to)? != network(lab)?, "not yet");
        Ok(())
    })?;
    // The kernel takes its time to remove the one of a process that has ended.
    ip(lab, &["link", "del", link]).ok();
    let (own, bits) = address;
    // Always the same, or others look for the successor of one that has ended where that was.
    let hardware = format!("02:00:00:00:01:{:02x}", own.octets()[3]);
    // From outside the process namespace, so that the ids are those that we know.
    let id = to.id().to_string();
    let peer = ["peer", "name", "eth0", "address", &hardware, "netns", &id];
    ip(lab, &[&["link", "add", link, "type", "veth"][..], &peer].concat())?;
    ip(lab, &["link", "set", link, "master", "br0", "up"])?;
    ip(to, &["link", "set", "lo", "up"])?;
    ip(to, &["addr", "add", &format!("{own}/{bits}"), "dev", "eth0"])?;
    ip(to, &["link", "set", "eth0", "up"])
}

/// Runs `ip` in the network of a process.
///
/// # Errors
/// When it fails.
pub(crate) fn ip(of: Process, words: &[&str]) -> Result<()> {
    in_network(of, "ip", words)
}

/// Runs a command of the machine in the network of a process.
///
/// # Errors
/// When it fails.
pub(crate) fn in_network(of: Process, program: &str, words: &[&str]) -> Result<()> {
    let of = of.id().to_string();
    checked(Command::new("nsenter").args(["-t", &of, "-n", program]).args(words))
}
