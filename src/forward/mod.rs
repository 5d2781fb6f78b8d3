//! One publisher's tracks for many receivers: each is received once and sent to everybody who wants it, encoded as it
//! came.
//!
//! | part | kind | what it decides |
//! |---|---|---|
//! | [`relay`] | pure | which packets of one track go to which receiver, under which numbers |
//! | `layer`, `subscription` | pure | what is known of a stream, and of a receiver |
//! | `numbering` | pure | sequence numbers and times that go on when the source changes (RFC 3550 section 5.1) |
//! | `cache` | pure | what may be sent again, or to whoever comes late |
//! | `keys` | pure | when a key frame is asked for |
//! | `choice` | pure | which layer of a simulcast a receiver can take |
//! | `picture` | pure | picture numbers of VP8 that go on as well |
//! | [`speaker`] | pure | who is speaking (RFC 6464) |
//! | `roster` | pure | which track has to go to which member of a room |
//! | `forwarding` | task each | moves the packets of one track |
//! | `outside` | task each | RTP of other programs, in and out |
//! | `member` | task each | the call with one member |
//! | `viewer` | task each | the call with somebody who watches by HTTP |
//! | `remote` | task each | somebody else's WHIP or WHEP server, connected again and again |
//! | [`room`] | task | the members of a room, each with a call of its own |
//!
//! Only `room`, `member`, `viewer` and `remote` know sessions and signaling.

mod cache;
mod choice;
mod forwarding;
mod keys;
mod layer;
mod member;
mod numbering;
mod outside;
mod picture;
pub mod relay;
#[cfg(test)]
mod relay_tests;
mod remote;
pub mod room;
mod roster;
pub mod speaker;
mod subscription;
mod viewer;

pub use outside::{Outside, RtpInput, RtpOutput};
pub use relay::{Action, Counts, Input, Relay, Subscriber};
pub use room::{Event, ForwardedRoom, Tapped};
pub use speaker::Speakers;
