//! The codecs that are offered, and what is read from their bits: key frames and picture sizes.
//!
//! Pure. Nothing is encoded or decoded here: frames pass through as they are.

mod bits;
mod picture;

use std::fmt;

pub use picture::Size;

/// What a track carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Audio => "audio",
            Self::Video => "video",
        })
    }
}

/// How a track is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// RFC 6716, 48 kHz, stereo.
    Opus,
    /// RFC 6386.
    Vp8,
    /// Profile 0.
    Vp9,
    /// Constrained baseline, as Annex B byte stream: a start code before each NAL unit.
    H264,
    /// Main profile, as low-overhead bit stream: a size in each OBU.
    Av1,
}

impl Codec {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 5] = [Self::Opus, Self::Vp8, Self::Vp9, Self::H264, Self::Av1];

    /// Sound or pictures.
    pub fn kind(self) -> Kind {
        match self {
            Self::Opus => Kind::Audio,
            _ => Kind::Video,
        }
    }

    /// Ticks of its RTP timestamps in a second.
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            _ => 90_000,
        }
    }

    /// Its name in descriptions, which compare it without regard to case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::H264 => "H264",
            Self::Av1 => "AV1",
        }
    }

    /// The codec of a name such as `VP8`, or of a type such as `video/VP8`.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.rsplit('/').next().unwrap_or(name);
        Self::ALL
            .into_iter()
            .find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    /// Whether a decoder can begin with this frame. Audio always can.
    pub fn is_key(self, frame: &[u8]) -> bool {
        match self {
            Self::Opus => true,
            Self::Vp8 => frame.first().is_some_and(|first| first & 1 == 0),
            Self::Vp9 => picture::vp9_is_key(frame),
            Self::H264 => nal_units(frame).any(|unit| nal_type(unit) == Some(5)),
            Self::Av1 => obus(frame).any(|obu| obu.kind == OBU_SEQUENCE_HEADER),
        }
    }

    /// The size of the picture, if this frame tells it: key frames do.
    pub fn size(self, frame: &[u8]) -> Option<Size> {
        match self {
            Self::Opus => None,
            Self::Vp8 => picture::vp8_size(frame),
            Self::Vp9 => picture::vp9_size(frame),
            Self::H264 => nal_units(frame)
                .find(|unit| nal_type(unit) == Some(7))
                .and_then(picture::h264_size),
            Self::Av1 => obus(frame)
                .find(|obu| obu.kind == OBU_SEQUENCE_HEADER)
                .and_then(|obu| picture::av1_size(obu.payload)),
        }
    }
}

/// How long an Opus packet sounds, in ticks of 48 kHz (RFC 6716 section 3.1); `None` if it is none.
pub fn opus_ticks(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let configuration = toc >> 3;
    let frame = match configuration {
        0..=11 => [480, 960, 1920, 2880][usize::from(configuration & 3)],
        12..=15 => [480, 960][usize::from(configuration & 1)],
        _ => [120, 240, 480, 960][usize::from(configuration & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3f),
    };
    // At most 120 ms (RFC 6716 section 3.4, R5).
    let ticks = frame * frames;
    (1..=5_760).contains(&ticks).then_some(ticks)
}

/// The NAL units of an Annex B byte stream, without start codes (H.264 annex B.1).
pub(crate) fn nal_units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = stream;
    // What is before the first start code is no unit.
    let mut begun = false;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let (unit, next) = match rest.windows(3).position(|w| w == [0, 0, 1]) {
                Some(at) => (&rest[..at], &rest[at + 3..]),
                None => (rest, &rest[rest.len()..]),
            };
            rest = next;
            let first = !std::mem::replace(&mut begun, true);
            // The zero byte of a longer start code, and trailing zeros.
            let end = unit
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |at| at + 1);
            if !first && end > 0 {
                return Some(&unit[..end]);
            }
        }
    })
}

/// The type of a NAL unit (H.264 table 7-1).
pub(crate) fn nal_type(unit: &[u8]) -> Option<u8> {
    unit.first().map(|first| first & 0x1f)
}

pub(crate) const OBU_SEQUENCE_HEADER: u8 = 1;
pub(crate) const OBU_TEMPORAL_DELIMITER: u8 = 2;
pub(crate) const OBU_TILE_LIST: u8 = 8;
pub(crate) const OBU_PADDING: u8 = 15;

/// One OBU (AV1 section 5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Obu<'a> {
    pub(crate) kind: u8,
    /// Header and extension, the bit for a size cleared.
    pub(crate) header: [u8; 2],
    pub(crate) header_len: usize,
    pub(crate) payload: &'a [u8],
}

/// The OBUs of a temporal unit; what does not hold together ends them.
pub(crate) fn obus(unit: &[u8]) -> impl Iterator<Item = Obu<'_>> {
    let mut rest = unit;
    std::iter::from_fn(move || {
        let first = *rest.first()?;
        let header_len = if first & 0x04 != 0 { 2 } else { 1 };
        let extension = if header_len == 2 { *rest.get(1)? } else { 0 };
        let body = rest.get(header_len..)?;
        let (payload, next) = if first & 0x02 != 0 {
            let (size, after) = leb128(body)?;
            let size = usize::try_from(size).ok()?;
            (after.get(..size)?, after.get(size..)?)
        } else {
            (body, &body[body.len()..])
        };
        rest = next;
        Some(Obu {
            kind: first >> 3 & 0x0f,
            header: [first & !0x02, extension],
            header_len,
            payload,
        })
    })
}

pub(crate) use bits::{leb128, put_leb128};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_found_in_any_case() {
        for (name, codec) in [
            ("video/vp8", Some(Codec::Vp8)),
            ("audio/OPUS", Some(Codec::Opus)),
            ("AV1", Some(Codec::Av1)),
            ("video/rtx", None),
            ("", None),
        ] {
            assert_eq!(Codec::named(name), codec, "{name}");
        }
    }

    #[test]
    fn units_of_a_byte_stream() {
        let stream = [
            0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 0, 1, 0x65, 9,
        ];
        let units: Vec<&[u8]> = nal_units(&stream).collect();
        assert_eq!(units, [&[0x67, 1, 2][..], &[0x68, 3], &[0x65, 9]]);
        assert!(Codec::H264.is_key(&stream));
        assert!(!Codec::H264.is_key(&stream[..12]));
        assert_eq!(nal_units(&[1, 2, 3]).count(), 0);
    }

    #[test]
    fn lengths_of_opus_packets() {
        for (packet, ticks) in [
            (&[0xfc, 1, 2][..], Some(960)),
            (&[0x00], Some(480)),
            (&[0x18 | 3, 2, 0], Some(5_760)),
            (&[0xff, 49], None),
            (&[0xff, 0], None),
            (&[0xff], None),
            (&[], None),
        ] {
            assert_eq!(opus_ticks(packet), ticks, "{packet:?}");
        }
    }

    #[test]
    fn obus_with_and_without_sizes() {
        let unit = [0x12, 0, 0x0a, 2, 7, 7, 0x30, 1, 2, 3];
        let kinds: Vec<_> = obus(&unit)
            .map(|obu| (obu.kind, obu.payload.len()))
            .collect();
        assert_eq!(kinds, [(2, 0), (1, 2), (6, 3)]);
        assert!(Codec::Av1.is_key(&unit));
        assert_eq!(obus(&[0x0a, 200, 1]).count(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(frame in proptest::collection::vec(any::<u8>(), 0..200)) {
            for codec in Codec::ALL {
                let _ = codec.is_key(&frame);
                let _ = codec.size(&frame);
            }
            let _ = opus_ticks(&frame);
        }
    }
}
