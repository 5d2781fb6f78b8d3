//! An H.264 byte stream (H.264 annex B), cut into access units.
//!
//! It has no times: pictures are 1/30 s apart.

use super::{Codec, Frame, MAX_FRAME, invalid};
use crate::media::codec::nal_type;
use std::io::{self, Read};
use std::time::Duration;

/// Pictures a second, as nothing in the stream has to say it.
const RATE: u64 = 30;

const CHUNK: usize = 16 << 10;

#[derive(Debug)]
pub(crate) struct AnnexB<R> {
    input: R,
    /// What is read and not yet cut, from behind a start code on once there was one.
    buffer: Vec<u8>,
    begun: bool,
    ended: bool,
    /// So much of `buffer` holds no start code.
    searched: usize,
    picture: Vec<u8>,
    has_slice: bool,
    pictures: u64,
}

impl<R: Read> AnnexB<R> {
    pub(crate) fn new(input: R) -> Self {
        Self {
            input,
            buffer: Vec::new(),
            begun: false,
            ended: false,
            searched: 0,
            picture: Vec::new(),
            has_slice: false,
            pictures: 0,
        }
    }

    pub(crate) fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            let Some(unit) = self.unit()? else {
                let is_whole = std::mem::take(&mut self.has_slice);
                let picture = std::mem::take(&mut self.picture);
                return Ok(is_whole.then(|| self.frame(picture)));
            };
            let done = (self.has_slice && begins_picture(&unit))
                .then(|| std::mem::take(&mut self.picture));
            self.has_slice &= done.is_none();
            self.has_slice |= matches!(nal_type(&unit), Some(1..=5));
            self.picture.extend([0, 0, 0, 1]);
            self.picture.extend(unit);
            if self.picture.len() > MAX_FRAME {
                return Err(invalid("a picture of the H.264 stream is too large"));
            }
            if let Some(picture) = done {
                return Ok(Some(self.frame(picture)));
            }
        }
    }

    /// The next NAL unit, without start code; `None` at the end.
    fn unit(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let found = self.buffer[self.searched..]
                .windows(3)
                .position(|window| window == [0, 0, 1]);
            if let Some(found) = found {
                let mut unit = self.buffer.split_off(self.searched + found + 3);
                std::mem::swap(&mut unit, &mut self.buffer);
                unit.truncate(self.searched + found);
                self.searched = 0;
                let begun = std::mem::replace(&mut self.begun, true);
                if let Some(unit) = trimmed(unit).filter(|_| begun) {
                    return Ok(Some(unit));
                }
                continue;
            }
            if self.ended {
                self.searched = 0;
                let rest = std::mem::take(&mut self.buffer);
                return Ok(trimmed(rest).filter(|_| self.begun));
            }
            // A start code may lie across two reads.
            self.searched = self.buffer.len().saturating_sub(2);
            if self.buffer.len() > MAX_FRAME {
                return Err(invalid("a unit of the H.264 stream is too large"));
            }
            let mut chunk = vec![0; CHUNK];
            let read = self.input.read(&mut chunk)?;
            self.ended = read == 0;
            self.buffer.extend_from_slice(&chunk[..read]);
        }
    }

    fn frame(&mut self, data: Vec<u8>) -> Frame {
        let time = Duration::from_nanos(self.pictures * 1_000_000_000 / RATE);
        self.pictures += 1;
        Frame {
            time,
            key: Codec::H264.is_key(&data),
            data: data.into(),
        }
    }
}

/// Without trailing zeros, which belong to the next start code; `None` if nothing is left.
fn trimmed(mut unit: Vec<u8>) -> Option<Vec<u8>> {
    let length = unit.iter().rposition(|byte| *byte != 0)? + 1;
    unit.truncate(length);
    Some(unit)
}

/// Whether a unit behind a slice belongs to the next picture (H.264 section 7.4.1.2.3): parameter sets,
/// delimiters and SEI do, and a slice that begins with the first macroblock.
fn begins_picture(unit: &[u8]) -> bool {
    match nal_type(unit) {
        Some(1 | 2 | 5) => unit.get(1).is_some_and(|first| first & 0x80 != 0),
        Some(6..=9 | 14..=18) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_several_units_are_told_apart() {
        let stream = [
            &[
                0u8, 0, 0, 1, 0x09, 0x10, 0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2,
            ][..],
            // An IDR picture of two slices, then two more pictures, one without a delimiter.
            &[0, 0, 1, 0x65, 0x88, 3, 0, 0, 1, 0x65, 0x40, 4],
            &[0, 0, 0, 1, 0x41, 0x9a, 5],
            &[0, 0, 0, 1, 0x09, 0x30, 0, 0, 1, 0x41, 0x9a, 6],
        ]
        .concat();
        // Read in pieces of any size.
        for size in [1, 3, 7, 1000] {
            struct Slow<'a>(&'a [u8], usize);
            impl Read for Slow<'_> {
                fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                    let size = self.1.min(buffer.len());
                    self.0.read(&mut buffer[..size])
                }
            }
            let mut reader = AnnexB::new(Slow(&stream, size));
            let mut pictures = Vec::new();
            while let Some(frame) = reader.next().unwrap() {
                pictures.push((frame.key, frame.time.as_millis(), frame.data.len()));
            }
            assert_eq!(pictures, [(true, 0, 32), (false, 33, 7), (false, 66, 13)]);
        }
    }
}
