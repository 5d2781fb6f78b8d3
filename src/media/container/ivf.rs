//! IVF: a header of 32 bytes, then frames behind 12 bytes each.

use super::{Codec, Frame, MAX_FRAME, fill, invalid};
use std::io::{self, Read};
use std::time::Duration;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 12;

#[derive(Debug)]
pub(crate) struct Ivf<R> {
    input: R,
    codec: Codec,
    /// A tick, as a fraction of seconds.
    tick: (u64, u64),
    /// The first time stamp: a stream may begin anywhere.
    first: Option<u64>,
}

impl<R: Read> Ivf<R> {
    pub(crate) fn open(mut input: R) -> io::Result<Self> {
        let mut header = [0; HEADER];
        if !fill(&mut input, &mut header)? {
            return Err(invalid("the IVF header is cut off"));
        }
        let codec = match &header[8..12] {
            b"VP80" => Codec::Vp8,
            b"VP90" => Codec::Vp9,
            b"AV01" => Codec::Av1,
            b"H264" => Codec::H264,
            _ => return Err(invalid("the codec in the IVF file is unknown")),
        };
        let number =
            |at: usize| u64::from(u32::from_le_bytes([0, 1, 2, 3].map(|i| header[at + i])));
        let (rate, scale) = (number(16), number(20));
        if rate == 0 || scale == 0 {
            return Err(invalid("the IVF file has no time base"));
        }
        // Some writers make the header longer.
        let length = usize::from(u16::from_le_bytes([header[6], header[7]]));
        let mut rest = vec![0; length.saturating_sub(HEADER)];
        fill(&mut input, &mut rest)?;
        Ok(Self {
            input,
            codec,
            tick: (scale, rate),
            first: None,
        })
    }

    pub(crate) fn codec(&self) -> Codec {
        self.codec
    }

    pub(crate) fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            let mut header = [0; FRAME_HEADER];
            if !fill(&mut self.input, &mut header)? {
                return Ok(None);
            }
            let [s0, s1, s2, s3, time @ ..] = header;
            let size = u32::from_le_bytes([s0, s1, s2, s3]) as usize;
            if size > MAX_FRAME {
                return Err(invalid("a frame of the IVF file is too large"));
            }
            let mut data = vec![0; size];
            if !fill(&mut self.input, &mut data)? {
                return Ok(None);
            }
            if size == 0 {
                continue;
            }
            let time = u64::from_le_bytes(time);
            let ticks = time.saturating_sub(*self.first.get_or_insert(time));
            let (scale, rate) = self.tick;
            let nanos = u128::from(ticks) * u128::from(scale) * 1_000_000_000 / u128::from(rate);
            return Ok(Some(Frame {
                time: Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)),
                key: self.codec.is_key(&data),
                data: data.into(),
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(codec: &[u8; 4], rate: u32, frames: &[(u64, &[u8])]) -> Vec<u8> {
        let mut out = b"DKIF\0\0\x20\0".to_vec();
        out.extend(codec);
        out.extend([0; 4]);
        out.extend(rate.to_le_bytes());
        out.extend(1u32.to_le_bytes());
        out.extend([0; 8]);
        for (time, data) in frames {
            out.extend((data.len() as u32).to_le_bytes());
            out.extend(time.to_le_bytes());
            out.extend(*data);
        }
        out
    }

    #[test]
    fn frames_with_their_times_up_to_where_the_file_is_whole() {
        let mut bytes = file(
            b"VP80",
            30,
            &[(10, &[0x10, 1]), (13, &[0x11]), (16, &[0x11, 2, 3])],
        );
        bytes.pop();
        let mut ivf = Ivf::open(bytes.as_slice()).unwrap();
        assert_eq!(ivf.codec(), Codec::Vp8);
        let first = ivf.next().unwrap().unwrap();
        assert!(first.key && first.time == Duration::ZERO);
        let second = ivf.next().unwrap().unwrap();
        assert!(!second.key && second.time == Duration::from_millis(100));
        assert_eq!(ivf.next().unwrap(), None);
    }

    #[test]
    fn what_is_no_such_file_says_why() {
        for (bytes, reason) in [
            (file(b"XXXX", 30, &[]), "codec"),
            (file(b"VP80", 0, &[]), "time base"),
            (b"DKIF\0".to_vec(), "cut off"),
        ] {
            let error = Ivf::open(bytes.as_slice()).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
        let mut huge = file(b"VP80", 30, &[]);
        huge.extend([0xff; 12]);
        let error = Ivf::open(huge.as_slice()).unwrap().next().unwrap_err();
        assert!(error.to_string().contains("too large"));
    }
}
