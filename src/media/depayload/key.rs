//! Whether a packet is the beginning of a key frame, without putting the frame together.

use super::{av1, h264, vp8, vp9};
use crate::media::codec::{Codec, Size};
use bytes::BytesMut;

/// The beginning of a key frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyFrame {
    /// How large its picture is, if the packet says it.
    pub size: Option<Size>,
}

/// What a packet begins, if that is a key frame. A packet of sound always is one. With H.264, several packets of
/// one key frame can say yes; the first of them is the beginning.
pub fn key_frame(codec: Codec, payload: &[u8]) -> Option<KeyFrame> {
    let at_beginning = |piece: super::Piece<'_>| {
        let is_key = piece.begins && codec.is_key(piece.data);
        is_key.then(|| KeyFrame {
            size: codec.size(piece.data),
        })
    };
    match codec {
        Codec::Opus => Some(KeyFrame { size: None }),
        Codec::Vp8 => vp8::unpack(payload).ok().and_then(at_beginning),
        Codec::Vp9 => vp9::unpack(payload).ok().and_then(at_beginning),
        Codec::H264 => h264_key(payload),
        Codec::Av1 => av1_key(payload),
    }
}

/// Instantaneous picture, parameter set of a sequence (H.264 table 7-1).
const IDR: u8 = 5;
const SPS: u8 = 7;

fn h264_key(payload: &[u8]) -> Option<KeyFrame> {
    // The first part of a unit in parts tells its type.
    if let [indicator, header, ..] = payload
        && indicator & 0x1f == h264::FU_A
    {
        let is_key = header & 0x80 != 0 && header & 0x1f == IDR;
        return is_key.then_some(KeyFrame { size: None });
    }
    let mut units = BytesMut::new();
    let mut fragments = h264::Fragments::default();
    fragments.unpack(payload, &mut units).ok()?;
    let kinds = crate::media::codec::nal_units(&units);
    let is_key = kinds
        .filter_map(crate::media::codec::nal_type)
        .any(|kind| kind == IDR || kind == SPS);
    is_key.then(|| KeyFrame {
        size: Codec::H264.size(&units),
    })
}

fn av1_key(payload: &[u8]) -> Option<KeyFrame> {
    // Z and N of the aggregation header: nothing goes on, and a coded video sequence begins.
    let header = payload.first()?;
    if header & 0x88 != 0x08 {
        return None;
    }
    let mut unit = BytesMut::new();
    // What comes in parts is not needed for the size.
    let _ = av1::Elements::default().unpack(payload, true, &mut unit);
    Some(KeyFrame {
        size: Codec::Av1.size(&unit),
    })
}
