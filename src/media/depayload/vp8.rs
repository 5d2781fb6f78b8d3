//! RFC 7741 section 4.2.

use super::{Malformed, Piece};

pub(super) fn unpack(payload: &[u8]) -> Result<Piece<'_>, Malformed> {
    let byte = |at: usize| payload.get(at).copied().ok_or(Malformed);
    let first = byte(0)?;
    let mut at = 1;
    if first & 0x80 != 0 {
        let extensions = byte(1)?;
        at += 1;
        if extensions & 0x80 != 0 {
            at += if byte(at)? & 0x80 != 0 { 2 } else { 1 };
        }
        if extensions & 0x40 != 0 {
            at += 1;
        }
        if extensions & 0x30 != 0 {
            at += 1;
        }
    }
    let data = payload.get(at..).filter(|data| !data.is_empty());
    Ok(Piece {
        begins: first & 0x10 != 0 && first & 0x07 == 0,
        data: data.ok_or(Malformed)?,
    })
}
