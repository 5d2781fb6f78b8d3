//! Sizes of pictures, and VP9's key frames.

use super::bits::Bits;

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// RFC 6386 section 9.1.
pub(super) fn vp8_size(frame: &[u8]) -> Option<Size> {
    let head = frame.get(..10)?;
    if head[0] & 1 != 0 || head[3..6] != [0x9d, 0x01, 0x2a] {
        return None;
    }
    let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    Some(Size {
        width: side(head[6], head[7]),
        height: side(head[8], head[9]),
    })
}

/// The bits behind `frame_type` of a key frame (VP9 section 6.2).
fn vp9_key(frame: &[u8]) -> Option<(Bits<'_>, u32)> {
    let mut bits = Bits::new(frame);
    if bits.take(2)? != 2 {
        return None;
    }
    let profile = bits.take(1)? | bits.take(1)? << 1;
    if profile == 3 {
        bits.bit()?;
    }
    let shows_existing = bits.bit()?;
    let is_inter = bits.bit()?;
    (!shows_existing && !is_inter).then_some((bits, profile))
}

pub(super) fn vp9_is_key(frame: &[u8]) -> bool {
    vp9_key(frame).is_some()
}

pub(super) fn vp9_size(frame: &[u8]) -> Option<Size> {
    let (mut bits, profile) = vp9_key(frame)?;
    // show_frame, error_resilient_mode, frame_sync_code
    bits.take(2)?;
    if bits.take(24)? != 0x49_83_42 {
        return None;
    }
    if profile >= 2 {
        bits.bit()?;
    }
    const RGB: u32 = 7;
    if bits.take(3)? == RGB {
        if profile & 1 == 1 {
            bits.bit()?;
        }
    } else {
        bits.bit()?;
        if profile & 1 == 1 {
            bits.take(3)?;
        }
    }
    Some(Size {
        width: bits.take(16)? + 1,
        height: bits.take(16)? + 1,
    })
}

/// H.264 section 7.3.2.1.1, `unit` being a sequence parameter set.
pub(super) fn h264_size(unit: &[u8]) -> Option<Size> {
    let mut rbsp = Vec::with_capacity(unit.len());
    for byte in unit.get(1..)? {
        // emulation_prevention_three_byte
        if *byte == 3 && rbsp.ends_with(&[0, 0]) {
            continue;
        }
        rbsp.push(*byte);
    }
    let mut bits = Bits::new(&rbsp);
    let profile = bits.take(8)?;
    bits.take(16)?;
    bits.exp_golomb()?;
    let mut chroma = 1;
    if [100, 110, 122, 244, 44, 83, 86, 118, 128].contains(&profile) {
        chroma = bits.exp_golomb()?;
        if chroma == 3 {
            bits.bit()?;
        }
        bits.exp_golomb()?;
        bits.exp_golomb()?;
        bits.bit()?;
        if bits.bit()? {
            // Scaling matrices are never used by what we pass through.
            return None;
        }
    }
    bits.exp_golomb()?;
    match bits.exp_golomb()? {
        0 => drop(bits.exp_golomb()?),
        1 => {
            bits.bit()?;
            bits.skip_signed()?;
            bits.skip_signed()?;
            for _ in 0..bits.exp_golomb()?.min(255) {
                bits.skip_signed()?;
            }
        }
        _ => {}
    }
    bits.exp_golomb()?;
    bits.bit()?;
    let columns = bits.exp_golomb()?.checked_add(1)?;
    let rows = bits.exp_golomb()?.checked_add(1)?;
    let fields = if bits.bit()? { 1 } else { 2 };
    if fields == 2 {
        bits.bit()?;
    }
    bits.bit()?;
    let mut crop = [0; 4];
    if bits.bit()? {
        for side in &mut crop {
            *side = bits.exp_golomb()?;
        }
    }
    let (unit_x, unit_y) = match chroma {
        0 | 3 => (1, fields),
        2 => (2, fields),
        _ => (2, 2 * fields),
    };
    let cut = |unit: u32, near: u32, far: u32| unit.checked_mul(near.checked_add(far)?);
    let width = columns.checked_mul(16)?;
    let height = rows.checked_mul(16)?.checked_mul(fields)?;
    Some(Size {
        width: width.checked_sub(cut(unit_x, crop[0], crop[1])?)?,
        height: height.checked_sub(cut(unit_y, crop[2], crop[3])?)?,
    })
}

/// AV1 section 5.5, `payload` being that of a sequence header OBU.
pub(super) fn av1_size(payload: &[u8]) -> Option<Size> {
    let mut bits = Bits::new(payload);
    bits.take(4)?;
    let reduced = bits.bit()?;
    if reduced {
        bits.take(5)?;
    } else {
        let mut delay_length = None;
        if bits.bit()? {
            // timing_info: two 32-bit numbers, equal_picture_interval
            bits.take(32)?;
            bits.take(32)?;
            if bits.bit()? {
                bits.skip_uvlc()?;
            }
            if bits.bit()? {
                delay_length = Some(bits.take(5)? + 1);
                bits.take(32)?;
                bits.take(10)?;
            }
        }
        let has_delay = bits.bit()?;
        for _ in 0..=bits.take(5)? {
            bits.take(12)?;
            if bits.take(5)? > 7 {
                bits.bit()?;
            }
            if let Some(length) = delay_length
                && bits.bit()?
            {
                bits.take(length)?;
                bits.take(length)?;
                bits.bit()?;
            }
            if has_delay && bits.bit()? {
                bits.take(4)?;
            }
        }
    }
    let (width_bits, height_bits) = (bits.take(4)? + 1, bits.take(4)? + 1);
    Some(Size {
        width: bits.take(width_bits)? + 1,
        height: bits.take(height_bits)? + 1,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Codec;
    use super::*;

    #[test]
    fn sizes_of_real_headers() {
        let size = |width, height| Some(Size { width, height });
        let vp8 = [0x50, 0x42, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];
        assert_eq!(Codec::Vp8.size(&vp8), size(640, 360));
        // 1280x720 baseline, as x264 writes it.
        let h264 = [
            0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x00, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00,
            0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x24, 0x80,
        ];
        assert_eq!(Codec::H264.size(&h264), size(1280, 720));
        // Marker 10, profile 0, shown key frame, sync code, 8-bit BT.601, 352x288.
        let vp9 = [0x82, 0x49, 0x83, 0x42, 0x20, 0x15, 0xf0, 0x11, 0xf0];
        assert_eq!(Codec::Vp9.size(&vp9), size(352, 288));
        assert!(Codec::Vp9.is_key(&vp9));
        assert!(!Codec::Vp9.is_key(&[0x86, 0, 0]));
    }
}
