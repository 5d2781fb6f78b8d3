//! STUN messages and channel data in a stream (RFC 8656 section 12.5): both say how long they are, and
//! channel data is padded to four bytes.

/// Bytes before anything is known about the length of what follows.
const HEADER: usize = 4;
/// A STUN header (RFC 8489 section 5), and what is in its bytes 4 to 8.
const STUN_HEADER: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// What came is neither a STUN message nor channel data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotTurn;

/// The first frame in `bytes`: its length without and with padding, or `None` while it is not complete.
pub(super) fn first(bytes: &[u8]) -> Result<Option<(usize, usize)>, NotTurn> {
    let Some(&first) = bytes.first() else {
        return Ok(None);
    };
    let is_message = first < 0x40;
    let no_cookie = bytes.get(4..8).is_some_and(|cookie| cookie != MAGIC_COOKIE);
    if first >= 0x80 || is_message && no_cookie {
        return Err(NotTurn);
    }
    if bytes.len() < HEADER {
        return Ok(None);
    }
    let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    let (frame, padded) = match is_message {
        true if length % 4 != 0 => return Err(NotTurn),
        true => (STUN_HEADER + length, STUN_HEADER + length),
        false => (HEADER + length, HEADER + length.next_multiple_of(4)),
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
    use proptest::prelude::*;

    #[test]
    fn what_is_no_frame_is_refused_and_what_is_half_a_frame_waits() {
        let stun = [&[0, 1, 0, 8][..], &MAGIC_COOKIE, &[0; 20]].concat();
        let data = [&[0x40, 1, 0, 5][..], &[0; 8]].concat();
        for (bytes, expected) in [
            (&stun[..], Ok(Some((28, 28)))),
            (&stun[..27], Ok(None)),
            (&stun[..3], Ok(None)),
            (&data[..], Ok(Some((9, 12)))),
            (&data[..9], Ok(None)),
            (&[0, 1, 0, 7], Err(NotTurn)),
            (&[0, 1, 0, 8, 1, 2, 3, 4], Err(NotTurn)),
            (&[0x80], Err(NotTurn)),
            (&[], Ok(None)),
        ] {
            assert_eq!(first(bytes), expected, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn a_frame_is_never_longer_than_what_came(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some((frame, padded))) = first(&bytes) {
                prop_assert!(0 < frame && frame <= padded && padded <= bytes.len());
                prop_assert_eq!(padding(&bytes[..frame]).len(), padded - frame);
            }
        }
    }
}
