//! Writing EBML elements (RFC 8794).

/// A size that is not known yet, eight bytes long.
pub(crate) const UNKNOWN_SIZE: [u8; 8] = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/// Appends an element with these bytes.
pub(crate) fn put(out: &mut Vec<u8>, id: u32, body: &[u8]) {
    put_id(out, id);
    put_size(out, body.len() as u64);
    out.extend_from_slice(body);
}

/// Appends an unsigned integer.
pub(crate) fn put_uint(out: &mut Vec<u8>, id: u32, value: u64) {
    let bytes = value.to_be_bytes();
    let skipped = (value.leading_zeros() / 8).min(7) as usize;
    put(out, id, &bytes[skipped..]);
}

/// Appends a 64-bit float.
pub(crate) fn put_float(out: &mut Vec<u8>, id: u32, value: f64) {
    put(out, id, &value.to_be_bytes());
}

/// Appends the id of an element.
pub(crate) fn put_id(out: &mut Vec<u8>, id: u32) {
    let bytes = id.to_be_bytes();
    let skipped = (id.leading_zeros() / 8) as usize;
    out.extend_from_slice(&bytes[skipped..]);
}

/// Appends a size as short as it can be (RFC 8794 section 4).
pub(crate) fn put_size(out: &mut Vec<u8>, size: u64) {
    for length in 1..=8u32 {
        // All ones would mean "unknown".
        if size < (1 << (7 * length)) - 1 {
            let marked = size | 1 << (7 * length);
            out.extend_from_slice(&marked.to_be_bytes()[8 - length as usize..]);
            return;
        }
    }
}

/// A size in eight bytes, to be written over [`UNKNOWN_SIZE`].
pub(crate) fn long_size(size: u64) -> [u8; 8] {
    (size | 1 << 56).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_short_as_they_can_be() {
        let size = |size| {
            let mut out = Vec::new();
            put_size(&mut out, size);
            out
        };
        assert_eq!(size(5), [0x85]);
        assert_eq!(size(126), [0xfe]);
        assert_eq!(size(127), [0x40, 0x7f]);
        assert_eq!(size(500), [0x41, 0xf4]);
        let mut out = Vec::new();
        put_uint(&mut out, 0x2a_d7b1, 1_000_000);
        assert_eq!(out, [0x2a, 0xd7, 0xb1, 0x83, 0x0f, 0x42, 0x40]);
        let mut out = Vec::new();
        put_uint(&mut out, 0xd7, 0);
        assert_eq!(out, [0xd7, 0x81, 0]);
        assert_eq!(long_size(3), [1, 0, 0, 0, 0, 0, 0, 3]);
    }
}
