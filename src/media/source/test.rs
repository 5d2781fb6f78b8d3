//! The built-in test picture and tone: encoded once (`scripts/test-clip`), so that they need neither a device
//! nor an encoder, and hardly any time.
//!
//! Two seconds that repeat: a picture that moves and turns white for 100 ms at the beginning of each second,
//! while the tone is there. What is seen and heard together was sent together.

use super::super::codec::{Codec, Kind};
use super::super::container::{self, Opened};
use super::super::error::MediaError;
use super::super::frame::Frame;
use std::io;
use std::time::Duration;

const PICTURE: &[u8] = include_bytes!("test.ivf");
const TONE: &[u8] = include_bytes!("test.ogg");

/// How long a round is.
const LENGTH: Duration = Duration::from_secs(2);

/// Repeats a clip.
#[derive(Debug)]
pub(super) struct Clip {
    codec: Codec,
    frames: Vec<Frame>,
    next: usize,
    rounds: u32,
}

impl Clip {
    pub(super) fn open(kind: Kind) -> Result<Self, MediaError> {
        let bytes = match kind {
            Kind::Audio => TONE,
            Kind::Video => PICTURE,
        };
        let damaged = |source| MediaError::Read {
            name: "test".into(),
            source,
        };
        let opened = container::open(Box::new(io::Cursor::new(bytes))).map_err(damaged)?;
        let Opened::Known(mut reader) = opened else {
            return Err(damaged(io::ErrorKind::InvalidData.into()));
        };
        let codec = reader.codec();
        let mut frames = Vec::new();
        while let Some(frame) = reader.next().map_err(damaged)? {
            if frame.time < LENGTH {
                frames.push(frame);
            }
        }
        if frames.is_empty() {
            return Err(damaged(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(Self {
            codec,
            frames,
            next: 0,
            rounds: 0,
        })
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    pub(super) fn next(&mut self) -> Frame {
        let frame = self.frames[self.next].clone();
        let time = frame.time + LENGTH * self.rounds;
        self.next += 1;
        if self.next == self.frames.len() {
            self.next = 0;
            self.rounds += 1;
        }
        Frame { time, ..frame }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_go_on_without_a_gap() {
        for (kind, step) in [(Kind::Video, 33_333), (Kind::Audio, 20_000)] {
            let mut clip = Clip::open(kind).unwrap();
            let mut last = clip.next();
            assert!(last.key && last.time == Duration::ZERO);
            let mut since_key = 0;
            for _ in 0..300 {
                let frame = clip.next();
                let gap = (frame.time - last.time).as_micros().abs_diff(step);
                assert!(gap < 1_000, "{kind}: {gap} us at {:?}", frame.time);
                since_key = if frame.key { 0 } else { since_key + 1 };
                assert!(
                    since_key < 15,
                    "a late viewer sees something within half a second"
                );
                last = frame;
            }
        }
    }
}
