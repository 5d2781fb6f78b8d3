//! Which servers to ask for a room, in which order, and when to stop. Pure: answers in, actions out.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Announcements of the same room that are looked at. There is one honest one; the limit keeps a
/// flood of false ones from opening sockets without bound.
const MOST_SERVICES: usize = 8;

/// Addresses of one announcement that are tried.
const MOST_ADDRESSES: usize = 8;

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A server says on the local network that it has the room.
    Announced {
        /// Where it says it is.
        addresses: Vec<IpAddr>,
        /// Its port.
        port: u16,
    },
    /// A Peerline server is at this address.
    Answered(SocketAddr),
    /// There is none, or not in time.
    Silent(SocketAddr),
    /// The server at this address does not have the room.
    NotThere(SocketAddr),
    /// Nothing will be announced: no multicast on this machine, or the listener has stopped.
    Deaf,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Ask the address whether it is a Peerline server.
    Probe(SocketAddr),
    /// Try to join the room there. The first join that succeeds ends the search.
    Join(SocketAddr),
    /// There is nothing left to wait for.
    GiveUp,
}

/// The search for one room.
#[derive(Debug)]
pub(crate) struct Search {
    own: HashSet<IpAddr>,
    services: Vec<Service>,
    announced: usize,
    seen: HashSet<SocketAddr>,
    pending: usize,
    deaf: bool,
}

/// One server, which may be reachable at several addresses.
#[derive(Debug)]
struct Service {
    addresses: Vec<SocketAddr>,
    joined: bool,
}

impl Search {
    /// Begins with the given ports of this host; `own` are its addresses.
    pub(crate) fn start(
        ports: impl IntoIterator<Item = u16>,
        own: impl IntoIterator<Item = IpAddr>,
    ) -> (Self, Vec<Action>) {
        let mut search = Self {
            own: own.into_iter().collect(),
            services: Vec::new(),
            announced: 0,
            seen: HashSet::new(),
            pending: 0,
            deaf: false,
        };
        let actions = ports
            .into_iter()
            .flat_map(|port| search.add(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))]))
            .collect();
        (search, actions)
    }

    /// Takes in what happened.
    pub(crate) fn handle(&mut self, input: Input) -> Vec<Action> {
        let mut actions = match input {
            Input::Announced { addresses, port } => self.announced(&addresses, port),
            Input::Answered(address) => self.answered(address),
            Input::Silent(_) | Input::NotThere(_) => {
                self.pending = self.pending.saturating_sub(1);
                Vec::new()
            }
            Input::Deaf => {
                self.deaf = true;
                Vec::new()
            }
        };
        if self.deaf && self.pending == 0 {
            actions.push(Action::GiveUp);
        }
        actions
    }

    fn announced(&mut self, addresses: &[IpAddr], port: u16) -> Vec<Action> {
        if self.announced == MOST_SERVICES || port == 0 {
            return Vec::new();
        }
        let mut usable: Vec<SocketAddr> = addresses
            .iter()
            .filter(|ip| is_reachable(ip))
            .map(|ip| {
                // A server on this host is asked over loopback, like those found by port. Only the
                // one address: others of the list may be equal here and there (container bridges).
                let ip = if self.own.contains(ip) {
                    Ipv4Addr::LOCALHOST.into()
                } else {
                    *ip
                };
                SocketAddr::new(ip, port)
            })
            .filter(|address| !self.seen.contains(address))
            .collect();
        usable.sort_by_key(|address| (address.is_ipv6(), *address));
        usable.dedup();
        usable.truncate(MOST_ADDRESSES);
        if usable.is_empty() {
            return Vec::new();
        }
        self.announced += 1;
        self.add(usable)
    }

    fn add(&mut self, addresses: Vec<SocketAddr>) -> Vec<Action> {
        self.seen.extend(&addresses);
        self.pending += addresses.len();
        let actions = addresses.iter().copied().map(Action::Probe).collect();
        self.services.push(Service {
            addresses,
            joined: false,
        });
        actions
    }

    fn answered(&mut self, address: SocketAddr) -> Vec<Action> {
        let service = self
            .services
            .iter_mut()
            .find(|service| service.addresses.contains(&address));
        match service {
            Some(service) if !service.joined => {
                service.joined = true;
                // Still pending: now the join is.
                vec![Action::Join(address)]
            }
            // The same server at a second address: joining twice would take two of its two places.
            _ => {
                self.pending = self.pending.saturating_sub(1);
                Vec::new()
            }
        }
    }
}

