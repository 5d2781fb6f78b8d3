//! Right tags, for `fuzz/`: a fuzzer finds none.

use super::{ACK, DATA, HEADER, RepairKey, TAG, end};

/// A datagram of a peer that knows the key, whatever is in it.
pub(in crate::net::repair) fn tagged(is_data: bool, body: &[u8], key: &RepairKey) -> Vec<u8> {
    let mark = if is_data { DATA } else { ACK };
    let mut datagram = [&[mark][..], &[0; TAG], body].concat();
    let tag = match is_data {
        true => {
            let (signed, record) = body.split_at(body.len().min(HEADER - 1 - TAG));
            key.tag(mark, signed, end(record))
        }
        false => key.tag(mark, body, &[]),
    };
    datagram[1..1 + TAG].copy_from_slice(&tag);
    datagram
}
