//! Files and packets of media, for `fuzz/`.

use super::Frame;
use super::codec::{Codec, opus_ticks};
use super::container::{self, Input, Opened};
use super::depayload::{Assembler, Encoded, key_frame};
use super::matroska::{Muxer, Track};
use super::packet::Packet;
use super::payload::{MAX_PAYLOAD, Packetizer};
use super::reorder::{Arrival, Reorder};
use super::source::fuzzing::pictures;
use crate::fuzzing::pieces;
use bytes::Bytes;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::time::{Duration, Instant};

/// A file, at once and in pieces: IVF, Ogg, H.264 by itself, or YUV4MPEG2.
pub fn media_container(data: &[u8]) {
    let whole = frames(Box::new(io::Cursor::new(data.to_vec())));
    let in_pieces = frames(Box::new(Pieces::of(data)));
    assert_eq!(in_pieces, whole);
    // A start code may grow by a byte; nothing else does.
    let bytes: usize = whole.iter().map(|frame| frame.data.len()).sum();
    assert!(bytes <= 2 * data.len());
    for codec in Codec::ALL {
        let _ = (codec.is_key(data), codec.size(data), opus_ticks(data));
    }
    pictures(data, Pieces::of(data));
}

/// As far as it can be read.
fn frames(input: Input) -> Vec<Frame> {
    let Ok(Opened::Known(mut reader)) = container::open(input) else {
        return Vec::new();
    };
    let mut frames = Vec::new();
    while let Ok(Some(frame)) = reader.next() {
        frames.push(frame);
    }
    frames
}

/// A reader that gives a few bytes at a time.
pub(super) struct Pieces(VecDeque<Vec<u8>>);

impl Pieces {
    fn of(data: &[u8]) -> Self {
        Self(pieces(data).map(<[u8]>::to_vec).collect())
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(piece) = self.0.front_mut() else {
            return Ok(0);
        };
        let length = piece.len().min(buffer.len());
        buffer[..length].copy_from_slice(&piece[..length]);
        piece.drain(..length);
        if piece.is_empty() {
            self.0.pop_front();
        }
        Ok(length)
    }
}

/// Packets of one codec. Each begins with a byte of flags, one that moves its number, and its length in two
/// bytes.
pub fn media_packets(data: &[u8]) {
    let Some((codec, mut rest)) = data.split_first() else {
        return;
    };
    let codec = Codec::ALL[usize::from(*codec) % Codec::ALL.len()];
    let (mut reorder, mut assembler) = (Reorder::default(), Assembler::new(codec));
    let mut now = Instant::now();
    let (mut sequence, mut timestamp) = (u16::MAX - 1, 0_u32);
    let (mut fed, mut came) = (0, 0);
    let mut muxer: Option<Muxer> = None;
    while let [flags, step, a, b, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*a, *b]) & 0x0fff);
        let (payload, after) = after.split_at(after.len().min(length));
        rest = after;
        // Most packets are in order.
        sequence = sequence.wrapping_add(if flags & 8 == 0 {
            1
        } else {
            u16::from(*step) << 8
        });
        timestamp = timestamp.wrapping_add(if flags & 2 == 0 { 0 } else { 3000 });
        now += Duration::from_millis(u64::from(flags >> 4));
        let _ = key_frame(codec, payload);
        fed += payload.len();
        reorder.push(
            now,
            Packet {
                sequence,
                timestamp,
                marker: flags & 1 == 1,
                payload: Bytes::copy_from_slice(payload),
            },
        );
        while let Some(arrival) = reorder.pop(now) {
            let encoded = match arrival {
                Arrival::Lost(_) => {
                    assembler.lost();
                    None
                }
                Arrival::Packet(packet) => assembler.push(&packet),
            };
            if let Some(encoded) = encoded {
                came += encoded.data.len();
                sent_again(codec, &encoded);
                record(codec, &mut muxer, &encoded);
            }
        }
    }
    // H.264 gets a start code of four bytes in front of a unit that may have one, AV1 a length.
    assert!(came <= 5 * fed);
    if let Some(muxer) = muxer {
        let (tail, patches) = muxer.finish(Duration::ZERO);
        assert!(patches.len() >= 2 && tail.len() < 1 << 20);
    }
}

/// What was assembled and is sent on arrives as the same.
fn sent_again(codec: Codec, encoded: &Encoded) {
    let arrived = |frame: &Bytes| {
        let mut assembler = Assembler::new(codec);
        let packets = Packetizer::new(codec).packets(frame, 0);
        if codec != Codec::Opus {
            assert!(
                packets
                    .iter()
                    .all(|packet| packet.payload.len() <= MAX_PAYLOAD)
            );
        }
        let arrived = packets.iter().filter_map(|packet| assembler.push(packet));
        arrived.last().map(|encoded| encoded.data)
    };
    if let Some(once) = arrived(&encoded.data) {
        assert_eq!(arrived(&once).as_ref(), Some(&once), "{codec:?}");
    }
}

fn record(codec: Codec, muxer: &mut Option<Muxer>, encoded: &Encoded) {
    let muxer = muxer.get_or_insert_with(|| {
        Muxer::begin(vec![Track::beginning(codec, &encoded.data)], "fuzz").0
    });
    let time = Duration::from_millis(u64::from(encoded.timestamp / 90));
    let cluster = muxer.frame(0, time, encoded.key, &encoded.data);
    assert!(cluster.len() <= 2 * encoded.data.len() + 64);
}
