//! A message as text.

use bytes::Bytes;
use signaling_protocol::{ServerMessage, with_seq};

/// A serialised message; clones share the text, so one broadcast is one allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame(pub(super) Bytes);

impl Frame {
    pub(crate) fn new(message: &ServerMessage) -> Self {
        Self(message.to_json().into())
    }

    /// What is the JSON text of a message already.
    pub(crate) fn from_json(text: String) -> Self {
        Self(text.into())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The JSON text; valid UTF-8.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.0
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("frames are made of text")
    }

    pub(super) fn numbered(&self, seq: u64) -> Self {
        Self(with_seq(self.as_str(), seq).into())
    }
}

/// A frame on its way out, with its number in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) seq: Option<u64>,
    pub(crate) frame: Frame,
}