/// Whether a connection to this address can mean one host. Link-local IPv6 needs an interface,
/// which an announcement does not carry to us; loopback of another host is not ours.
pub(super) fn is_reachable(ip: &IpAddr) -> bool {
    let special = ip.is_unspecified() || ip.is_multicast() || ip.is_loopback();
    match ip {
        IpAddr::V4(v4) => !special && !v4.is_broadcast(),
        IpAddr::V6(v6) => !special && !v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn announced(addresses: &[&str], port: u16) -> Input {
        let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        Input::Announced { addresses, port }
    }

    fn search(ports: &[u16]) -> (Search, Vec<Action>) {
        Search::start(
            ports.iter().copied(),
            [
                "192.168.1.5".parse().unwrap(),
                "172.17.0.1".parse().unwrap(),
            ],
        )
    }

    #[test]
    fn this_host_comes_first_and_each_server_is_joined_once() {
        let (mut search, actions) = search(&[8787, 8788]);
        let (one, two) = (at("127.0.0.1:8787"), at("127.0.0.1:8788"));
        assert_eq!(actions, [Action::Probe(one), Action::Probe(two)]);
        assert_eq!(search.handle(Input::Answered(two)), [Action::Join(two)]);
        assert_eq!(search.handle(Input::Answered(two)), []);
    }

    #[test]
    fn an_announcement_of_this_host_is_not_asked_again_elsewhere() {
        let (mut search, _) = search(&[8787]);
        assert_eq!(
            search.handle(announced(&["192.168.1.5", "172.17.0.1"], 8787)),
            []
        );
        // Beyond the scanned ports it is new, and asked over loopback.
        let local = at("127.0.0.1:40000");
        assert_eq!(
            search.handle(announced(&["192.168.1.5"], 40000)),
            [Action::Probe(local)]
        );
    }

    #[test]
    fn another_host_is_asked_at_all_its_addresses_and_joined_at_the_first_that_answers() {
        let (mut search, _) = search(&[]);
        let actions = search.handle(announced(
            &["fd00::7", "10.0.0.7", "172.17.0.1", "fe80::1"],
            8787,
        ));
        // The bridge address exists on both hosts: it is asked here, where it may be meant.
        let (lan, here, v6) = (
            at("10.0.0.7:8787"),
            at("127.0.0.1:8787"),
            at("[fd00::7]:8787"),
        );
        assert_eq!(actions, [lan, here, v6].map(Action::Probe));
        assert_eq!(search.handle(Input::Answered(v6)), [Action::Join(v6)]);
        assert_eq!(search.handle(Input::Answered(lan)), []);
    }

    #[test]
    fn addresses_that_name_no_host_are_passed_over() {
        let (mut search, _) = search(&[]);
        let nowhere = [
            "0.0.0.0",
            "127.0.0.1",
            "224.0.0.251",
            "255.255.255.255",
            "::",
            "::1",
            "ff02::fb",
            "fe80::1",
        ];
        assert_eq!(search.handle(announced(&nowhere, 8787)), []);
        assert_eq!(search.handle(announced(&["10.0.0.7"], 0)), []);
    }

    #[test]
    fn a_flood_of_announcements_opens_few_sockets() {
        let (mut search, _) = search(&[]);
        let mut probes = 0;
        for host in 0..200u8 {
            let many: Vec<IpAddr> = (0..100u8).map(|n| IpAddr::from([10, 1, host, n])).collect();
            probes += search
                .handle(Input::Announced {
                    addresses: many,
                    port: 8787,
                })
                .len();
        }
        assert_eq!(probes, MOST_SERVICES * MOST_ADDRESSES);
    }

    #[test]
    fn without_multicast_it_ends_when_this_host_has_answered() {
        let (mut search, _) = search(&[8787, 8788]);
        let (one, two) = (at("127.0.0.1:8787"), at("127.0.0.1:8788"));
        assert_eq!(search.handle(Input::Silent(one)), []);
        assert_eq!(search.handle(Input::Deaf), []);
        assert_eq!(search.handle(Input::Answered(two)), [Action::Join(two)]);
        assert_eq!(search.handle(Input::NotThere(two)), [Action::GiveUp]);

        let (mut empty, _) = self::search(&[]);
        assert_eq!(empty.handle(Input::Deaf), [Action::GiveUp]);
    }

    #[test]
    fn with_multicast_it_goes_on_listening() {
        let (mut search, _) = search(&[8787]);
        assert_eq!(search.handle(Input::Silent(at("127.0.0.1:8787"))), []);
        let late = search.handle(announced(&["10.0.0.7"], 8787));
        assert_eq!(late, [Action::Probe(at("10.0.0.7:8787"))]);
    }
}
