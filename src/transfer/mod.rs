//! Files from one peer's disk to another's: `docs/protocol.md` section 5.
//!
//! [`send`] and [`receive`] drive one transfer each over two channels, a control channel and a
//! lane; [`send_over`] and [`receive_over`] also over extra lanes. What may happen next is decided in pure code (`sender::state`, `receiver::state`,
//! `receiver::assembler`); files are read, written and hashed on one blocking thread per side,
//! behind bounded queues of at most 4 MiB. Nothing here knows how the channels reach the other
//! side, or watches the clock for silence: a session that loses its peer closes its channels.

mod digest;
mod error;
mod event;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod holes;
mod kept;
mod label;
mod lanes;
mod manifest;
mod manifest_builder;
mod message;
mod receiver;
mod record;
mod safe_path;
mod selection;
mod sender;
mod source;
mod swarm;
mod throttle;
mod wire;

pub use crate::display::display_name;
pub use digest::Digest;
pub use error::{Code, Fault, TransferError};
pub use event::{Event, Summary};
pub use label::{CONTROL_PROTOCOL, LANE_PROTOCOL, Label, TransferId};
pub use lanes::{LaneCount, Lanes, MAX_LANES};
pub use manifest::{BlockSize, Entry, Kind, Manifest, ManifestError};
pub use receiver::{
    Decision, Limits, ReceiveOptions, receive, receive_among, receive_into, receive_over,
};
pub use receiver::{DiscardError, Leftover, Partial, PartialState, discard, partials};
pub use safe_path::{PathError, SafePath};
pub use selection::{PatternError, Selection};
pub use sender::{send, send_over};
pub use source::{Skipped, Source, SourceError};
pub use swarm::crowd::{Crowd, Sharing};
pub use swarm::meet::{HelperLine, Introduction, MeetHelper, Role, Sessions};

use crate::channel::Channel;

/// The channels of one transfer, opened by its sender with the labels of one [`TransferId`].
#[derive(Debug)]
pub struct Channels {
    /// JSON messages, both ways.
    pub control: Channel,
    /// Blocks, from the sender to the receiver.
    pub lane: Channel,
}
