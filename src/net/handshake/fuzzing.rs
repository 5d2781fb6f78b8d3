//! What is read of DTLS, for `fuzz/`.

use super::record::Seen;

pub(in crate::net) fn records(datagram: &[u8]) {
    let seen = Seen::of(datagram);
    assert!(seen.handshake || !(seen.client_hello || seen.encrypted_handshake));
    // As channel data of TURN.
    if !is_wrapped(datagram) {
        assert_eq!(Seen::of(&[&[0x40, 0, 0, 0], datagram].concat()), seen);
    }
}

/// Whether the datagram itself is one that a relay wraps.
fn is_wrapped(datagram: &[u8]) -> bool {
    matches!(datagram, [0x40..0x50, ..] | [0, 0x16 | 0x17, ..])
}
