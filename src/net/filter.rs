//! Which source addresses may reach DTLS, SRTP and SCTP.
//!
//! The engine hands every datagram that is not STUN to DTLS, whatever its source, and keeps
//! plaintext handshake fragments for ever: anyone who learns a UDP port can make a connection deaf or
//! grow its memory. ICE already proves who is on the other side, because only a peer that knows our
//! ICE password gets a Binding success response from us (RFC 8445 section 7.3), and only a peer that
//! received our check knows its transaction id. So this filter watches both directions: an address that
//! we answered or that answered us, and a TURN server that we asked for an allocation, may send
//! anything; everyone else may send STUN only.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;

/// STUN message types (RFC 8489 section 5, RFC 8656 section 17).
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const ALLOCATE_REQUEST: u16 = 0x0003;

/// STUN header: type, length, magic cookie, transaction id (RFC 8489 section 5).
const STUN_HEADER: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// Addresses one connection may learn. A peer has a few candidates; the cap only bounds memory
/// against a peer that keeps moving.
const MAX_SOURCES: usize = 256;

/// Checks whose answers are awaited; the oldest is forgotten. 64 candidates on a few interfaces send
/// this many in their first second.
const MAX_CHECKS: usize = 1024;

type TransactionId = [u8; 12];

/// The addresses that one peer connection listens to.
#[derive(Debug, Default)]
pub(crate) struct SourceFilter {
    allowed: HashSet<SocketAddr>,
    /// Those that we answered, and those that answered us.
    heard: HashSet<SocketAddr>,
    reached: HashSet<SocketAddr>,
    checks: HashMap<TransactionId, SocketAddr>,
    check_order: VecDeque<TransactionId>,
}

impl SourceFilter {
    /// Learns from a datagram that we are about to send.
    pub(crate) fn sending(&mut self, datagram: &[u8], destination: SocketAddr) {
        match stun(datagram) {
            Some((BINDING_SUCCESS, _)) => {
                self.allow(destination);
                learn(&mut self.heard, destination);
            }
            Some((ALLOCATE_REQUEST, _)) => self.allow(destination),
            Some((BINDING_REQUEST, id)) => self.remember_check(id, canonical(destination)),
            _ => {}
        }
    }

    /// Whether a received buffer may go up. `stride` is the length of each coalesced datagram: one
    /// that is not STUN condemns the whole buffer of a stranger.
    pub(crate) fn accepts(&mut self, buffer: &[u8], stride: usize, source: SocketAddr) -> bool {
        let is_stun = matches!(buffer.first(), Some(0..4));
        if !is_stun && self.allowed.contains(&canonical(source)) {
            return true;
        }
        for datagram in buffer.chunks(stride.max(1)) {
            let Some((message_type, id)) = stun(datagram) else {
                return self.allowed.contains(&canonical(source));
            };
            if message_type == BINDING_SUCCESS && self.checks.get(&id) == Some(&canonical(source)) {
                self.allow(source);
                learn(&mut self.reached, source);
            }
        }
        true
    }

    /// Whether such a message, to or from this address, says that the peer is there: a check of each side was answered. Who only knows our
    /// password can have used anybody's address.
    pub(crate) fn meets(&self, datagram: &[u8], address: SocketAddr) -> bool {
        let address = canonical(address);
        matches!(stun(datagram), Some((BINDING_SUCCESS, _)))
            && self.heard.contains(&address)
            && self.reached.contains(&address)
    }

    fn allow(&mut self, address: SocketAddr) {
        learn(&mut self.allowed, address);
    }

    fn remember_check(&mut self, id: TransactionId, destination: SocketAddr) {
        if self.checks.insert(id, destination).is_none() {
            self.check_order.push_back(id);
        }
        if self.check_order.len() > MAX_CHECKS
            && let Some(oldest) = self.check_order.pop_front()
        {
            self.checks.remove(&oldest);
        }
    }
}

fn learn(addresses: &mut HashSet<SocketAddr>, address: SocketAddr) {
    if addresses.len() < MAX_SOURCES {
        addresses.insert(canonical(address));
    }
}

