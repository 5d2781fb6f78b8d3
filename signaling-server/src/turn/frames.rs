//! STUN messages and channel data in a stream (RFC 8656 section 12.5): both say how long they are, and
//! channel data is padded to four bytes.

/// Bytes before anything is known about the length of what follows.
const HEADER: usize = 4;
/// A STUN header (RFC 8489 section 5).
const STUN_HEADER: usize = 20;
/// Bytes 4 to 8 of every STUN message.
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// The longest frame that its length field allows: a STUN message.
pub(super) const MAX_FRAME: usize = STUN_HEADER + 65_535;

/// What came is neither a STUN message nor channel data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither STUN nor channel data")]
pub(super) struct NotTurn;

/// The first frame in `bytes`: its length without and with padding, or `None` while it is not complete.
pub(super) fn first(bytes: &[u8]) -> Result<Option<(usize, usize)>, NotTurn> {
    let Some(&first) = bytes.first() else {
        return Ok(None);
    };
    if first >= 0x80 {
        return Err(NotTurn);
    }
    if bytes.len() < HEADER {
        return Ok(None);
    }
    if first < 0x40 && bytes.get(4..8).is_some_and(|cookie| cookie != MAGIC_COOKIE) {
        return Err(NotTurn);
    }
    let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    let (frame, padded) = match first {
        // RFC 8489 section 5: attributes are padded, so the last two bits of the length are zero.
        0..0x40 if length % 4 != 0 => return Err(NotTurn),
        0..0x40 => (STUN_HEADER + length, STUN_HEADER + length),
        _ => (HEADER + length, HEADER + length.next_multiple_of(4)),
    };
    Ok((bytes.len() >= padded).then_some((frame, padded)))
}

/// Zeros that follow a frame in a stream.
pub(super) fn padding(frame: &[u8]) -> &'static [u8] {
    &[0; 3][..frame.len().next_multiple_of(4) - frame.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_where_they_end() {
        let stun = |length: u16| {
            [
                &[0, 1][..],
                &length.to_be_bytes(),
                &MAGIC_COOKIE,
                &[0; 12 + 8],
            ]
            .concat()
        };
        let data = |length: u16| [&[0x40, 1][..], &length.to_be_bytes(), &[0; 8]].concat();
        for (name, bytes, expected) in [
            ("nothing", vec![], Ok(None)),
            ("half a header", vec![0, 1, 0], Ok(None)),
            ("a message", stun(8), Ok(Some((28, 28)))),
            ("an empty message", stun(0), Ok(Some((20, 20)))),
            ("half a message", stun(12), Ok(None)),
            ("an odd message", stun(7), Err(NotTurn)),
            ("channel data", data(8), Ok(Some((12, 12)))),
            ("padded channel data", data(5), Ok(Some((9, 12)))),
            (
                "channel data without its padding",
                data(5)[..9].to_vec(),
                Ok(None),
            ),
            ("something else", vec![0x80], Err(NotTurn)),
            ("TLS in TLS", vec![0x16, 3, 1, 0], Ok(None)),
            (
                "a message without cookie",
                vec![0, 1, 0, 0, 1, 2, 3, 4],
                Err(NotTurn),
            ),
            // It begins like channel data of 8,239 bytes.
            ("HTTP", b"GET / HTTP/1.1\r\n".to_vec(), Ok(None)),
        ] {
            assert_eq!(first(&bytes), expected, "{name}");
        }
        assert_eq!(padding(&[0; 9]), [0; 3]);
        assert!(padding(&[0; 8]).is_empty());
    }
}
