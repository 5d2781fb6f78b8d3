//! As much of RFC 6455 as a generator of load needs. A client library would cost more than the server that
//! is measured.

use anyhow::{Result, bail};

/// One frame that came, and how many bytes it took.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) kind: Kind,
    pub(super) payload: &'a [u8],
    pub(super) length: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Close,
    Ping,
    Pong,
}

/// The first frame of what came, if it is there to its end.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Frame<'_>>> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    let kind = match first {
        0x81 => Kind::Text,
        0x88 => Kind::Close,
        0x89 => Kind::Ping,
        0x8a => Kind::Pong,
        other => bail!("the server sent a frame that begins with {other:#04x}"),
    };
    let (length, rest) = match second {
        126 => match rest {
            [a, b, rest @ ..] => (usize::from(u16::from_be_bytes([*a, *b])), rest),
            _ => return Ok(None),
        },
        0..126 => (usize::from(*second), rest),
        // Messages have at most 64 KiB and some bytes, of which these measurements send less.
        _ => bail!("the server sent a frame that is masked or too long"),
    };
    let head = bytes.len() - rest.len();
    Ok(rest.get(..length).map(|payload| Frame {
        kind,
        payload,
        length: head + length,
    }))
}

/// A text frame.
pub(super) fn text(payload: &[u8]) -> Vec<u8> {
    frame(0x81, payload)
}

/// The answer to a ping.
pub(super) fn pong(payload: &[u8]) -> Vec<u8> {
    frame(0x8a, payload)
}

/// The key of the mask is zero: the server applies it all the same, and nobody is between the two who
/// could be deceived by what is sent (RFC 6455 section 10.3).
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u16::try_from(payload.len()) {
        Ok(length @ 0..126) => frame.push(0x80 | length.to_be_bytes()[1]),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => unreachable!("the size of messages is limited where it is given"),
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_anywhere_waits_for_the_rest() {
        for length in [0, 1, 125, 126, 1100, 65_535] {
            let payload = vec![b'x'; length];
            let mut bytes = text(&payload);
            // As a server sends it.
            let mask = bytes.len() - length - 4;
            bytes.drain(mask..mask + 4);
            bytes[1] &= 0x7f;
            for cut in [0, 1, 2, 3, bytes.len() - 1] {
                let cut = cut.min(bytes.len() - 1);
                assert_eq!(parse(&bytes[..cut]).unwrap(), None, "{length} {cut}");
            }
            bytes.extend(b"more");
            let frame = parse(&bytes).unwrap().unwrap();
            assert_eq!((frame.kind, frame.payload), (Kind::Text, &payload[..]));
            assert_eq!(&bytes[frame.length..], b"more");
        }
    }

    #[test]
    fn other_frames() {
        let ping = parse(&[0x89, 0]).unwrap().unwrap();
        assert_eq!((ping.kind, ping.length), (Kind::Ping, 2));
        assert_eq!(pong(b"a"), [0x8a, 0x81, 0, 0, 0, 0, b'a']);
        for bytes in [[0x82, 0], [0x01, 0], [0x81, 127], [0x81, 0x80]] {
            assert!(parse(&bytes).is_err(), "{bytes:?}");
        }
    }
}
