//! RFC 6184, packetization mode 1: small units alone, large ones as FU-A. Parameter sets go with every key
//! frame that has them.

use super::MAX_PAYLOAD;
use crate::media::codec::{nal_type, nal_units};
use bytes::Bytes;

/// Access unit delimiter and filler data (H.264 table 7-1), which say nothing to a receiver.
const SILENT: [u8; 2] = [9, 12];

pub(super) fn payloads(frame: &[u8]) -> Vec<Bytes> {
    let mut payloads = Vec::new();
    for unit in nal_units(frame) {
        match nal_type(unit) {
            Some(1..=23) if unit.len() == 1 => {}
            Some(kind @ 1..=23) if !SILENT.contains(&kind) => put(unit, &mut payloads),
            _ => {}
        }
    }
    payloads
}

fn put(unit: &[u8], payloads: &mut Vec<Bytes>) {
    if unit.len() <= MAX_PAYLOAD {
        payloads.push(Bytes::copy_from_slice(unit));
        return;
    }
    let indicator = unit[0] & 0xe0 | 28;
    let kind = unit[0] & 0x1f;
    let parts = unit[1..].chunks(MAX_PAYLOAD - 2);
    let last = parts.len() - 1;
    for (index, part) in parts.enumerate() {
        let mut header = kind;
        header |= if index == 0 { 0x80 } else { 0 };
        header |= if index == last { 0x40 } else { 0 };
        payloads.push([&[indicator, header], part].concat().into());
    }
}
