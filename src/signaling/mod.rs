//! Joining a room on a signaling server, and getting messages to the other peers in it:
//! `docs/protocol.md` section 1.
//!
//! [`Signaling`] is a handle to a task that owns one connection: a WebSocket, or an event stream or polls
//! where the network refuses one. The task keeps the connection alive, comes back to its place when it is
//! lost, without losing or repeating a message, and leaves the room when the handle is dropped; it knows
//! nothing of what the messages mean. [`memory`] has the same rooms inside a process, with a server that can
//! be made hostile.

mod actor;
mod backoff;
mod carried;
mod client;
mod dial;
mod error;
mod fingerprint;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod http;
mod keepalive;
mod ledger;
mod line;
pub mod memory;
mod relay;
mod requests;
mod server_url;
mod sse;
mod survey;
mod tls;
mod transport;
mod websocket;

pub(crate) use carried::{Begins, Carried};
pub use client::Signaling;
pub use error::{Lost, Refusal, SendError, SignalingError, Unreachable};
pub use fingerprint::{Fingerprint, FingerprintError};
pub(crate) use http::Connection as HttpConnection;
pub(crate) use relay::Relay;
pub use server_url::{ServerUrl, ServerUrlError};
pub use survey::{Survey, survey};
