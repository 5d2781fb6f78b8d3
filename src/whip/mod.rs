//! Streams over HTTP: WHIP (RFC 9725) to publish and WHEP (draft-ietf-wish-whep) to play, as OBS, GStreamer, `ffmpeg` and
//! media servers speak them, on both sides.
//!
//! An HTTP request carries what signaling carries elsewhere, so the session behind it is that of an open room
//! ([`PlainSession`](crate::session::PlainSession)), with somebody in between who translates.
//!
//! | part | kind | what it decides |
//! |---|---|---|
//! | `fragment` | pure | ICE in pieces of descriptions (RFC 8840) |
//! | `offer` | pure | which offers are taken |
//! | `request`, `reply` | pure | what a request asks for, and answers |
//! | `resource` | pure | one session as HTTP sees it: candidates, restarts, ETags |
//! | `conversation` | task each | between a resource and its session |
//! | `server` | task | HTTP, and how much of it |
//! | `exchange` | pure | the client's side of a resource |
//! | `said` | pure | what a server's answer means to a client |
//! | `client`, `transport` | task each | publishes at, or plays from, somebody else's server |

mod client;
mod conversation;
mod exchange;
mod fragment;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod offer;
mod reply;
mod request;
mod resource;
mod said;
mod server;
mod transport;

pub(crate) use client::{Failure, Way};
pub use client::{Remote, RemoteError};
pub(crate) use conversation::Refusal;
pub use offer::Role;
pub(crate) use offer::Section;
pub use request::Token;
pub use server::Server;
pub(crate) use server::Visitor;
