//! The machine's primary address, for when none is configured (`fleetd.md` 5).
//!
//! The kernel's tables of routes are read from `/proc`: IPv4, then IPv6, in the kernel's order. Only
//! IPv4 addresses count, but the interface that has one may have its default route for IPv6 alone.

use std::net::Ipv4Addr;

use nix::ifaddrs::getifaddrs;
use tracing::debug;

const ROUTES: &str = "/proc/net/route";
const ROUTES_IPV6: &str = "/proc/net/ipv6_route";

// The flags of a route that is up, and of one that refuses: `RTF_UP`, `RTF_REJECT`.
const UP: u32 = 0x0001;
const REJECT: u32 = 0x0200;

/// The first usable address of the first default route that has one; empty when there is none.
pub(crate) fn primary() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let found = find(&read(ROUTES), &read(ROUTES_IPV6), &addresses());
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
        Some((interface_of(&found.interface_name).to_owned(), address))
    };
    all.into_iter().flatten().filter_map(ipv4).collect()
}

/// The interface of an address that has a label in place of its name, such as `eth0:1`.
fn interface_of(label: &str) -> &str {
    label.split_once(':').map_or(label, |(interface, _)| interface)
}

/// Picks the address, given the kernel's tables and the addresses of interfaces.
fn find(routes: &str, routes_ipv6: &str, addresses: &[(String, Ipv4Addr)]) -> Option<Ipv4Addr> {
    let ipv4 = routes.lines().skip(1).filter_map(default_interface);
    let ipv6 = routes_ipv6.lines().filter_map(default_interface_ipv6);
    ipv4.chain(ipv6).find_map(|interface| {
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
    let is_default = destination == "00000000" && mask == "00000000";
    (is_default && is_usable(flags)).then_some(interface)
}

/// The same of a line of the table for IPv6, which has no heading and its columns elsewhere.
fn default_interface_ipv6(route: &str) -> Option<&str> {
    let columns: Vec<&str> = route.split_ascii_whitespace().collect();
    let &[destination, bits, _, from_bits, _, _, _, _, flags, interface] = columns.as_slice()
    else {
        return None;
    };
    let is_default = destination.bytes().all(|digit| digit == b'0') && bits == "00";
    (is_default && from_bits == "00" && is_usable(flags)).then_some(interface)
}

/// Whether a route with these flags is up and leads somewhere.
fn is_usable(flags: &str) -> bool {
    let flags = u32::from_str_radix(flags, 16);
    flags.is_ok_and(|flags| flags & UP != 0 && flags & REJECT == 0)
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
            let found = find(&format!("{HEAD}{table}"), "", &addresses);
            assert_eq!(found, expected.map(|text| text.parse().unwrap()), "{table}");
        }
        assert_eq!(find("", "", &addresses), None);
    }

    fn ipv6_route(destination: &str, bits: &str, flags: &str, interface: &str) -> String {
        let (zero, gateway) = ("0".repeat(32), "fe80000000000000021122fffe334455");
        format!(
            "{destination} {bits} {zero} 00 {gateway} 00000400 00000001 00000000 {flags} {interface:>8}\n"
        )
    }

    #[test]
    fn a_default_route_may_be_ipv6_only() {
        let addresses = [on("eth0", "198.18.0.11"), on("eth1", "198.18.1.11")];
        let (any, net) = ("0".repeat(32), "20010db8000000000000000000000000");
        let via_eth1 = ipv6_route(&any, "00", "00450003", "eth1");
        for (ipv4, ipv6, expected) in [
            (String::new(), via_eth1.clone(), Some("198.18.1.11")),
            (via("eth0"), via_eth1.clone(), Some("198.18.0.11")),
            (via("tun0"), via_eth1.clone(), Some("198.18.1.11")),
            (
                String::new(),
                ipv6_route(net, "40", "00000001", "eth0") + &via_eth1,
                Some("198.18.1.11"),
            ),
            (
                String::new(),
                ipv6_route(&any, "00", "00200200", "eth0") + &via_eth1,
                Some("198.18.1.11"),
            ),
            (String::new(), ipv6_route(&any, "01", "00000001", "eth0"), None),
            (String::new(), "rubbish\n".to_owned(), None),
        ] {
            let found = find(&format!("{HEAD}{ipv4}"), &ipv6, &addresses);
            assert_eq!(found, expected.map(|text| text.parse().unwrap()), "{ipv4}{ipv6}");
        }
    }

    #[test]
    fn a_labelled_address_counts_as_its_interfaces() {
        for (label, interface) in [("eth0", "eth0"), ("eth0:1", "eth0"), ("host0:a:b", "host0")] {
            assert_eq!(interface_of(label), interface);
        }
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
