//! The messages of Peerline's signaling service, version 1, and nothing else: no sockets, no clock.
//!
//! The text is section 1 of `docs/protocol.md`; `golden/` holds one sample of everything, which
//! other implementations are tested against too. A value of one of these types is valid: room
//! names, peer ids and names can only be made by parsing.
//!
//! ```
//! use signaling_protocol::{ClientMessage, ErrorCode, ServerMessage};
//!
//! let message = ClientMessage::parse(r#"{"type":"chat","content":"hello"}"#)?;
//! let from = "p1".parse()?;
//! let relayed = message.into_relayed(from).expect("chat is relayed");
//! assert_eq!(relayed.to_json(), r#"{"type":"chat","from":"p1","content":"hello"}"#);
//!
//! let refused = ClientMessage::parse(r#"{"type":"dance"}"#).unwrap_err();
//! assert_eq!(refused.code(), ErrorCode::BadType);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod client;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod ice;
pub mod limits;
mod names;
mod numbered;
mod opaque;
mod parse;
mod secret;
mod server;

pub use client::{ClientMessage, Join, PathKind};
pub use error::ErrorCode;
pub use ice::{IceCandidate, IceServer};
pub use names::{NameError, PeerId, PeerName, RoomName};
pub use numbered::{Numbered, seq_of, with_seq};
pub use opaque::OpaqueMessage;
pub use parse::ParseError;
pub use secret::Secret;
pub use server::{Joined, LeaveReason, Limits, PeerInfo, ServerMessage};
