//! Streams of bytes between what two sides read and write, many over one channel (`docs/protocol.md`
//! section 9).
//!
//! [`pipe`] connects one stream of each side. Each stream of a [`Tunnel`] has credit of its own, ends each
//! direction by itself, and tells its sender when everything has gone where it belongs; a stream that breaks is
//! an error on both sides. A session that heals loses nothing of it.
//!
//! | part | kind | what it decides |
//! |---|---|---|
//! | `frame` | pure | the wire |
//! | `half` | pure | what may be sent and what was received of one stream |
//! | `turns` | pure | whose turn it is |
//! | `mux` | pure | all streams of a tunnel |
//! | `carrier` | two tasks | moves frames between `mux` and its channel |
//! | `stream` | handles | reading and writing one stream |
//! | `relay` | edge | a stream and something that is read and written |
//! | `pipe` | edge | one stream between two terminals |

mod carrier;
mod error;
mod frame;
mod half;
mod mux;
mod pipe;
mod relay;
mod stream;
mod turns;

pub use carrier::{Arrival, Tunnel};
pub use error::{RelayError, StreamError, TunnelError};
pub use frame::{MAX_TARGET, Reset, ResetCode};
pub use mux::{MAX_STREAMS, Side};
pub use pipe::pipe;
pub use relay::Moved;
pub use stream::{Reader, Stream, Writer};

/// Protocol of the channel that a tunnel goes through; the guest of the session opens it.
pub const PROTOCOL: &str = "peerline-tunnel/1";

/// Its label.
pub const LABEL: &str = "tunnel";
