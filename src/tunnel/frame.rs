//! The frames of a tunnel: `docs/protocol.md` section 9.1. Pure.

use crate::channel::{FULL_MESSAGE, MAX_MESSAGE};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes of data of a frame that is as long as a message should be.
pub(super) const FULL_DATA: usize = FULL_MESSAGE - HEADER;

const _: () = assert!(FULL_MESSAGE <= MAX_MESSAGE);

/// Longest name of what a stream is to reach, in bytes.
pub const MAX_TARGET: usize = 64;

/// Longest reason of a reset, in bytes.
const MAX_REASON: usize = 256;

/// The kind and the number of the stream.
const HEADER: usize = 5;

const OPEN: u8 = 1;
const ACCEPT: u8 = 2;
const DATA: u8 = 3;
const GRANT: u8 = 4;
const END: u8 = 5;
const TAKEN: u8 = 6;
const RESET: u8 = 7;
// 8 begins a message of several frames.
const AWAITED: u8 = 9;
const MOVING: u8 = 10;
const GOT: u8 = 11;
const BACK: u8 = 12;

/// Why a stream ended before it was complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetCode {
    /// Its side no longer wants it.
    Cancelled,
    /// What it was to reach is not offered.
    Refused,
    /// What it was to reach does not answer.
    Unreachable,
    /// What it came from, or went to, failed there.
    Failed,
    /// There are too many.
    Busy,
}

impl ResetCode {
    const ALL: [Self; 5] = [
        Self::Cancelled,
        Self::Refused,
        Self::Unreachable,
        Self::Failed,
        Self::Busy,
    ];

    fn number(self) -> u8 {
        self as u8
    }

    /// A code of a later version is a failure, too.
    fn of(number: u8) -> Self {
        let known = Self::ALL.get(usize::from(number));
        known.copied().unwrap_or(Self::Failed)
    }
}

/// The end of a stream that was not completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    /// For programs.
    pub code: ResetCode,
    /// For people. It may come from the peer: clean it before showing it.
    pub reason: String,
}

impl Reset {
    /// A reset; reasons of more than 256 bytes are cut.
    pub fn new(code: ResetCode, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        let mut end = reason.len().min(MAX_REASON);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        reason.truncate(end);
        Self { code, reason }
    }
}

/// A message of a tunnel, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// The stream, or the lane, that it is about.
    pub(super) stream: u32,
    pub(super) body: Body,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    /// There is a new stream, to the thing of this name.
    Open(String),
    /// It is connected.
    Accept,
    /// The next bytes.
    Data(Bytes),
    /// So many bytes in all may be sent.
    Grant(u64),
    /// That were so many bytes in all, and there are no more.
    End(u64),
    /// All of them have gone where they belong.
    Taken,
    /// Both directions end.
    Reset(Reset),
    /// Of a lane instead of a stream.
    Lane(Word),
}

/// What is said of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// To who opened it: what comes on it will be read.
    Awaited,
    /// What follows comes on it.
    Moving,
    /// To who opened it: so many messages of it have come.
    Got(u64),
    /// It is over: its messages from this one on follow here, and then everything else.
    Back(u64),
}

impl Frame {
    pub(super) fn new(stream: u32, body: Body) -> Self {
        Self { stream, body }
    }

    pub(super) fn write(&self) -> Bytes {
        let (kind, length) = match &self.body {
            Body::Open(target) => (OPEN, target.len()),
            Body::Accept => (ACCEPT, 0),
            Body::Data(bytes) => (DATA, bytes.len()),
            Body::Grant(_) => (GRANT, 8),
            Body::End(_) => (END, 8),
            Body::Taken => (TAKEN, 0),
            Body::Reset(reset) => (RESET, 1 + reset.reason.len()),
            Body::Lane(Word::Awaited) => (AWAITED, 0),
            Body::Lane(Word::Moving) => (MOVING, 0),
            Body::Lane(Word::Got(_)) => (GOT, 8),
            Body::Lane(Word::Back(_)) => (BACK, 8),
        };
        let mut message = BytesMut::with_capacity(HEADER + length);
        message.put_u8(kind);
        message.put_u32(self.stream);
        match &self.body {
            Body::Open(target) => message.put_slice(target.as_bytes()),
            Body::Data(bytes) => message.put_slice(bytes),
            Body::Grant(number)
            | Body::End(number)
            | Body::Lane(Word::Got(number) | Word::Back(number)) => message.put_u64(*number),
            Body::Reset(reset) => {
                message.put_u8(reset.code.number());
                message.put_slice(reset.reason.as_bytes());
            }
            Body::Accept | Body::Taken | Body::Lane(Word::Awaited | Word::Moving) => {}
        }
        message.freeze()
    }

