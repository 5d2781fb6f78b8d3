//! The wire of a probe and of its answer.
//!
//! `0x0b || kind (1 probe, 2 answer) || size (u16) || id (u64) || tag (16) || zeros up to size, in a probe`
//!
//! The first byte is none of those that share the port with us (RFC 7983 section 7). The tag is
//! HMAC-SHA256 over the first twelve bytes, cut to half its length (RFC 2104 section 5).

use crate::net::repair::{RepairKey, Way};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// First byte of every probe and answer.
const MARK: u8 = 0x0b;
const PROBE: u8 = 1;
const ANSWER: u8 = 2;

/// Bytes under the tag, and those of a whole answer.
const SIGNED: usize = 12;
const TAG: usize = 16;
pub(super) const LENGTH: usize = SIGNED + TAG;

/// What two verified peers authenticate their probes with.
#[derive(Clone)]
pub(crate) struct ProbeKey([u8; 32]);

impl std::fmt::Debug for ProbeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProbeKey")
    }
}

impl ProbeKey {
    /// The key of a session from what its two sides drew, the offerer's part first.
    pub(crate) fn new(offerer: &[u8], answerer: &[u8]) -> Self {
        let hash = Sha256::new()
            .chain_update(b"peerline probe")
            .chain_update(offerer)
            .chain_update(answerer);
        Self(hash.finalize().into())
    }

    /// The key for the repairs of a way.
    pub(crate) fn repair(&self, way: Way) -> RepairKey {
        RepairKey::new(&self.0, way)
    }

    fn mac(&self, signed: &[u8]) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any length is a key");
        mac.chain_update(signed)
    }
}

/// A probe or its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    /// Is a datagram of `size` bytes carried?
    Probe { id: u64, size: u16 },
    /// It is.
    Answer { id: u64, size: u16 },
}

/// Whether a datagram is one of ours, by its first byte.
pub(super) fn is_marked(datagram: &[u8]) -> bool {
    datagram.first() == Some(&MARK)
}

impl Message {
    /// The datagram.
    pub(super) fn encode(self, key: &ProbeKey) -> Vec<u8> {
        let (kind, id, size, length) = match self {
            Self::Probe { id, size } => (PROBE, id, size, LENGTH.max(size.into())),
            Self::Answer { id, size } => (ANSWER, id, size, LENGTH),
        };
        let mut datagram = vec![0; length];
        datagram[0] = MARK;
        datagram[1] = kind;
        datagram[2..4].copy_from_slice(&size.to_be_bytes());
        datagram[4..SIGNED].copy_from_slice(&id.to_be_bytes());
        let tag = key.mac(&datagram[..SIGNED]).finalize().into_bytes();
        datagram[SIGNED..LENGTH].copy_from_slice(&tag[..TAG]);
        datagram
    }

    /// Reads a datagram; `None` if it is not whole, or not from somebody with the key.
    pub(super) fn decode(datagram: &[u8], key: &ProbeKey) -> Option<Self> {
        let (signed, rest) = datagram.split_at_checked(SIGNED)?;
        let tag = rest.get(..TAG)?;
        if signed[0] != MARK {
            return None;
        }
        let size = u16::from_be_bytes([signed[2], signed[3]]);
        let id = u64::from_be_bytes(signed[4..SIGNED].try_into().ok()?);
        let message = match signed[1] {
            PROBE if datagram.len() == LENGTH.max(size.into()) => Self::Probe { id, size },
            ANSWER if datagram.len() == LENGTH => Self::Answer { id, size },
            _ => return None,
        };
        key.mac(signed)
            .verify_truncated_left(tag)
            .is_ok()
            .then_some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_datagrams_from_who_has_the_key_are_read() {
        let key = ProbeKey::new(b"offerer", b"answerer");
        let other = ProbeKey::new(b"answerer", b"offerer");
        for message in [
            Message::Probe { id: 7, size: 1472 },
            Message::Probe { id: 0, size: 0 },
            Message::Answer {
                id: u64::MAX,
                size: 16_376,
            },
        ] {
            let datagram = message.encode(&key);
            assert!(is_marked(&datagram));
            assert_eq!(Message::decode(&datagram, &key), Some(message));
            assert_eq!(Message::decode(&datagram, &other), None);
            assert_eq!(Message::decode(&datagram[..datagram.len() - 1], &key), None);
            for byte in 0..LENGTH {
                let mut changed = datagram.clone();
                changed[byte] ^= 1;
                assert_eq!(Message::decode(&changed, &key), None, "byte {byte}");
            }
        }
        for junk in [&[][..], &[MARK], &[MARK; LENGTH]] {
            assert_eq!(Message::decode(junk, &key), None);
        }
    }

    #[test]
    fn a_probe_is_as_long_as_it_says() {
        let key = ProbeKey::new(b"", b"");
        assert_eq!(
            Message::Probe { id: 1, size: 9000 }.encode(&key).len(),
            9000
        );
        assert_eq!(
            Message::Answer { id: 1, size: 9000 }.encode(&key).len(),
            LENGTH
        );
    }
}
