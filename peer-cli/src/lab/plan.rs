//! Namespaces, links, addresses and routes of a world: pure.
//!
//! ```text
//! left -- (inner) -- router -- +-----+ -- router -- (inner) -- right
//!                              | net |
//!                    signal -- +-----+ -- relay
//! ```
//!
//! Addresses are those for documentation (RFC 5737, RFC 3849), private ones (RFC 1918) and, between two NATs,
//! shared ones (RFC 6598), so they are nobody's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::nat::Nat;

/// The signaling server, and STUN.
pub(super) const SIGNAL: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
pub(super) const SIGNAL_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 2);
/// Another address of the same host, which STUN needs to tell what a NAT does.
pub(super) const SECOND: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 66);
pub(super) const SECOND_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 3);
/// The TURN server.
pub(super) const RELAY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 6);
pub(super) const RELAY_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 0, 0, 0, 2);

/// One namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) name: &'static str,
    /// Whether it passes on what is not for it.
    pub(super) forwards: bool,
    /// nftables.
    pub(super) rules: String,
}

/// One end of a cable: namespace, interface, and the addresses there with prefix lengths.
pub(super) type End = (&'static str, &'static str, Vec<(IpAddr, u8)>);

/// A virtual cable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cable {
    pub(super) ends: [End; 2],
    /// The largest packet.
    pub(super) mtu: u16,
}

/// A route of one namespace; to everywhere, if `to` is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) host: &'static str,
    pub(super) to: Option<(IpAddr, u8)>,
    pub(super) via: IpAddr,
}

/// A router whose public address may change: the one that it has, and another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Changeable {
    pub(super) router: &'static str,
    pub(super) addresses: [(Ipv4Addr, u8); 2],
}

/// Everything that is to be made, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) hosts: Vec<Host>,
    pub(super) cables: Vec<Cable>,
    pub(super) routes: Vec<Route>,
    pub(super) changeable: Vec<Changeable>,
}

/// The names of one side's namespaces.
struct Names {
    host: &'static str,
    inner: &'static str,
    router: &'static str,
    port: &'static str,
}

const SIDES: [Names; 2] = [
    Names {
        host: "left",
        inner: "left-inner",
        router: "left-router",
        port: "left",
    },
    Names {
        host: "right",
        inner: "right-inner",
        router: "right-router",
        port: "right",
    },
];

const NET: &str = "net";

impl Plan {
    /// Two hosts behind these networks, whose way out takes packets of `mtu` bytes.
    pub(super) fn new(networks: [Nat; 2], mtu: u16) -> Self {
        let mut plan = Self::default();
        plan.host(NET, true, String::new());
        for (name, v4, v6, second) in [
            ("signal", SIGNAL, SIGNAL_V6, Some((SECOND, SECOND_V6))),
            ("relay", RELAY, RELAY_V6, None),
        ] {
            plan.host(name, false, String::new());
            let gateway = gateway_of(v4);
            let gateway_v6 = gateway_of_v6(v6);
            let mut own = vec![(v4.into(), 30), (v6.into(), 64)];
            if let Some((v4, v6)) = second {
                own.extend([(IpAddr::from(v4), 32), (v6.into(), 64)]);
                plan.route(NET, Some((v4.into(), 32)), SIGNAL.into());
            }
            let ours = vec![(gateway.into(), 30), (gateway_v6.into(), 64)];
            plan.cable((NET, name, ours), (name, "out", own), 1500);
            plan.route(name, None, gateway.into());
            plan.route(name, None, gateway_v6.into());
        }
        for (index, (names, nat)) in SIDES.iter().zip(networks).enumerate() {
            plan.side(index as u8, names, nat, mtu);
        }
        // Routes need addresses, and some of them each other's: those within reach come first.
        plan
    }

