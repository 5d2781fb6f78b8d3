//! RTP Payload Format for AV1, version 1.0, section 4. What comes out has a size in each OBU, as files and
//! decoders want it.

use super::Malformed;
use crate::media::codec::{OBU_TEMPORAL_DELIMITER, leb128, put_leb128};
use bytes::BytesMut;

/// An OBU element that goes on in the next packet.
#[derive(Debug, Default)]
pub(super) struct Elements(Vec<u8>);

impl Elements {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn unpack(
        &mut self,
        payload: &[u8],
        begins: bool,
        frame: &mut BytesMut,
    ) -> Result<(), Malformed> {
        let (header, mut rest) = payload.split_first().ok_or(Malformed)?;
        let (continues, goes_on) = (header & 0x80 != 0, header & 0x40 != 0);
        // Without a count there may be any number of them.
        let count = usize::from(header >> 4 & 0x03);
        if continues == self.is_empty() || (continues && begins) {
            return Err(Malformed);
        }
        let mut index = 0;
        while !rest.is_empty() {
            index += 1;
            // With a count the last element has no length.
            let element = if index == count {
                std::mem::take(&mut rest)
            } else {
                let (length, after) = leb128(rest).ok_or(Malformed)?;
                let length = usize::try_from(length).map_err(|_| Malformed)?;
                let element = after.get(..length).ok_or(Malformed)?;
                rest = &after[length..];
                element
            };
            self.0.extend_from_slice(element);
            if !(rest.is_empty() && goes_on) {
                put_obu(frame, &self.0)?;
                self.0.clear();
            }
        }
        if index < count || (goes_on && self.is_empty()) {
            return Err(Malformed);
        }
        Ok(())
    }
}

fn put_obu(frame: &mut BytesMut, obu: &[u8]) -> Result<(), Malformed> {
    let first = *obu.first().ok_or(Malformed)?;
    if first >> 3 & 0x0f == OBU_TEMPORAL_DELIMITER {
        return Ok(());
    }
    if first & 0x02 != 0 {
        // Senders should leave the size out, and some do not.
        frame.extend_from_slice(obu);
        return Ok(());
    }
    let header = if first & 0x04 != 0 { 2 } else { 1 };
    let payload = obu.get(header..).ok_or(Malformed)?;
    let mut out = vec![first | 0x02];
    out.extend_from_slice(&obu[1..header]);
    put_leb128(&mut out, payload.len());
    frame.extend_from_slice(&out);
    frame.extend_from_slice(payload);
    Ok(())
}
