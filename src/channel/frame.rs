//! The frames of a byte stream: `docs/protocol.md` section 4.

use super::MAX_MESSAGE;
use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of data that fit in one frame.
pub(super) const MAX_DATA: usize = MAX_MESSAGE - 1;

/// Longest reason of a reset, in bytes.
const MAX_REASON: usize = 256;

const DATA: u8 = 0;
const END: u8 = 1;
const RESET: u8 = 2;

/// One message of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// The next bytes.
    Data(Bytes),
    /// No more data in this direction, after so many bytes in all.
    End(u64),
    /// Both directions end without having been completed.
    Reset(String),
}

impl Frame {
    pub(super) fn data(bytes: &[u8]) -> Bytes {
        let mut frame = BytesMut::with_capacity(1 + bytes.len());
        frame.put_u8(DATA);
        frame.put_slice(bytes);
        frame.freeze()
    }

    pub(super) fn end(total: u64) -> Bytes {
        let mut frame = BytesMut::with_capacity(9);
        frame.put_u8(END);
        frame.put_u64(total);
        frame.freeze()
    }

    pub(super) fn reset(reason: &str) -> Bytes {
        let mut end = reason.len().min(MAX_REASON);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let mut frame = BytesMut::with_capacity(1 + end);
        frame.put_u8(RESET);
        frame.put_slice(&reason.as_bytes()[..end]);
        frame.freeze()
    }

    /// Reads one message; `None` if it is not a frame.
    pub(super) fn parse(message: &Bytes) -> Option<Self> {
        let kind = *message.first()?;
        let rest = message.slice(1..);
        match kind {
            DATA if !rest.is_empty() => Some(Self::Data(rest)),
            END => Some(Self::End(u64::from_be_bytes(
                rest.as_ref().try_into().ok()?,
            ))),
            RESET if rest.len() <= MAX_REASON => {
                Some(Self::Reset(String::from_utf8(rest.into()).ok()?))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(data in proptest::collection::vec(any::<u8>(), 1..200), total: u64, reason in ".{0,400}") {
            prop_assert_eq!(Frame::parse(&Frame::data(&data)), Some(Frame::Data(data.into())));
            prop_assert_eq!(Frame::parse(&Frame::end(total)), Some(Frame::End(total)));
            let Some(Frame::Reset(read)) = Frame::parse(&Frame::reset(&reason)) else { panic!() };
            prop_assert!(reason.starts_with(&read));
        }

        #[test]
        fn any_message_is_a_frame_or_refused(message in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Frame::parse(&message.into());
        }
    }

    #[test]
    fn malformed_frames_are_refused() {
        for message in [
            &[][..],
            &[0],
            &[1],
            &[1, 0, 0],
            &[1; 10],
            &[2, 0xff],
            &[3, 1],
            &[2; 258],
        ] {
            assert_eq!(
                Frame::parse(&Bytes::copy_from_slice(message)),
                None,
                "{message:?}"
            );
        }
    }
}
