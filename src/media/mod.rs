//! Sound and pictures: where they come from, how they travel, and where they go.
//!
//! Frames pass through encoded. What has to be encoded or decoded is given to `ffmpeg`, as a process of its
//! own that can be missing.
//!
//! | part | kind | what it is |
//! |---|---|---|
//! | [`codec`] | pure | what is offered, key frames, sizes |
//! | [`payload`], [`depayload`] | pure | frames to packets and back |
//! | [`reorder`] | pure | the order of packets, each once |
//! | [`track`] | task each | tracks of a session, outgoing and incoming |
//! | `container` | pure, readers block | IVF, Ogg, H.264 byte streams; Matroska |
//! | [`source`] | thread each | test picture and tone, files, devices, anything `ffmpeg` reads |
//! | [`record`] | pure and edge | a recording with sound and pictures in time |
//! | [`player`] | thread each | windows, speakers, pictures for a terminal |
//! | [`ffmpeg`] | edge | the program |
//! | `estimate` | pure | what a path carries |
//! | `engine` | edge | what the `webrtc` crate is told |
//!
//! Must not know: sessions, signaling, terminals.

pub mod codec;
mod container;
pub mod depayload;
pub(crate) mod engine;
mod error;
pub(crate) mod estimate;
pub mod ffmpeg;
mod frame;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod packet;
pub mod payload;
pub mod player;
pub mod record;
pub mod reorder;
pub mod source;
pub mod track;

pub use codec::{Codec, Kind};
pub use container::matroska;
pub use error::MediaError;
pub use frame::Frame;
pub use packet::Packet;
pub use track::{IncomingTrack, OutgoingTrack};
