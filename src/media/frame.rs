//! A frame on its way out.

use bytes::Bytes;
use std::time::Duration;

/// One picture, or one packet of sound, as the codec made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The bits.
    pub data: Bytes,
    /// When it is shown, from the beginning of its source.
    pub time: Duration,
    /// Whether a decoder can begin here.
    pub key: bool,
}

impl Frame {
    /// The same, with its time counted from `begin`.
    pub fn since(self, begin: Duration) -> Self {
        let time = self.time.saturating_sub(begin);
        Self { time, ..self }
    }
}
