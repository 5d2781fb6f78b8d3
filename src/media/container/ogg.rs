//! Ogg with Opus (RFC 3533, RFC 7845): the packets of the first Opus stream, timed by their own lengths.

use super::{Frame, fill, invalid};
use crate::media::codec::opus_ticks;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::time::Duration;

/// Largest packet: 120 ms at the highest rate take 8 KiB (RFC 7845 section 6 allows 61,440 bytes).
const MAX_PACKET: usize = 61_440;

/// Largest of the two headers, tags with pictures in them.
const MAX_HEADER: usize = 4 << 20;

/// `OpusHead` and `OpusTags`.
const HEADERS: u32 = 2;

#[derive(Debug)]
pub(crate) struct Ogg<R> {
    input: R,
    serial: Option<u32>,
    headers: u32,
    part: Vec<u8>,
    packets: VecDeque<Vec<u8>>,
    ticks: u64,
}

impl<R: Read> Ogg<R> {
    pub(crate) fn open(input: R) -> io::Result<Self> {
        let mut ogg = Self {
            input,
            serial: None,
            headers: 0,
            part: Vec::new(),
            packets: VecDeque::new(),
            ticks: 0,
        };
        while ogg.serial.is_none() {
            if !ogg.page()? {
                return Err(invalid("there is no Opus in the Ogg file"));
            }
        }
        Ok(ogg)
    }

    pub(crate) fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(packet) = self.packets.pop_front() {
                let Some(length) = opus_ticks(&packet) else {
                    continue;
                };
                let time = Duration::from_nanos(self.ticks * 1_000_000 / 48);
                self.ticks += u64::from(length);
                return Ok(Some(Frame {
                    data: packet.into(),
                    time,
                    key: true,
                }));
            }
            if !self.page()? {
                return Ok(None);
            }
        }
    }

    /// Reads one page; `false` at the end of the file.
    fn page(&mut self) -> io::Result<bool> {
        let mut header = [0; 27];
        if !fill(&mut self.input, &mut header)? {
            return Ok(false);
        }
        if &header[..5] != b"OggS\0" {
            return Err(invalid("the Ogg file is damaged"));
        }
        let begins = header[5] & 0x02 != 0;
        let serial = u32::from_le_bytes([header[14], header[15], header[16], header[17]]);
        let mut lacing = vec![0; usize::from(header[26])];
        if !fill(&mut self.input, &mut lacing)? {
            return Ok(false);
        }
        let size = lacing.iter().map(|length| usize::from(*length)).sum();
        let mut body = vec![0; size];
        if !fill(&mut self.input, &mut body)? {
            return Ok(false);
        }
        if begins && self.serial.is_none() && body.starts_with(b"OpusHead") {
            self.serial = Some(serial);
        }
        if self.serial == Some(serial) {
            self.take(&lacing, &body)?;
        }
        Ok(true)
    }

    fn take(&mut self, lacing: &[u8], mut body: &[u8]) -> io::Result<()> {
        for length in lacing {
            let (segment, rest) = body.split_at(usize::from(*length));
            body = rest;
            self.part.extend_from_slice(segment);
            let most = if self.headers < HEADERS {
                MAX_HEADER
            } else {
                MAX_PACKET
            };
            if self.part.len() > most {
                return Err(invalid("a packet of the Ogg file is too large"));
            }
            if *length == 255 {
                continue;
            }
            let packet = std::mem::take(&mut self.part);
            if self.headers < HEADERS {
                self.headers += 1;
            } else {
                self.packets.push_back(packet);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(serial: u32, begins: bool, packets: &[&[u8]]) -> Vec<u8> {
        let mut lacing = Vec::new();
        for packet in packets {
            lacing.extend(std::iter::repeat_n(255, packet.len() / 255));
            lacing.push((packet.len() % 255) as u8);
        }
        let mut out = b"OggS\0".to_vec();
        out.push(if begins { 2 } else { 0 });
        out.extend([0; 8]);
        out.extend(serial.to_le_bytes());
        out.extend([0; 8]);
        out.push(lacing.len() as u8);
        out.extend(lacing);
        out.extend(packets.concat());
        out
    }

    #[test]
    fn packets_of_the_opus_stream_follow_each_other() {
        let long = [&[0xfc][..], &[7; 600]].concat();
        let bytes = [
            page(9, true, &[b"theora"]),
            page(5, true, &[b"OpusHead..."]),
            page(5, false, &[b"OpusTags"]),
            page(9, false, &[b"picture"]),
            page(5, false, &[&long, &[0xfc, 1], &[], &[0x00, 2]]),
        ]
        .concat();
        let mut ogg = Ogg::open(bytes.as_slice()).unwrap();
        let mut frames = Vec::new();
        while let Some(frame) = ogg.next().unwrap() {
            frames.push((frame.data.len(), frame.time.as_millis()));
        }
        assert_eq!(frames, [(601, 0), (2, 20), (2, 40)]);
    }

    #[test]
    fn other_files_say_why() {
        let none = page(1, true, &[b"theora"]);
        for (bytes, reason) in [
            (none.clone(), "no Opus"),
            ([none, b"OggX".to_vec(), vec![0; 40]].concat(), "damaged"),
        ] {
            let error = Ogg::open(bytes.as_slice()).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}
