//! Picture numbers in VP8's payload descriptor (RFC 7741 section 4.2). Each layer of a simulcast counts its own; a decoder
//! drops what seems to be old, so when a receiver gets another layer the numbers have to go on.

use bytes::{Bytes, BytesMut};

/// `PictureID` has 15 bits, or 7 that nobody uses who counts more than 127.
const PICTURES: u16 = 0x7fff;

/// The numbers of one packet's picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) picture: u16,
    /// `TL0PICIDX`, pictures of the base layer in time.
    pub(super) base: u8,
}

/// What is added to the numbers of a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Offset {
    picture: u16,
    base: u8,
}

impl Offset {
    /// So that `next` follows `last`.
    pub(super) fn between(last: Numbers, next: Numbers) -> Self {
        Self {
            picture: last.picture.wrapping_add(1).wrapping_sub(next.picture) & PICTURES,
            base: last.base.wrapping_add(1).wrapping_sub(next.base),
        }
    }

    pub(super) fn apply(self, numbers: Numbers) -> Numbers {
        Numbers {
            picture: numbers.picture.wrapping_add(self.picture) & PICTURES,
            base: numbers.base.wrapping_add(self.base),
        }
    }

    /// The payload with other numbers; the same bytes if they do not change.
    pub(super) fn rewrite(self, payload: &Bytes) -> Bytes {
        let Some((numbers, places)) = find(payload).filter(|_| self != Self::default()) else {
            return payload.clone();
        };
        let out = self.apply(numbers);
        let mut bytes = BytesMut::from(&payload[..]);
        let [high, low] = out.picture.to_be_bytes();
        bytes[places.picture] = 0x80 | high;
        bytes[places.picture + 1] = low;
        if let Some(base) = places.base {
            bytes[base] = out.base;
        }
        bytes.freeze()
    }
}

struct Places {
    picture: usize,
    base: Option<usize>,
}

/// The numbers of a payload, if it has any that are 15 bits long.
pub(super) fn numbers(payload: &[u8]) -> Option<Numbers> {
    find(payload).map(|(numbers, _)| numbers)
}

fn find(payload: &[u8]) -> Option<(Numbers, Places)> {
    let [first, extensions, high, low, ..] = *payload else {
        return None;
    };
    if first & 0x80 == 0 || extensions & 0x80 == 0 || high & 0x80 == 0 {
        return None;
    }
    let base = (extensions & 0x40 != 0).then_some(4);
    let numbers = Numbers {
        picture: u16::from_be_bytes([high & 0x7f, low]),
        base: base.map_or(Some(0), |at| payload.get(at).copied())?,
    };
    Some((numbers, Places { picture: 2, base }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_go_on_across_their_ends() {
        let last = Numbers {
            picture: 0x7fff,
            base: 255,
        };
        let payload = Bytes::from_static(&[0x90, 0xe0, 0x92, 0x34, 7, 0, 1, 2]);
        let next = numbers(&payload).unwrap();
        assert_eq!(
            next,
            Numbers {
                picture: 0x1234,
                base: 7
            }
        );
        let offset = Offset::between(last, next);
        let out = offset.rewrite(&payload);
        assert_eq!(&out[..], &[0x90, 0xe0, 0x80, 0x00, 0, 0, 1, 2]);
        assert_eq!(
            Offset::default().rewrite(&payload).as_ptr(),
            payload.as_ptr()
        );
        let without = Bytes::from_static(&[0x10, 1, 2, 3, 4]);
        assert_eq!(offset.rewrite(&without), without);
    }

    proptest! {
        #[test]
        fn any_payload_keeps_its_length(payload in proptest::collection::vec(any::<u8>(), 0..9), picture: u16, base: u8) {
            let payload = Bytes::from(payload);
            let offset = Offset { picture: picture & PICTURES, base };
            prop_assert_eq!(offset.rewrite(&payload).len(), payload.len());
        }
    }
}
