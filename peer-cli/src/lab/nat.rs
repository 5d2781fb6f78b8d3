//! The kinds of networks that hosts are behind: pure.

use std::fmt;

use serde::Serialize;

/// What is between a host and the internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Nat {
    /// Nothing: public addresses of both families
    None,
    /// One mapping for each port, open to everybody
    FullCone,
    /// One mapping for each port, open to addresses that were sent to
    RestrictedCone,
    /// One mapping for each port, open to ports that were sent to: most homes
    #[value(alias = "port-restricted-cone")]
    Cone,
    /// A new mapping for each destination: many companies and mobile networks
    Symmetric,
    /// Two of the kind of most homes, one behind the other, as with carrier-grade NAT
    Double,
    /// As in most homes, and no UDP at all
    UdpBlocked,
    /// As in most homes, and nothing but TCP to port 443
    Only443,
    /// No NAT, and no IPv4
    Ipv6Only,
}

/// Where a mapping, or who is let in, depends on what was sent to (RFC 5780 sections 4.3 and 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Depends {
    /// The same for everybody.
    EndpointIndependent,
    /// On the address.
    AddressDependent,
    /// On address and port.
    AddressAndPortDependent,
}

/// What a network does to UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Behaviour {
    /// Datagrams get through, with the mapping and the filtering that STUN finds.
    Carries {
        /// When a destination sees another port.
        mapping: Depends,
        /// Who gets in.
        filtering: Depends,
    },
    /// None get through.
    Blocks,
}

/// How two hosts can reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reach {
    /// From one to the other.
    Direct,
    /// By a TURN server.
    Relayed,
    /// Not at all.
    Nowhere,
}

impl fmt::Display for Depends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EndpointIndependent => "endpoint-independent",
            Self::AddressDependent => "address-dependent",
            Self::AddressAndPortDependent => "address- and port-dependent",
        })
    }
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Carries { mapping, filtering } => {
                write!(f, "mapping {mapping}, filtering {filtering}")
            }
            Self::Blocks => f.write_str("no UDP"),
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Direct => "direct",
            Self::Relayed => "relayed",
            Self::Nowhere => "none",
        })
    }
}

impl fmt::Display for Nat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::FullCone => "full-cone",
            Self::RestrictedCone => "restricted-cone",
            Self::Cone => "cone",
            Self::Symmetric => "symmetric",
            Self::Double => "double",
            Self::UdpBlocked => "udp-blocked",
            Self::Only443 => "only443",
            Self::Ipv6Only => "ipv6-only",
        })
    }
}

/// The source address becomes the router's, with the port that the host used if it is free. What nobody asked for
/// is dropped before the kernel remembers it: remembered, it would take the port from the host that is
/// about to ask, as happens when both sides send at once.
const MASQUERADE: &str = r#"
    chain source { type nat hook postrouting priority srcnat; oifname "out" masquerade; }
    chain strangers { type filter hook input priority filter; iifname "out" meta l4proto { tcp, udp } drop; }
"#;

impl Nat {
    /// Those of the matrix.
    pub(crate) const MATRIX: [Self; 7] = [
        Self::None,
        Self::FullCone,
        Self::Cone,
        Self::Symmetric,
        Self::Double,
        Self::UdpBlocked,
        Self::Ipv6Only,
    ];

    /// Whether its host has an address of IPv4, and whether that is public.
    pub(super) fn has_ipv4(self) -> bool {
        self != Self::Ipv6Only
    }

    /// Whether its host has an address of IPv6; those that do have public ones.
    pub(super) fn has_ipv6(self) -> bool {
        matches!(self, Self::None | Self::Ipv6Only)
    }

    pub(super) fn is_public(self) -> bool {
        matches!(self, Self::None | Self::Ipv6Only)
    }