    /// Reads a frame; `None` if it is none.
    pub(super) fn read(mut message: Bytes) -> Option<Self> {
        let kind = message.try_get_u8().ok()?;
        let stream = message.try_get_u32().ok()?;
        let number = |rest: &Bytes| Some(u64::from_be_bytes(rest.as_ref().try_into().ok()?));
        let body = match kind {
            OPEN if message.len() <= MAX_TARGET => Body::Open(text(message)?),
            ACCEPT if message.is_empty() => Body::Accept,
            DATA if !message.is_empty() => Body::Data(message),
            GRANT => Body::Grant(number(&message)?),
            END => Body::End(number(&message)?),
            TAKEN if message.is_empty() => Body::Taken,
            RESET if message.len() <= 1 + MAX_REASON => {
                let code = ResetCode::of(message.try_get_u8().ok()?);
                let reason = text(message)?;
                Body::Reset(Reset { code, reason })
            }
            AWAITED if message.is_empty() => Body::Lane(Word::Awaited),
            MOVING if message.is_empty() => Body::Lane(Word::Moving),
            GOT => Body::Lane(Word::Got(number(&message)?)),
            BACK => Body::Lane(Word::Back(number(&message)?)),
            _ => return None,
        };
        Some(Self { stream, body })
    }
}

fn text(bytes: Bytes) -> Option<String> {
    String::from_utf8(bytes.into()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bodies() -> impl Strategy<Value = Body> {
        let bytes = proptest::collection::vec(any::<u8>(), 1..100);
        prop_oneof![
            "[a-z]{0,64}".prop_map(Body::Open),
            Just(Body::Accept),
            bytes.prop_map(|bytes| Body::Data(bytes.into())),
            any::<u64>().prop_map(Body::Grant),
            any::<u64>().prop_map(Body::End),
            Just(Body::Taken),
            Just(Body::Lane(Word::Awaited)),
            Just(Body::Lane(Word::Moving)),
            any::<u64>().prop_map(|count| Body::Lane(Word::Got(count))),
            any::<u64>().prop_map(|from| Body::Lane(Word::Back(from))),
            (0..5_usize, ".{0,300}").prop_map(|(code, reason)| {
                Body::Reset(Reset::new(ResetCode::ALL[code], reason))
            }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(stream: u32, body in bodies()) {
            let frame = Frame::new(stream, body);
            prop_assert_eq!(Frame::read(frame.write()), Some(frame));
        }

        #[test]
        fn any_message_is_a_frame_or_refused(message in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Frame::read(message.into());
        }
    }

    #[test]
    fn the_wire_is_the_protocol_text() {
        for (body, wire) in [
            (Body::Open("ssh".into()), &b"\x01\0\0\0\x07ssh"[..]),
            (Body::Accept, b"\x02\0\0\0\x07"),
            (Body::Data(Bytes::from_static(b"x")), b"\x03\0\0\0\x07x"),
            (Body::Grant(258), b"\x04\0\0\0\x07\0\0\0\0\0\0\x01\x02"),
            (Body::End(1), b"\x05\0\0\0\x07\0\0\0\0\0\0\0\x01"),
            (Body::Taken, b"\x06\0\0\0\x07"),
            (
                Body::Reset(Reset::new(ResetCode::Unreachable, "no")),
                b"\x07\0\0\0\x07\x02no",
            ),
            (Body::Lane(Word::Awaited), b"\x09\0\0\0\x07"),
            (Body::Lane(Word::Moving), b"\x0a\0\0\0\x07"),
            (
                Body::Lane(Word::Got(2)),
                b"\x0b\0\0\0\x07\0\0\0\0\0\0\0\x02",
            ),
            (
                Body::Lane(Word::Back(1)),
                b"\x0c\0\0\0\x07\0\0\0\0\0\0\0\x01",
            ),
        ] {
            assert_eq!(Frame::new(7, body).write(), wire);
        }
    }

    #[test]
    fn malformed_frames_are_refused() {
        let long = [&[1, 0, 0, 0, 0][..], &[b'a'; 65]].concat();
        for message in [
            &b""[..],
            b"\x01\0\0\0",
            b"\x01\0\0\0\0\xff",
            &long,
            b"\x02\0\0\0\0x",
            b"\x03\0\0\0\0",
            b"\x04\0\0\0\0\0",
            b"\x05\0\0\0\0\0\0\0\0\0\0\0\0\0",
            b"\x06\0\0\0\0x",
            b"\x07\0\0\0\0",
            b"\x07\0\0\0\0\0\xff",
            b"\x08\0\0\0\0",
            b"\x09\0\0\0\0x",
            b"\x0a\0\0\0\0x",
            b"\x0b\0\0\0\0\0",
            b"\x0c\0\0\0\0",
            b"\x0d\0\0\0\0",
        ] {
            assert_eq!(Frame::read(Bytes::copy_from_slice(message)), None);
        }
        let later = Frame::read(Bytes::from_static(b"\x07\0\0\0\0\x63")).unwrap();
        assert_eq!(later.body, Body::Reset(Reset::new(ResetCode::Failed, "")));
    }
}
