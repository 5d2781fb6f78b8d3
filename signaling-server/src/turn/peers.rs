//! To whom may be relayed. A TURN server stands inside a network that its clients do not: relaying to
//! private addresses has opened the inside of many (CVE-2020-26262, CVE-2026-27624). So what is not
//! reachable from everywhere is denied, after unmapping, unless the operator allows it.

use crate::network::Network;
use std::net::IpAddr;

/// What is special in the registries of RFC 6890, and what embeds an IPv4 address that a router or the
/// kernel would take out again.
const DENIED: [Network; 30] = [
    Network::v4(0, 0, 0, 0, 8),
    Network::v4(10, 0, 0, 0, 8),
    Network::v4(100, 64, 0, 0, 10),
    Network::v4(127, 0, 0, 0, 8),
    // Link-local, and the metadata services of clouds.
    Network::v4(169, 254, 0, 0, 16),
    Network::v4(172, 16, 0, 0, 12),
    Network::v4(192, 0, 0, 0, 24),
    Network::v4(192, 0, 2, 0, 24),
    Network::v4(192, 88, 99, 0, 24),
    Network::v4(192, 168, 0, 0, 16),
    Network::v4(198, 18, 0, 0, 15),
    Network::v4(198, 51, 100, 0, 24),
    Network::v4(203, 0, 113, 0, 24),
    Network::v4(224, 0, 0, 0, 4),
    Network::v4(240, 0, 0, 0, 4),
    // Metadata and internal services outside the reserved ranges.
    Network::v4(168, 63, 129, 16, 32),
    Network::v4(100, 100, 100, 200, 32),
    // Unspecified, loopback, mapped and compatible addresses.
    Network::v6(0, 0, 0, 64),
    Network::v6(0x64, 0xff9b, 0, 96),
    Network::v6(0x64, 0xff9b, 1, 48),
    Network::v6(0x100, 0, 0, 64),
    Network::v6(0x2001, 0, 0, 23),
    Network::v6(0x2001, 0xdb8, 0, 32),
    Network::v6(0x2002, 0, 0, 16),
    Network::v6(0x3fff, 0, 0, 20),
    Network::v6(0x5f00, 0, 0, 16),
    Network::v6(0xfc00, 0, 0, 7),
    Network::v6(0xfe80, 0, 0, 10),
    Network::v6(0xfec0, 0, 0, 10),
    Network::v6(0xff00, 0, 0, 8),
];

/// Whether this address may be relayed to.
pub(super) fn allows(allow: &[Network], deny: &[Network], address: IpAddr) -> bool {
    let address = address.to_canonical();
    let within = |ranges: &[Network]| ranges.iter().any(|range| range.contains(address));
    !within(deny) && (within(allow) || !within(&DENIED))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn inside_is_denied_and_outside_is_not() {
        for (address, expected) in [
            ("1.1.1.1", true),
            ("2606:4700::1111", true),
            ("::ffff:1.1.1.1", true),
            ("0.0.0.0", false),
            ("10.1.2.3", false),
            ("100.64.0.1", false),
            ("100.128.0.1", true),
            ("127.0.0.1", false),
            ("127.255.255.254", false),
            ("169.254.169.254", false),
            ("168.63.129.16", false),
            ("172.16.0.1", false),
            ("172.32.0.1", true),
            ("192.168.1.1", false),
            ("198.19.0.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::127.0.0.1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:169.254.169.254", false),
            ("::ffff:0:127.0.0.1", false),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b:1::7f00:1", false),
            ("2002:7f00:1::", false),
            ("2001:0:7f00:1::", false),
            ("fd12::1", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
            ("fd00:ec2::254", false),
        ] {
            assert_eq!(
                allows(&[], &[], address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
    }

    #[test]
    fn the_operator_decides_and_deny_wins() {
        let (allow, deny) = (
            networks(&["10.0.0.0/8", "::1"]),
            networks(&["10.9.0.0/16", "1.0.0.0/8"]),
        );
        for (address, expected) in [
            ("10.1.1.1", true),
            ("::ffff:10.1.1.1", true),
            ("10.9.1.1", false),
            ("::ffff:10.9.1.1", false),
            ("1.1.1.1", false),
            ("::1", true),
            ("192.168.0.1", false),
        ] {
            assert_eq!(
                allows(&allow, &deny, address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
        assert!(allows(
            &networks(&["0.0.0.0/0"]),
            &[],
            "127.0.0.1".parse().unwrap()
        ));
        assert!(allows(&networks(&["::/0"]), &[], "::1".parse().unwrap()));
    }
}
