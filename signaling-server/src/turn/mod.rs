//! STUN and TURN for peers that cannot reach each other directly (RFC 8489, RFC 8656).
//!
//! One port takes UDP, TCP and, with a certificate, TLS: a stream whose first byte opens a TLS handshake
//! is TLS. The protocol itself is the `turn-server-proto` crate, a state machine without sockets; every
//! client address has one of its own, so that clients share nothing and one that is gone leaves nothing.
//! What that crate does not decide is decided in front of it: who may relay (`credentials`), to whom
//! (`peers`), and how much (`quota`). This module knows nothing of rooms and messages; the hub only mints
//! credentials.
//!
//! | part | kind | what it does |
//! |---|---|---|
//! | `credentials`, `peers`, `quota`, `frames`, `queue` | pure | who, to whom, how much; messages in a stream; what waits |
//! | `gate` | pure | judges each message of a client before the protocol sees it |
//! | `client` | task | one client: its protocol state, its relayed sockets, its way back |
//! | `relayed` | edge | a port that a client lends |
//! | `udp`, `stream`, `listen` | edge | listening |
//! | `relays` | shared | relayed addresses that are alive |

mod client;
mod credentials;
mod frames;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod gate;
mod link;
mod listen;
mod peers;
mod queue;
mod quota;
mod relayed;
mod relays;
mod stream;
mod udp;

pub(crate) use credentials::Minter;
pub(crate) use listen::{Turn, own_addresses};

use crate::{metrics::Metrics, network::Network, tls::Tls};
use quota::Quota;
use relays::Relays;
use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    sync::Arc,
};

/// The TURN server inside.
#[derive(Debug, Clone)]
pub struct TurnConfig {
    /// Where to listen, each for UDP and TCP; port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// Name or address that clients are told; by default an external address, or that of this machine.
    pub host: Option<String>,
    /// Addresses under which the relayed ports are reached from outside, at most one of each family; by
    /// default the address from which this machine answers the client.
    pub external_ips: Vec<IpAddr>,
    /// Ports for relaying.
    pub relay_ports: RangeInclusive<u16>,
    /// For TURN over TLS.
    pub tls: Option<Tls>,
    /// Peers that may be reached although their addresses are private or reserved.
    pub allow: Vec<Network>,
    /// Peers that may not be reached, whatever `allow` says.
    pub deny: Vec<Network>,
    /// Bounds.
    pub limits: TurnLimits,
}

/// Bounds of the TURN server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnLimits {
    /// Allocations altogether.
    pub allocations: usize,
    /// Allocations of one peer of one room. A peer makes one for each of its network interfaces, for each
    /// transport, and for each of its connections.
    pub allocations_per_user: u32,
    /// Allocations of one source address (IPv6: one /64).
    pub allocations_per_address: u32,
    /// Bytes a second through one allocation, each way.
    pub bytes_per_second: u64,
    /// Clients without an allocation, altogether and of one source address.
    pub guests: (usize, u32),
}

impl Default for TurnConfig {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 3478))],
            host: None,
            external_ips: Vec::new(),
            // The dynamic ports of RFC 6335, as RFC 8656 section 5 suggests.
            relay_ports: 49_152..=65_535,
            tls: None,
            allow: Vec::new(),
            deny: Vec::new(),
            limits: TurnLimits::default(),
        }
    }
}

impl Default for TurnLimits {
    fn default() -> Self {
        Self {
            allocations: 1000,
            allocations_per_user: 24,
            allocations_per_address: 96,
            // 64 Mbit/s: a file is not slow and one peer does not fill a server's line.
            bytes_per_second: 8 << 20,
            guests: (1024, 64),
        }
    }
}

/// What all clients share.
#[derive(Debug)]
struct Shared {
    config: TurnConfig,
    minter: Minter,
    metrics: Arc<Metrics>,
    quota: Arc<Quota>,
    relays: Arc<Relays>,
}