/// A dual-stack socket reports IPv4 sources as mapped addresses; one peer must not need two entries.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Type and transaction id, if this is a STUN message.
fn stun(datagram: &[u8]) -> Option<(u16, TransactionId)> {
    if datagram.len() < STUN_HEADER || datagram[0] >= 0x40 || datagram[4..8] != MAGIC_COOKIE {
        return None;
    }
    let id = datagram[8..STUN_HEADER].try_into().ok()?;
    Some((u16::from_be_bytes([datagram[0], datagram[1]]), id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stun(message_type: u16) -> Vec<u8> {
        let mut datagram = vec![7; STUN_HEADER];
        datagram[..2].copy_from_slice(&message_type.to_be_bytes());
        datagram[4..8].copy_from_slice(&MAGIC_COOKIE);
        datagram
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    const DTLS: [u8; 30] = [22; 30];

    #[test]
    fn only_an_answered_address_may_send_more_than_stun() {
        /// Message types that we sent, and to whom.
        type Sent<'a> = &'a [(u16, &'a str)];
        let cases: &[(&str, Sent<'_>, bool)] = &[
            ("nobody was answered", &[], false),
            (
                "the source was answered",
                &[(BINDING_SUCCESS, "192.0.2.1:9")],
                true,
            ),
            (
                "another port was answered",
                &[(BINDING_SUCCESS, "192.0.2.1:8")],
                false,
            ),
            (
                "we only asked the source",
                &[(0x0001, "192.0.2.1:9")],
                false,
            ),
            ("we refused the source", &[(0x0111, "192.0.2.1:9")], false),
            (
                "the source is our TURN server",
                &[(ALLOCATE_REQUEST, "192.0.2.1:9")],
                true,
            ),
            (
                "answered through a dual-stack socket",
                &[(BINDING_SUCCESS, "[::ffff:192.0.2.1]:9")],
                true,
            ),
        ];
        for (name, sent, expected) in cases {
            let mut filter = SourceFilter::default();
            for (message_type, to) in *sent {
                filter.sending(&stun(*message_type), address(to));
            }
            let source = address("192.0.2.1:9");
            assert_eq!(
                filter.accepts(&DTLS, DTLS.len(), source),
                *expected,
                "{name}"
            );
            assert!(
                filter.accepts(&stun(0x0001), STUN_HEADER, source),
                "{name}: STUN passes"
            );
        }
    }

    #[test]
    fn only_the_checked_address_can_answer_a_check() {
        let mut filter = SourceFilter::default();
        filter.sending(&stun(BINDING_REQUEST), address("192.0.2.1:9"));
        let answer = stun(BINDING_SUCCESS);
        let mut other_id = answer.clone();
        other_id[19] ^= 1;
        assert!(filter.accepts(&other_id, STUN_HEADER, address("192.0.2.1:9")));
        assert!(filter.accepts(&answer, STUN_HEADER, address("198.51.100.1:9")));
        assert!(!filter.accepts(&DTLS, DTLS.len(), address("192.0.2.1:9")));
        assert!(!filter.accepts(&DTLS, DTLS.len(), address("198.51.100.1:9")));
        assert!(filter.accepts(&answer, STUN_HEADER, address("192.0.2.1:9")));
        assert!(filter.accepts(&DTLS, DTLS.len(), address("192.0.2.1:9")));
    }

    #[test]
    fn the_peer_is_met_where_a_check_of_each_side_was_answered() {
        let (peer, answer) = (address("192.0.2.1:9"), stun(BINDING_SUCCESS));
        for (checked, answered_us, answered_it, met) in [
            (true, true, true, true),
            (true, true, false, false),
            (true, false, true, false),
            (false, true, true, false),
        ] {
            let mut filter = SourceFilter::default();
            if checked {
                filter.sending(&stun(BINDING_REQUEST), peer);
            }
            if answered_it {
                filter.sending(&answer, peer);
            }
            if answered_us {
                assert!(filter.accepts(&answer, STUN_HEADER, peer));
            }
            assert_eq!(filter.meets(&answer, peer), met);
            assert!(!filter.meets(&stun(BINDING_REQUEST), peer));
            assert!(!filter.meets(&answer, address("192.0.2.2:9")));
        }
    }

    #[test]
    fn a_stranger_cannot_hide_dtls_behind_stun_in_one_coalesced_buffer() {
        let mut buffer = stun(0x0001);
        buffer.extend_from_slice(&DTLS[..STUN_HEADER]);
        let mut filter = SourceFilter::default();
        assert!(!filter.accepts(&buffer, STUN_HEADER, address("192.0.2.1:9")));
    }

    #[test]
    fn what_it_learns_is_bounded() {
        let mut filter = SourceFilter::default();
        for port in 1..=2000 {
            let peer = SocketAddr::new([192, 0, 2, 1].into(), port);
            filter.sending(&stun(BINDING_SUCCESS), peer);
            let mut check = stun(BINDING_REQUEST);
            check[8..10].copy_from_slice(&port.to_be_bytes());
            filter.sending(&check, peer);
        }
        assert_eq!(filter.allowed.len(), MAX_SOURCES);
        assert_eq!(
            (filter.checks.len(), filter.check_order.len()),
            (MAX_CHECKS, MAX_CHECKS)
        );
    }
}
