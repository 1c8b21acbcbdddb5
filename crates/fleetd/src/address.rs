//! The machine's primary address, for when none is configured (`fleetd.md` 5).
//!
//! The kernel's table of routes is read from `/proc`: the main table, IPv4, in the kernel's order.
//! IPv6 routes needn't be read, as only IPv4 addresses count.

use std::net::Ipv4Addr;

use nix::ifaddrs::getifaddrs;
use tracing::debug;

const ROUTES: &str = "/proc/net/route";

// The flags of a route that is up, and of one that refuses: `RTF_UP`, `RTF_REJECT`.
const UP: u32 = 0x0001;
const REJECT: u32 = 0x0200;

/// The first usable address of the first default route that has one; empty when there is none.
pub(crate) fn primary() -> String {
    let routes = std::fs::read_to_string(ROUTES).unwrap_or_default();
    let found = find(&routes, &addresses());
    if found.is_none() {
        debug!("no default route with an IPv4 address, publishing none");
    }
    found.map_or_else(String::new, |address| address.to_string())
}

/// The IPv4 addresses of all interfaces, in the kernel's order.
fn addresses() -> Vec<(String, Ipv4Addr)> {
    let all = getifaddrs().inspect_err(|error| debug!(%error, "interfaces can't be listed"));
    let ipv4 = |found: nix::ifaddrs::InterfaceAddress| {
        let address = found.address?.as_sockaddr_in()?.ip();
        Some((found.interface_name, address))
    };
    all.into_iter().flatten().filter_map(ipv4).collect()
}

/// Picks the address, given the kernel's table and the addresses of interfaces.
fn find(routes: &str, addresses: &[(String, Ipv4Addr)]) -> Option<Ipv4Addr> {
    routes.lines().skip(1).filter_map(default_interface).find_map(|interface| {
        let of_interface = addresses.iter().filter(|(name, _)| name == interface);
        of_interface.map(|(_, address)| *address).find(is_global_unicast)
    })
}

/// The interface of a route, if it is a default route.
fn default_interface(route: &str) -> Option<&str> {
    let columns: Vec<&str> = route.split_ascii_whitespace().collect();
    let &[interface, destination, _, flags, _, _, _, mask, ..] = columns.as_slice() else {
        return None;
    };
    let flags = u32::from_str_radix(flags, 16).ok()?;
    let is_default = destination == "00000000" && mask == "00000000";
    (is_default && flags & UP != 0 && flags & REJECT == 0).then_some(interface)
}

/// As Go has it: private ranges are fine.
fn is_global_unicast(address: &Ipv4Addr) -> bool {
    !(address.is_unspecified()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n";

    fn route(interface: &str, destination: &str, flags: &str, metric: u32, mask: &str) -> String {
        format!("{interface}\t{destination}\t0101A8C0\t{flags}\t0\t0\t{metric}\t{mask}\t0\t0\t0\n")
    }

    fn via(interface: &str) -> String {
        route(interface, "00000000", "0003", 0, "00000000")
    }

    fn on(interface: &str, address: &str) -> (String, Ipv4Addr) {
        (interface.to_owned(), address.parse().unwrap())
    }

    #[test]
    fn the_first_default_route_with_an_address_gives_it() {
        let addresses = [
            on("lo", "127.0.0.1"),
            on("eth0", "169.254.7.7"),
            on("eth0", "198.18.0.11"),
            on("eth0", "198.18.0.12"),
            on("wlan0", "10.0.0.7"),
            on("tun0", "169.254.1.1"),
        ];
        let local = route("lo", "0000007F", "0001", 0, "000000FF");
        let metric = route("wlan0", "00000000", "0003", 600, "00000000");
        let half = route("wlan0", "00000000", "0001", 0, "00000080");
        let refused = route("wlan0", "00000000", "0200", 0, "00000000");
        for (table, expected) in [
            (via("eth0"), Some("198.18.0.11")),
            (via("wlan0") + &via("eth0"), Some("10.0.0.7")),
            (metric.clone() + &via("eth0"), Some("10.0.0.7")),
            (local.clone() + &via("eth0") + &metric, Some("198.18.0.11")),
            (half + &refused + &via("eth0"), Some("198.18.0.11")),
            (via("tun0") + &via("eth0"), Some("198.18.0.11")),
            (via("tun0"), None),
            (via("gone"), None),
            (local, None),
            ("rubbish\n".to_owned(), None),
        ] {
            let found = find(&format!("{HEAD}{table}"), &addresses);
            assert_eq!(found, expected.map(|text| text.parse().unwrap()), "{table}");
        }
        assert_eq!(find("", &addresses), None);
    }

    #[test]
    fn only_addresses_that_others_can_reach_count() {
        for (address, counts) in [
            ("10.1.2.3", true),
            ("192.168.0.1", true),
            ("203.0.113.9", true),
            ("0.0.0.0", false),
            ("127.1.2.3", false),
            ("169.254.0.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
        ] {
            assert_eq!(is_global_unicast(&address.parse().unwrap()), counts, "{address}");
        }
    }
}
