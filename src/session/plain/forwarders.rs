//! The forwarders of a room, and what they mean for a call in it.
//!
//! There should be one. One that died is away until the server gives its place away, and another one may
//! have followed it by then.

use super::{Forwarding, is_forwarder};
use signaling_protocol::{PeerId, PeerInfo};

/// Members that forward, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Forwarders(Vec<Known>);

#[derive(Debug)]
struct Known {
    id: PeerId,
    presence: Presence,
}

/// Whether the server can reach somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Here,
    Away,
}

impl Forwarders {
    /// Those among the members of a room.
    pub(super) fn among(peers: &[PeerInfo]) -> Self {
        let mut forwarders = Self::default();
        for peer in peers {
            forwarders.came(peer);
        }
        forwarders
    }

    /// Somebody is in the room.
    pub(super) fn came(&mut self, peer: &PeerInfo) {
        if is_forwarder(peer) {
            self.0.push(Known {
                id: peer.id.clone(),
                presence: match peer.away {
                    true => Presence::Away,
                    false => Presence::Here,
                },
            });
        }
    }

    /// Somebody left.
    pub(super) fn left(&mut self, peer: &PeerId) {
        self.0.retain(|known| known.id != *peer);
    }

    /// Somebody's connection to the server broke.
    pub(super) fn went(&mut self, peer: &PeerId) {
        self.becomes(peer, Presence::Away);
    }

    /// It is back.
    pub(super) fn back(&mut self, peer: &PeerId) {
        self.becomes(peer, Presence::Here);
    }

    fn becomes(&mut self, peer: &PeerId, presence: Presence) {
        for known in self.0.iter_mut().filter(|known| known.id == *peer) {
            known.presence = presence;
        }
    }

    /// Whether somebody forwards.
    pub(super) fn has(&self, peer: &PeerId) -> bool {
        self.0.iter().any(|known| known.id == *peer)
    }

    /// The one to be called: the newest that the server can reach.
    pub(super) fn callee(&self) -> Option<&PeerId> {
        let mut here = self.0.iter().filter(|known| known.is_here());
        here.next_back().map(|known| &known.id)
    }

    /// What there is of forwarders for a call with `partner`. With one that is away it goes on, since only its connection to
    /// the server may have broken, until a newer one is here.
    pub(super) fn seen_by(&self, partner: Option<&PeerId>) -> Forwarding {
        let Some(partner) = partner else {
            return Forwarding::No;
        };
        let is_partner = |known: &Known| known.id == *partner;
        let (newer, here) = match self.0.iter().position(is_partner) {
            Some(place) => (&self.0[place + 1..], Forwarding::Here),
            None => (&self.0[..], Forwarding::No),
        };
        match newer.iter().any(Known::is_here) {
            true => Forwarding::Elsewhere,
            false => here,
        }
    }
}

impl Known {
    fn is_here(&self) -> bool {
        self.presence == Presence::Here
    }
}

#[cfg(test)]
mod tests {
    use super::super::FORWARDER;
    use super::*;

    fn id(name: &str) -> PeerId {
        name.parse().unwrap()
    }

    fn forwarder(name: &str) -> PeerInfo {
        PeerInfo {
            id: id(name),
            name: Some(FORWARDER.parse().unwrap()),
            plain: false,
            away: false,
        }
    }

    fn away(name: &str) -> PeerInfo {
        PeerInfo {
            away: true,
            ..forwarder(name)
        }
    }

    fn person(name: &str) -> PeerInfo {
        PeerInfo {
            name: None,
            ..forwarder(name)
        }
    }

    #[test]
    fn the_newest_that_is_here_is_called() {
        for (peers, callee) in [
            (vec![], None),
            (vec![person("a")], None),
            (vec![person("a"), forwarder("f")], Some("f")),
            (vec![away("f"), person("a")], None),
            (vec![away("f"), forwarder("g")], Some("g")),
            (vec![forwarder("f"), away("g")], Some("f")),
            (vec![forwarder("f"), forwarder("g")], Some("g")),
        ] {
            let forwarders = Forwarders::among(&peers);
            let expected = callee.map(id);
            assert_eq!(forwarders.callee(), expected.as_ref(), "{peers:?}");
        }
    }

    #[test]
    fn a_call_goes_on_with_one_that_is_away_until_a_newer_one_is_here() {
        let (a, f, g) = (id("a"), id("f"), id("g"));
        let mut forwarders = Forwarders::among(&[forwarder("f")]);
        assert!(forwarders.has(&f) && !forwarders.has(&a));
        assert_eq!(forwarders.seen_by(None), Forwarding::No);
        assert_eq!(forwarders.seen_by(Some(&a)), Forwarding::Elsewhere);
        assert_eq!(forwarders.seen_by(Some(&f)), Forwarding::Here);
        forwarders.went(&f);
        assert_eq!(forwarders.seen_by(Some(&a)), Forwarding::No);
        assert_eq!(forwarders.seen_by(Some(&f)), Forwarding::Here);
        forwarders.came(&forwarder("g"));
        assert_eq!(forwarders.seen_by(Some(&a)), Forwarding::Elsewhere);
        assert_eq!(forwarders.seen_by(Some(&f)), Forwarding::Elsewhere);
        assert_eq!(forwarders.seen_by(Some(&g)), Forwarding::Here);
        forwarders.back(&f);
        forwarders.went(&g);
        assert_eq!(forwarders.seen_by(Some(&g)), Forwarding::Here);
        forwarders.left(&g);
        assert_eq!(forwarders.seen_by(Some(&f)), Forwarding::Here);
        assert_eq!(forwarders.seen_by(Some(&g)), Forwarding::Elsewhere);
    }
}
