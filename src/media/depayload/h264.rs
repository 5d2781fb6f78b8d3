//! RFC 6184: single NAL units, STAP-A and FU-A, which is all that packetization mode 1 allows.

use super::Malformed;
use bytes::{BufMut, BytesMut};

const STAP_A: u8 = 24;
pub(super) const FU_A: u8 = 28;

/// A NAL unit that came in parts.
#[derive(Debug, Default)]
pub(super) struct Fragments(BytesMut);

impl Fragments {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Appends what is whole to `frame`, each unit behind a start code.
    pub(super) fn unpack(&mut self, payload: &[u8], frame: &mut BytesMut) -> Result<(), Malformed> {
        let (first, rest) = payload.split_first().ok_or(Malformed)?;
        match first & 0x1f {
            _ if !self.is_empty() && first & 0x1f != FU_A => Err(Malformed),
            1..=23 => {
                put_unit(frame, payload);
                Ok(())
            }
            STAP_A => {
                let mut rest = rest;
                while !rest.is_empty() {
                    let (length, after) = rest.split_first_chunk::<2>().ok_or(Malformed)?;
                    let length = usize::from(u16::from_be_bytes(*length));
                    let unit = after.get(..length).filter(|unit| !unit.is_empty());
                    put_unit(frame, unit.ok_or(Malformed)?);
                    rest = &after[length..];
                }
                Ok(())
            }
            FU_A => {
                let (header, part) = rest.split_first().ok_or(Malformed)?;
                let (starts, ends) = (header & 0x80 != 0, header & 0x40 != 0);
                if starts != self.is_empty() || part.is_empty() {
                    return Err(Malformed);
                }
                if starts {
                    self.0.put_u8(first & 0xe0 | header & 0x1f);
                }
                self.0.put_slice(part);
                if ends {
                    put_unit(frame, &self.0);
                    self.0.clear();
                }
                Ok(())
            }
            _ => Err(Malformed),
        }
    }
}

fn put_unit(frame: &mut BytesMut, unit: &[u8]) {
    frame.put_slice(&[0, 0, 0, 1]);
    frame.put_slice(unit);
}
