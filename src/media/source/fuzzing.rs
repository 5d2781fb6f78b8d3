//! Pictures of YUV4MPEG2, for `fuzz/`.

use super::y4m::Pictures;
use std::io::{BufReader, Read};

/// Reads pictures at once and in pieces.
pub(in crate::media) fn pictures(data: &[u8], in_pieces: impl Read) {
    let Ok(Some(mut whole)) = Pictures::open(data) else {
        return;
    };
    let pieces = Pictures::open(BufReader::new(in_pieces));
    let mut pieces = pieces.ok().flatten().expect("the same header");
    assert_eq!(pieces.header(), whole.header());
    let (mut picture, mut other) = (Vec::new(), Vec::new());
    loop {
        let next = whole.next(&mut picture).ok();
        assert_eq!(pieces.next(&mut other).ok(), next);
        if next != Some(true) {
            return;
        }
        assert!(picture == other && picture.len() <= data.len());
    }
}
