//! RFC 9628 section 4.2.

use super::{Malformed, Piece};

pub(super) fn unpack(payload: &[u8]) -> Result<Piece<'_>, Malformed> {
    let mut rest = payload;
    let mut byte = || -> Result<u8, Malformed> {
        let (first, after) = rest.split_first().ok_or(Malformed)?;
        rest = after;
        Ok(*first)
    };
    let head = byte()?;
    let [
        has_id,
        is_inter,
        has_layers,
        flexible,
        begins,
        _,
        has_structure,
        _,
    ] = std::array::from_fn(|bit| head & (0x80 >> bit) != 0);
    if has_id && byte()? & 0x80 != 0 {
        byte()?;
    }
    let mut layer = 0;
    if has_layers {
        layer = byte()? >> 1 & 0x07;
        if !flexible {
            byte()?;
        }
    }
    if flexible && is_inter {
        // At most three references.
        let mut references = 0;
        while byte()? & 1 != 0 {
            references += 1;
            if references == 3 {
                return Err(Malformed);
            }
        }
    }
    if has_structure {
        let structure = byte()?;
        if structure & 0x10 != 0 {
            for _ in 0..4 * (usize::from(structure >> 5) + 1) {
                byte()?;
            }
        }
        if structure & 0x08 != 0 {
            for _ in 0..byte()? {
                for _ in 0..byte()? >> 2 & 0x03 {
                    byte()?;
                }
            }
        }
    }
    if rest.is_empty() {
        return Err(Malformed);
    }
    // A picture of several layers begins with the lowest, and is one frame to a decoder.
    Ok(Piece {
        begins: begins && layer == 0,
        data: rest,
    })
}
