//! Reading bits and numbers of variable length.

/// Reads from the most significant bit on. Beyond the end there is nothing.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn bit(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// Up to 32 bits.
    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | u32::from(self.bit()?);
        }
        Some(value)
    }

    /// `ue(v)` of H.264 section 9.1.
    pub(super) fn exp_golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.take(zeros)?;
        Some((1u32 << zeros) - 1 + rest)
    }

    /// `se(v)`, of which only the length matters here.
    pub(super) fn skip_signed(&mut self) -> Option<()> {
        self.exp_golomb().map(|_| ())
    }

    /// `uvlc()` of AV1 section 4.10.3, of which only the length matters here.
    pub(super) fn skip_uvlc(&mut self) -> Option<()> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros >= 32 {
                return Some(());
            }
        }
        self.take(zeros).map(|_| ())
    }
}

/// An unsigned LEB128 number (AV1 section 4.10.5) and what follows it.
pub(crate) fn leb128(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

/// Appends an unsigned LEB128 number.
pub(crate) fn put_leb128(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 & 0x7f | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_variable_length() {
        for value in [0usize, 1, 127, 128, 300, 1 << 20] {
            let mut out = Vec::new();
            put_leb128(&mut out, value);
            out.push(9);
            assert_eq!(leb128(&out), Some((value as u64, &[9][..])));
        }
        assert_eq!(leb128(&[0x80; 9]), None);
        // 1, 010, 011, 00100
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0000]);
        let numbers: Vec<_> = (0..4).map(|_| bits.exp_golomb()).collect();
        assert_eq!(numbers, [Some(0), Some(1), Some(2), Some(3)]);
        assert_eq!(Bits::new(&[0; 8]).exp_golomb(), None);
    }
}
