//! How large a datagram the path to the peer carries: packetization layer path MTU discovery for
//! datagrams (RFC 8899), between two of our own peers.
//!
//! Probes are datagrams of their own, padded to the size in question and authenticated with a key that the
//! verified peers share, so a probe that fails costs nothing but itself. `Search` finds the largest size, `Watch`
//! notices that a size in use no longer gets through; both are pure. `probe` is the wire, `Prober` the edge.
//! Sockets never fragment: the engine's sockets set the DF bit, and the kernel refuses what its
//! interface cannot carry, which is a probe without an answer like any other.

#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
mod probe;
mod prober;
mod search;
pub(crate) mod trial;
mod watch;

use super::repair::OVERHEAD;

pub(crate) use probe::ProbeKey;
pub(in crate::net) use prober::Outlet;
pub(crate) use prober::{Prober, Watched};
use search::LARGEST;
pub(crate) use search::SIZES;

/// UDP payload that every path is taken to carry: 1191 bytes of SCTP, the engine's default, in a DTLS
/// record. It leaves room for TURN over IPv6 (RFC 8200 section 5: 1280).
pub(crate) const BASE: u16 = 1191 + RECORD;

/// What DTLS 1.2 with AES-GCM adds to an SCTP packet: header 13, explicit nonce 8, tag 16 (RFC 5288).
const RECORD: u16 = 13 + 8 + 16;

/// What SCTP adds to a part of a message: header 12, that of a DATA chunk 16 (RFC 9260 sections 3.1, 3.3.1).
const CHUNK: usize = 12 + 16;

/// How bulk leaves a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packets {
    /// The largest datagram, as UDP payload.
    pub(crate) size: u16,
    /// Losses are [repaired](super::repair), if the peer agrees.
    pub(crate) repaired: bool,
}

impl Packets {
    /// What every path carries, and every peer takes.
    pub(crate) const EVERYWHERE: Self = Self {
        size: BASE,
        repaired: false,
    };

    /// Those of a session's own connection: as everywhere, and they may turn out to be repaired.
    pub(crate) const SESSION: Self = Self {
        size: BASE,
        repaired: true,
    };

    /// The largest that are tried.
    pub(crate) const LARGEST: Self = Self {
        size: LARGEST,
        repaired: false,
    };

    /// Whether a lane in such packets is less work than the session's own connection is.
    pub(crate) fn pay(self) -> bool {
        self.size > BASE && !self.repaired
    }

    /// The SCTP packet that fits into such a datagram.
    pub(crate) const fn sctp(self) -> u32 {
        let repair = if self.repaired { OVERHEAD } else { 0 };
        (self.size - RECORD - repair) as u32
    }

    /// What such a packet carries of a message.
    pub(crate) const fn payload(self) -> usize {
        // Chunks are padded to four bytes (RFC 9260 section 3.2).
        (self.sctp() as usize - CHUNK) & !3
    }
}
