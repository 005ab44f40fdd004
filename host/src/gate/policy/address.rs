//! Where a private address is refused: the gate dials only public addresses and explicitly allowed
//! ranges.
//!
//! The lists follow IANA's special-purpose registries (RFC 6890 and its updates). The check of an
//! IPv6 address with an embedded IPv4 address (mapped, compatible, NAT64) also checks the embedded
//! one. All 6to4 and Teredo addresses are refused, because relays decide where they lead.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// Azure's platform service for virtual machines: keys, certificates, health. A public address that
/// leads into the host's own environment (Microsoft, "What is IP address 168.63.129.16?").
const CLOUD_PLATFORM: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address {address} is {kind} and its range is not allowed")]
pub struct AddressRefused {
    pub address: IpAddr,
    pub kind: &'static str,
}

/// Refuses an address that is not public, unless a range in `allowed` contains it.
pub fn check(address: IpAddr, allowed: &[IpNet]) -> Result<(), AddressRefused> {
    let Some(kind) = special(address) else {
        return Ok(());
    };
    // Dialing a mapped address reaches its embedded IPv4 address, so the ranges apply to that one,
    // too.
    let embedded = match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map(IpAddr::V4),
        IpAddr::V4(_) => None,
    };
    if allowed
        .iter()
        .any(|range| range.contains(&address) || embedded.is_some_and(|c| range.contains(&c)))
    {
        return Ok(());
    }
    Err(AddressRefused { address, kind })
}

/// The addresses of a name that may be dialed. An error if all of them are refused.
pub fn filter(addresses: &[IpAddr], allowed: &[IpNet]) -> Result<Vec<SocketAddr>, AddressRefused> {
    let mut open = Vec::with_capacity(addresses.len());
    let mut refused = None;
    for &address in addresses {
        match check(address, allowed) {
            Ok(()) => open.push(SocketAddr::new(address, 0)),
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) if open.is_empty() => Err(error),
        _ => Ok(open),
    }
}

/// What makes an address special; `None`: it is public.
fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, _] = address.octets();
    if address == CLOUD_PLATFORM {
        return Some("a cloud's platform service (Azure's 168.63.129.16)");
    }
    match (a, b, c) {
        (0, ..) => Some("unspecified or of this network (RFC 1122)"),
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => Some("private (RFC 1918)"),
        (100, 64..=127, _) => Some("shared by carriers (RFC 6598)"),
        (127, ..) => Some("loopback (RFC 1122)"),
        (169, 254, _) => Some("link-local, where clouds keep their metadata (RFC 3927)"),
        (192, 0, 0) => Some("for protocol assignments (RFC 6890)"),
        (192, 0, 2) | (198, 51, 100) | (203, 0, 113) => Some("for documentation (RFC 5737)"),
        (192, 31, 196) | (192, 52, 193) | (192, 175, 48) => {
            Some("an anycast service of name servers (RFC 7534, 7535, 7450)")
        }
        (192, 88, 99) => Some("a 6to4 relay (RFC 7526)"),
        (198, 18..=19, _) => Some("for benchmarks (RFC 2544)"),
        (224..=239, ..) => Some("multicast (RFC 5771)"),
        (240..=255, ..) => Some("reserved or broadcast (RFC 1112, 919)"),
        _ => None,
    }
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let s = address.segments();
    let low = Ipv4Addr::from_bits((u32::from(s[6]) << 16) | u32::from(s[7]));
    match s {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified (RFC 4291)"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback (RFC 4291)"),
        // ::ffff:a.b.c.d and ::ffff:0:a.b.c.d (mapped, and translated by RFC 2765).
        [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => special_v4(low),
        [0, 0, 0, 0, 0, 0, ..] => {
            special_v4(low).or(Some("IPv4-compatible (deprecated, RFC 4291)"))
        }
        // The well-known NAT64 prefix (RFC 6052) and the one for local use (RFC 8215).
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => special_v4(low),
        [0x64, 0xff9b, 1, ..] => special_v4(low).or(Some("a local NAT64 address (RFC 8215)")),
        [0x100, 0, 0, 0 | 1, ..] => Some("discard-only (RFC 6666)"),
        [0x2001, 0, ..] => Some("Teredo (RFC 4380)"),
        [0x2001, 2, 0, ..] => Some("for benchmarks (RFC 5180)"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some("for documentation (RFC 3849, 9637)"),
        [0x2001, 0..=0x1ff, ..] => Some("for protocol assignments (RFC 2928)"),
        [0x2002, ..] => Some("6to4 (RFC 3056)"),
        [0x5f00, ..] => Some("a segment routing identifier (RFC 9602)"),
        [0xfc00..=0xfdff, ..] => Some("unique local, where clouds keep their metadata (RFC 4193)"),
        [0xfe80..=0xfebf, ..] => Some("link-local (RFC 4291)"),
        [0xfec0..=0xfeff, ..] => Some("site-local (deprecated, RFC 3879)"),
        [0xff00..=0xffff, ..] => Some("multicast (RFC 4291)"),
        // Global unicast is 2000::/3; nothing else is assigned (RFC 4291, 2.4).
        [0x2000..=0x3fff, ..] => None,
        _ => Some("outside of global unicast (RFC 4291)"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refused(text: &str) -> bool {
        check(text.parse().unwrap(), &[]).is_err()
    }

    #[test]
    fn special_addresses_are_refused() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "168.63.129.16",
            "::ffff:168.63.129.16",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.170",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::7f00:1",
            "64:ff9b:1::808:808",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:db8::1",
            "2002:a00:1::1",
            "2002:808:808::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
            "5f00::1",
        ] {
            assert!(refused(text), "{text}");
        }
    }

    #[test]
    fn public_addresses_are_allowed() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "168.63.129.15",
            "168.63.129.17",
            "172.15.255.255",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.255.255",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::200e",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert!(!refused(text), "{text}");
        }
    }

    #[test]
    fn allowed_range_covers_exactly_its_addresses() {
        let allowed = ["127.0.0.1/32".parse().unwrap(), "fd00::/8".parse().unwrap()];
        for (text, open) in [
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("::1", false),
            ("::ffff:127.0.0.1", true),
            ("fd12::1", true),
            ("fe80::1", false),
        ] {
            assert_eq!(
                check(text.parse().unwrap(), &allowed).is_ok(),
                open,
                "{text}"
            );
        }
    }

    #[test]
    fn filter_refuses_a_name_without_allowed_addresses() {
        let public: IpAddr = "8.8.8.8".parse().unwrap();
        let private: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(
            filter(&[private, public], &[]).unwrap(),
            vec![SocketAddr::new(public, 0)]
        );
        assert_eq!(filter(&[private], &[]).unwrap_err().address, private);
        assert!(filter(&[], &[]).unwrap().is_empty());
    }
}
