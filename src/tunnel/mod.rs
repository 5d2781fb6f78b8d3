//! Streams of bytes between what two sides read and write, many over one channel (`docs/protocol.md`
//! section 9).
//!
//! [`pipe`] connects one stream of each side. [`expose`] lets the other side use services, and [`connect`] listens
//! here for those who use them. Much of it goes through lanes, in larger packets. Each stream of a [`Tunnel`] has credit of its own, ends each direction by itself,
//! and tells its sender when everything has gone where it belongs; a stream that breaks is an error on both sides. A
//! session that heals loses nothing of it.
//!
//! | part | kind | what it decides |
//! |---|---|---|
//! | `frame`, `message` | pure | the wire |
//! | `half` | pure | what may be sent and what was received of one stream |
//! | `turns` | pure | whose turn it is |
//! | `entry`, `mux` | pure | one stream, and all streams of a tunnel |
//! | `lane` | pure, and an edge | which messages go through lanes, and which again when one is gone |
//! | `shared`, `carrier` | lock, and two tasks | who waits for what; messages between `mux` and its channel and lanes |
//! | `stream` | handles | reading and writing one stream |
//! | `relay` | edge | a stream and something that is read and written |
//! | `pipe` | edge | one stream between two terminals |
//! | `address`, `service` | pure, and one look-up | what is exposed, and what never is |
//! | `expose`, `connect` | tasks | connections to services, and from those who use them |
//! | `socket`, `socks` | edge | connections of this machine, and programs that say where they want to go |
//! | `flows` | pure | which datagrams belong together |
//! | `datagrams` | tasks | datagrams, each as it was sent or not at all |

mod address;
mod carrier;
mod connect;
mod datagrams;
mod entry;
mod error;
mod event;
mod expose;
mod flows;
mod frame;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod half;
mod lane;
mod message;
mod mux;
mod pipe;
mod relay;
mod service;
mod shared;
mod socket;
mod socks;
mod stream;
mod turns;

pub use address::{Address, HostPort};
pub use carrier::{Arrival, Tunnel};
pub use connect::{Listener, connect, list};
pub use error::{RelayError, StreamError, TunnelError};
pub use event::Event;
pub use expose::expose;
pub use frame::{MAX_TARGET, Reset, ResetCode};
pub use lane::{Lanes, PROTOCOL as LANE_PROTOCOL};
pub use mux::{MAX_STREAMS, Side};
pub use pipe::pipe;
pub use relay::Moved;
pub use service::{Kind, Listed, MAX_SERVICES, Service, ServiceError, ServiceName};
pub use stream::{Reader, Stream, Writer};

/// Protocol of the channel that a tunnel goes through; the guest of the session opens it.
pub const PROTOCOL: &str = "peerline-tunnel/1";

/// Its label.
pub const LABEL: &str = "tunnel";

/// Protocol, and label, of the channel for datagrams; whoever opens the tunnel may open it, too.
pub const DATAGRAMS: &str = "peerline-datagrams/1";

/// The stream of this name brings the list of services.
const LIST: &str = "";