    fn side(&mut self, index: u8, names: &Names, nat: Nat, mtu: u16) {
        // The host's own network.
        let inside: Ipv4Addr = match nat.is_public() {
            true => [203, 0, 113, 64 * (index + 1)].into(),
            false => [192, 168, index + 1, 0].into(),
        };
        let [gateway, host] = [1, 2].map(|last| Ipv4Addr::from(u32::from(inside) + last));
        let v6 = |subnet: u16, last| Ipv6Addr::new(0x2001, 0xdb8, 0, subnet, 0, 0, 0, last);
        let inside_v6 = 16 + 2 * u16::from(index);
        let outside_v6 = inside_v6 + 1;
        let family = |v4: (Ipv4Addr, u8), v6: Ipv6Addr| {
            let v4 = nat.has_ipv4().then_some((IpAddr::from(v4.0), v4.1));
            let v6 = nat.has_ipv6().then_some((IpAddr::from(v6), 64));
            v4.into_iter().chain(v6).collect::<Vec<_>>()
        };
        // The network between the router and the internet.
        let [net_end, router_end, another] =
            [1, 2, 3].map(|last| Ipv4Addr::new(203, 0, 113, 8 * index + last));

        self.host(names.host, false, String::new());
        let (near, masked) = match nat {
            Nat::Double => (names.inner, Ipv4Addr::new(100, 64, index, 2)),
            _ => (names.router, host),
        };
        if nat == Nat::Double {
            self.host(names.inner, true, Nat::Cone.rules(&host.to_string()));
        }
        self.host(names.router, true, nat.rules(&masked.to_string()));
        self.cable(
            (near, "in", family((gateway, 26), v6(inside_v6, 1))),
            (names.host, "out", family((host, 26), v6(inside_v6, 2))),
            1500,
        );
        if nat == Nat::Double {
            let between = |last| (IpAddr::from([100, 64, index, last]), 24);
            self.cable(
                (names.router, "in", vec![between(1)]),
                (names.inner, "out", vec![between(2)]),
                1500,
            );
            self.route(names.inner, None, between(1).0);
        }
        self.cable(
            (NET, names.port, family((net_end, 29), v6(outside_v6, 1))),
            (
                names.router,
                "out",
                family((router_end, 29), v6(outside_v6, 2)),
            ),
            mtu,
        );
        if !nat.is_public() {
            self.changeable.push(Changeable {
                router: names.router,
                addresses: [(router_end, 29), (another, 29)],
            });
        }
        if nat.has_ipv4() {
            self.route(names.host, None, gateway.into());
            self.route(names.router, None, net_end.into());
            if nat.is_public() {
                self.route(NET, Some((inside.into(), 26)), router_end.into());
            }
        }
        if nat.has_ipv6() {
            self.route(names.host, None, v6(inside_v6, 1).into());
            self.route(names.router, None, v6(outside_v6, 1).into());
            let subnet = v6(inside_v6, 0).into();
            self.route(NET, Some((subnet, 64)), v6(outside_v6, 2).into());
        }
    }

    fn host(&mut self, name: &'static str, forwards: bool, rules: String) {
        self.hosts.push(Host {
            name,
            forwards,
            rules,
        });
    }

    fn cable(&mut self, one: End, other: End, mtu: u16) {
        let ends = [one, other];
        self.cables.push(Cable { ends, mtu });
    }

    fn route(&mut self, host: &'static str, to: Option<(IpAddr, u8)>, via: IpAddr) {
        self.routes.push(Route { host, to, via });
    }
}

/// The other address of a network of four.
fn gateway_of(host: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(host) - 1)
}

fn gateway_of_v6(host: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from(u128::from(host) - 1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn addresses_are_used_once_and_routes_lead_to_neighbours() {
        let all = Nat::value_variants();
        for (left, right) in all.iter().flat_map(|l| all.iter().map(move |r| (*l, *r))) {
            let plan = Plan::new([left, right], 1500);
            let mut seen = HashSet::new();
            let ends = || plan.cables.iter().flat_map(|cable| &cable.ends);
            for (host, port, addresses) in ends() {
                assert!(plan.hosts.iter().any(|known| known.name == *host), "{host}");
                assert!(seen.insert((*host, (*port).to_owned())), "{host} {port}");
                for (address, _) in addresses {
                    assert!(seen.insert(("", address.to_string())), "{address}");
                }
            }
            for router in &plan.changeable {
                let [(_, _), (another, _)] = router.addresses;
                assert!(seen.insert(("", another.to_string())), "{another}");
            }
            for route in &plan.routes {
                let near = |(host, _, addresses): &End| {
                    *host != route.host && addresses.iter().any(|(ip, _)| *ip == route.via)
                };
                assert!(ends().any(near), "{route:?} of {left} and {right}");
            }
        }
    }
}
