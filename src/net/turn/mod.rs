//! TURN over TCP and TLS, which the engine lacks, and the ways that a session may take.
//!
//! The engine's TURN client sends through the same sockets as everything else and resolves its servers
//! through the same runtime. So a server that is reached over a stream gets a name and an address that
//! exist nowhere else ([`servers`]), and what the engine sends to that address travels in one TCP or TLS
//! stream with the framing of RFC 8656 section 12.5 ([`stream`]). [`socket`] tells the two apart; it also
//! keeps a session that must be relayed from sending anything elsewhere, and one that must not from being
//! reached through a relay. This module knows nothing of sessions; it is told.

mod frames;
#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
mod servers;
mod socket;
mod stream;
mod trust;
mod uri;

pub(super) use servers::is_stream;
pub(crate) use servers::{Servers, Transport};
pub(super) use socket::TurnSocket;