    /// What the router does, in nftables: `in` is the interface to `host`, `out` the one to the internet.
    pub(super) fn rules(self, host: &str) -> String {
        let more = match self {
            Self::None | Self::Ipv6Only => return String::new(),
            Self::Cone | Self::Double => String::new(),
            Self::FullCone => everybody(host),
            // By port, since each of the host's ports has a mapping of its own.
            Self::RestrictedCone => {
                everybody(host)
                    + r#"
    set asked { type inet_service . ipv4_addr; flags dynamic, timeout; timeout 2m; size 65535; }
    chain known { type filter hook forward priority filter;
        iifname "in" meta l4proto udp update @asked { udp sport . ip daddr }
        iifname "out" udp dport . ip saddr != @asked drop; }
"#
            }
            Self::Symmetric => {
                return format!(
                    "table ip lab {{ {} }}\n",
                    MASQUERADE.replace("masquerade", "masquerade fully-random")
                );
            }
            Self::UdpBlocked => r#"
    chain no_udp { type filter hook forward priority filter; meta l4proto udp drop; }
"#
            .to_owned(),
            Self::Only443 => r#"
    chain only { type filter hook forward priority filter; policy drop;
        iifname "in" tcp dport 443 accept; iifname "out" tcp sport 443 accept; }
"#
            .to_owned(),
        };
        format!("table ip lab {{ {MASQUERADE}{more} }}\n")
    }

    /// What STUN must find.
    pub(crate) fn behaviour(self) -> Behaviour {
        use Depends::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
        let (mapping, filtering) = match self {
            Self::UdpBlocked | Self::Only443 => return Behaviour::Blocks,
            Self::None | Self::Ipv6Only | Self::FullCone => {
                (EndpointIndependent, EndpointIndependent)
            }
            Self::RestrictedCone => (EndpointIndependent, AddressDependent),
            Self::Cone | Self::Double => (EndpointIndependent, AddressAndPortDependent),
            Self::Symmetric => (AddressAndPortDependent, AddressAndPortDependent),
        };
        Behaviour::Carries { mapping, filtering }
    }

    /// How a host behind this network reaches one behind `other`, with or without a TURN server. That both sides
    /// send at once opens whatever lets in who was sent to (RFC 8445); it fails where one side cannot know the
    /// port that the other one will be seen with, and the other lets nobody else in.
    pub(crate) fn reach(self, other: Self, turn: bool) -> Reach {
        let relayed = match turn {
            true => Reach::Relayed,
            false => Reach::Nowhere,
        };
        let family = self.has_ipv4() && other.has_ipv4() || self.has_ipv6() && other.has_ipv6();
        let sides = [self, other].map(Self::behaviour);
        let (Behaviour::Carries { .. }, Behaviour::Carries { .. }, true) =
            (sides[0], sides[1], family)
        else {
            return relayed;
        };
        let meets = |ours: Behaviour, theirs: Behaviour| {
            let Behaviour::Carries { mapping, .. } = ours else {
                return false;
            };
            let Behaviour::Carries { filtering, .. } = theirs else {
                return false;
            };
            mapping == Depends::EndpointIndependent || filtering != Depends::AddressAndPortDependent
        };
        match meets(sides[0], sides[1]) && meets(sides[1], sides[0]) {
            true => Reach::Direct,
            false => relayed,
        }
    }
}

/// Whatever comes for a port of the router goes to the host.
fn everybody(host: &str) -> String {
    format!(
        r#"
    chain destination {{ type nat hook prerouting priority dstnat; iifname "out" meta l4proto udp dnat to {host}; }}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reaches_whom() {
        use Nat::{
            Cone, Double, FullCone, Ipv6Only, None, Only443, RestrictedCone, Symmetric, UdpBlocked,
        };
        for (one, other, reach) in [
            (None, None, Reach::Direct),
            (Cone, Cone, Reach::Direct),
            (Cone, Double, Reach::Direct),
            (Symmetric, None, Reach::Direct),
            (Symmetric, FullCone, Reach::Direct),
            (Symmetric, RestrictedCone, Reach::Direct),
            (Symmetric, Cone, Reach::Relayed),
            (Symmetric, Double, Reach::Relayed),
            (Symmetric, Symmetric, Reach::Relayed),
            (UdpBlocked, None, Reach::Relayed),
            (Only443, UdpBlocked, Reach::Relayed),
            (Ipv6Only, None, Reach::Direct),
            (Ipv6Only, Ipv6Only, Reach::Direct),
            (Ipv6Only, FullCone, Reach::Relayed),
        ] {
            for (one, other) in [(one, other), (other, one)] {
                assert_eq!(one.reach(other, true), reach, "{one} {other}");
                let without = match reach {
                    Reach::Relayed => Reach::Nowhere,
                    reach => reach,
                };
                assert_eq!(one.reach(other, false), without, "{one} {other}");
            }
        }
    }
}
