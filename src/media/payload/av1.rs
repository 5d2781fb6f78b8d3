//! RTP Payload Format for AV1, version 1.0, section 4: OBUs without sizes, each behind its length, as many
//! in a packet as there is room for.

use super::MAX_PAYLOAD;
use crate::media::codec::{
    OBU_PADDING, OBU_SEQUENCE_HEADER, OBU_TEMPORAL_DELIMITER, OBU_TILE_LIST, obus, put_leb128,
};
use bytes::Bytes;

/// Aggregation header: the first element goes on from the packet before, the last one goes on in the next.
const CONTINUES: u8 = 0x80;
const GOES_ON: u8 = 0x40;
/// A coded video sequence begins.
const BEGINS: u8 = 0x08;

/// Bytes of a length in front of an element: a packet is shorter than 2^14.
const LENGTH: usize = 2;

/// What must not be sent (section 5).
const UNSENT: [u8; 3] = [OBU_TEMPORAL_DELIMITER, OBU_TILE_LIST, OBU_PADDING];

pub(super) fn payloads(unit: &[u8]) -> Vec<Bytes> {
    let mut packets: Vec<Vec<u8>> = Vec::new();
    let mut begins = 0;
    for obu in obus(unit).filter(|obu| !UNSENT.contains(&obu.kind)) {
        if obu.kind == OBU_SEQUENCE_HEADER {
            begins = BEGINS;
        }
        let element = [&obu.header[..obu.header_len], obu.payload].concat();
        put(&element, &mut packets);
    }
    if let Some(first) = packets.first_mut() {
        first[0] |= begins;
    }
    packets.into_iter().map(Bytes::from).collect()
}

fn put(element: &[u8], packets: &mut Vec<Vec<u8>>) {
    let room = |packets: &[Vec<u8>]| {
        let used = packets.last().map_or(MAX_PAYLOAD, Vec::len);
        MAX_PAYLOAD.saturating_sub(used + LENGTH)
    };
    if room(packets) == 0 {
        packets.push(vec![0]);
    }
    let mut rest = element;
    while let Some(packet) = packets.last_mut() {
        let room = MAX_PAYLOAD.saturating_sub(packet.len() + LENGTH);
        let (part, after) = rest.split_at(rest.len().min(room));
        put_leb128(packet, part.len());
        packet.extend_from_slice(part);
        if after.is_empty() {
            return;
        }
        packet[0] |= GOES_ON;
        packets.push(vec![CONTINUES]);
        rest = after;
    }
}
