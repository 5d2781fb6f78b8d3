//! The `Runtime` under every peer connection: sockets that are large enough, deaf to strangers, and
//! in tests lossy and slow on purpose.
//!
//! The WebRTC engine asks its runtime to wrap each UDP socket. `LineRuntime` uses that seam nine
//! times: it raises the kernel's socket buffers (the default of 208 KiB overflows under one burst of
//! segmentation offload, which costs SCTP nine tenths of its throughput), it drops datagrams from
//! addresses that never proved they know the ICE password (`filter`), it repeats
//! what sets up a connection (`handshake`), it sends to browsers and relays no faster than they
//! listen (`pace`), it proves which datagrams the path carries (`packet`), it repairs what long paths
//! lose (`repair`), it carries TURN in TCP and TLS
//! streams (`turn`), it lets the engine's clock run slower in an outage and faster after it (`clock`), and it can put an emulated
//! [`link`] in front of the wire. This module knows nothing of sessions or signaling.

mod clock;
mod emulated;
pub(crate) mod filter;
mod fine_timer;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod handshake;
pub mod link;
mod nonces;
mod pace;
pub(crate) mod packet;
pub(crate) mod repair;
mod runtime;
mod set_up;
mod socket;
pub(crate) mod turn;

pub(crate) use clock::Clock;
pub use emulated::EmulatedLink;
pub(crate) use nonces::NonceCountingProvider;
pub(crate) use pace::Pacing;
pub(crate) use runtime::LineRuntime;
pub(crate) use set_up::SetUp;

/// What lies between this peer's sockets and the wire.
#[derive(Debug, Clone, Default)]
pub enum Network {
    /// The machine's own network.
    #[default]
    Real,
    /// Every datagram this peer sends crosses an emulated link first.
    Emulated(EmulatedLink),
}
