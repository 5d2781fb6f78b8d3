//! What two receivers say to each other: `docs/protocol.md` section 5.8. Pure.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::blocks::Span;
use crate::channel::MAX_MESSAGE;

/// Subprotocol of the channel between two receivers.
pub(in crate::transfer) const PROTOCOL: &str = "peerline-blocks/1";

/// Its label.
pub(in crate::transfer) const LABEL: &str = "blocks";

/// `block (u32) || offset (u32)`.
const HEADER: usize = 8;

/// A text message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(in crate::transfer) enum HelperMessage {
    /// Blocks that it has verified.
    Has { blocks: Vec<Span> },
    /// It asks for a block.
    Want { block: u32 },
    /// It cannot give a block that it was asked for.
    Refuse { block: u32 },
    /// From a later version; ignored.
    #[serde(other)]
    Unknown,
}

/// A binary message: a part of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::transfer) struct Piece {
    pub(in crate::transfer) block: u32,
    pub(in crate::transfer) offset: u32,
    pub(in crate::transfer) data: Bytes,
}

impl HelperMessage {
    pub(in crate::transfer) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(in crate::transfer) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("numbers are always JSON")
    }
}

impl Piece {
    /// `None` if there is no data in it.
    pub(in crate::transfer) fn parse(mut message: Bytes) -> Option<Self> {
        if message.len() <= HEADER {
            return None;
        }
        Some(Self {
            block: message.get_u32(),
            offset: message.get_u32(),
            data: message,
        })
    }
}

/// The messages that carry a block.
pub(in crate::transfer) fn pieces(block: u32, data: &[u8]) -> impl Iterator<Item = Bytes> + '_ {
    const MOST: usize = MAX_MESSAGE - HEADER;
    (0u32..).zip(data.chunks(MOST)).map(move |(number, part)| {
        let mut message = BytesMut::with_capacity(HEADER + part.len());
        message.put_u32(block);
        message.put_u32(number * MOST as u32);
        message.put_slice(part);
        message.freeze()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_spelt_as_in_the_protocol() {
        for (message, text) in [
            (
                HelperMessage::Has {
                    blocks: vec![Span(3, 2)],
                },
                r#"{"type":"has","blocks":[[3,2]]}"#,
            ),
            (
                HelperMessage::Want { block: 3 },
                r#"{"type":"want","block":3}"#,
            ),
            (
                HelperMessage::Refuse { block: 3 },
                r#"{"type":"refuse","block":3}"#,
            ),
        ] {
            assert_eq!(message.to_text(), text);
            assert_eq!(HelperMessage::parse(text), Some(message));
        }
        for bad in [
            "",
            "[]",
            r#"{"type":"want","block":-1}"#,
            r#"{"type":"has","blocks":[[1]]}"#,
        ] {
            assert_eq!(HelperMessage::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_block_is_cut_and_put_together() {
        let data: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
        let mut joined = Vec::new();
        for message in pieces(7, &data) {
            assert!(message.len() <= MAX_MESSAGE);
            let piece = Piece::parse(message).unwrap();
            assert_eq!((piece.block, piece.offset as usize), (7, joined.len()));
            joined.extend_from_slice(&piece.data);
        }
        assert!(joined == data);
        assert_eq!(Piece::parse(Bytes::from_static(&[0; 8])), None);
    }
}
