//! Messages of a tunnel's channel, each of one frame or of several small ones: `docs/protocol.md` section 9.1. Pure.
//!
//! A message costs an engine more than the bytes of a short frame do, so frames that are ready together share one.

use super::frame::Frame;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Several frames, each behind its length.
const SEVERAL: u8 = 8;

/// Of a frame, in front of it.
const LENGTH: usize = 2;

/// Frames up to so many bytes share a message; to copy longer ones costs more than it saves.
const SMALL: usize = 2 << 10;

/// Bytes of a message of several.
const MOST: usize = 16 << 10;

/// The next message, of the frames that `next` gives as long as there are any. One that does not fit is left over for the
/// message that follows.
pub(super) fn pack(
    left: &mut Option<Bytes>,
    mut next: impl FnMut() -> Option<Bytes>,
) -> Option<Bytes> {
    let first = left.take().or_else(&mut next)?;
    if first.len() > SMALL {
        return Some(first);
    }
    let mut several = BytesMut::new();
    while let Some(frame) = next() {
        if frame.len() > SMALL || several.len() + LENGTH + frame.len() > MOST {
            *left = Some(frame);
            break;
        }
        if several.is_empty() {
            several.put_u8(SEVERAL);
            put(&mut several, &first);
        }
        put(&mut several, &frame);
    }
    Some(match several.is_empty() {
        true => first,
        false => several.freeze(),
    })
}

fn put(several: &mut BytesMut, frame: &Bytes) {
    // No longer than `SMALL`.
    several.put_u16(frame.len() as u16);
    several.put_slice(frame);
}

/// The frames of a message, in order; `None` in place of one that is malformed, and behind that nothing.
pub(super) fn frames(mut message: Bytes) -> impl Iterator<Item = Option<Frame>> {
    let is_several = message.first() == Some(&SEVERAL);
    if is_several {
        message.advance(1);
    }
    let mut over = false;
    std::iter::from_fn(move || {
        if over {
            return None;
        }
        let frame = match is_several {
            true => split(&mut message).and_then(Frame::read),
            false => Frame::read(std::mem::take(&mut message)),
        };
        over = frame.is_none() || message.is_empty();
        Some(frame)
    })
}

fn split(rest: &mut Bytes) -> Option<Bytes> {
    let length = usize::from(rest.try_get_u16().ok()?);
    (length <= rest.len()).then(|| rest.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::super::frame::Body;
    use super::*;
    use proptest::prelude::*;

    fn data(stream: u32, length: usize) -> Frame {
        Frame::new(stream, Body::Data(vec![7; length].into()))
    }

    /// The messages of these frames.
    fn packed(frames: &[Frame]) -> Vec<Bytes> {
        let (mut left, mut rest) = (None, frames.iter().map(Frame::write));
        std::iter::from_fn(|| pack(&mut left, || rest.next())).collect()
    }

    proptest! {
        #[test]
        fn whatever_is_packed_comes_out_in_order(lengths in proptest::collection::vec(1..9_000_usize, 0..60)) {
            let frames: Vec<_> = (0..).zip(lengths).map(|(id, length)| data(id, length)).collect();
            let messages = packed(&frames);
            prop_assert!(messages.iter().all(|message| message.len() <= MOST));
            let read = messages.into_iter().flat_map(super::frames);
            prop_assert_eq!(read.collect::<Option<Vec<_>>>(), Some(frames));
        }

        #[test]
        fn any_message_is_frames_or_refused(mut message in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = frames(message.clone().into()).count();
            message.insert(0, SEVERAL);
            let _ = frames(message.into()).count();
        }
    }

    #[test]
    fn small_frames_share_a_message_and_one_alone_is_itself() {
        let lone = data(2, 3);
        assert_eq!(packed(std::slice::from_ref(&lone)), [lone.write()]);
        let two = packed(&[lone, Frame::new(4, Body::Taken)]);
        assert_eq!(
            two,
            [&b"\x08\0\x08\x03\0\0\0\x02\x07\x07\x07\0\x05\x06\0\0\0\x04"[..]]
        );
        // A long one goes alone, and leaves those before and behind it where they are.
        let lengths = [10, 10, 20_000, 10, 10];
        let frames: Vec<_> = (0..)
            .zip(lengths)
            .map(|(id, length)| data(id, length))
            .collect();
        let sizes: Vec<_> = packed(&frames).iter().map(Bytes::len).collect();
        assert_eq!(sizes, [35, 20_005, 35]);
    }

    #[test]
    fn malformed_messages_are_refused() {
        for message in [
            &b""[..],
            b"\x08",
            b"\x08\0",
            b"\x08\0\0",
            b"\x08\0\x06\x06\0\0\0\x04",
            b"\x08\0\x05\x06\0\0\0\x04\0",
            // None within another.
            b"\x08\0\x08\x08\0\x05\x06\0\0\0\x04",
        ] {
            let read: Vec<_> = frames(Bytes::copy_from_slice(message)).collect();
            assert_eq!(read.last(), Some(&None), "{message:?}");
        }
    }
}
