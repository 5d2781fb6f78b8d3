//! Where frames come from: a test picture and tone, files, devices, anything `ffmpeg` reads.
//!
//! What is encoded in a way that can be sent is passed through; everything else is encoded by `ffmpeg`, pictures at the rate
//! that the path carries ([`Source::path_carries`]). Files are
//! read by a thread of their own, ahead of time by a few frames; it ends with its [`Source`]. Nothing waits
//! here until a frame is due: [`pace`] says when that is.

#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
mod live;
mod open;
pub mod pace;
mod program;
mod rate;
mod spec;
mod test;
mod y4m;

pub use spec::Spec;

use super::codec::{Codec, Kind};
use super::container::Reader;
use super::error::MediaError;
use super::ffmpeg::Running;
use super::frame::Frame;
use std::io;
use tokio::sync::{mpsc, watch};

/// Whether this machine seems to have a camera or, for [`Kind::Audio`], a microphone. That it can be used shows only when
/// it is.
pub fn has_device(kind: Kind) -> bool {
    program::Device::of(kind, None).is_ok()
}

/// Frames that are read ahead.
const AHEAD: usize = 8;

/// Something that gives frames.
#[derive(Debug)]
pub struct Source {
    codec: Codec,
    timing: Timing,
    frames: Frames,
    /// Tells an encoder of ours what the path carries.
    path: Option<watch::Sender<u64>>,
}

/// When frames can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timing {
    /// At any time.
    Stored,
    /// When somebody writes them, who waits if they are not taken.
    Stream,
    /// When they happen. What is not taken is over.
    Device,
}

#[derive(Debug)]
enum Frames {
    Clip(test::Clip),
    Read(mpsc::Receiver<Result<Frame, MediaError>>),
}

impl Source {
    /// Opens a source of one kind; `None` if there shall be none.
    ///
    /// # Errors
    /// See [`MediaError`]. A device that only fails when it is used says so at the first frame.
    pub async fn open(spec: Spec, kind: Kind) -> Result<Option<Self>, MediaError> {
        if spec == Spec::None {
            return Ok(None);
        }
        // Looking into a file or a pipe may take as long as it wants.
        let opened = tokio::task::spawn_blocking(move || open::open(&spec, kind)).await;
        match opened {
            Ok(source) => source.map(Some),
            Err(error) => Err(MediaError::Read {
                name: "source".into(),
                source: io::Error::other(error),
            }),
        }
    }

    /// How its frames are encoded.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Whether its frames come when they happen, and cannot be had earlier.
    pub fn is_live(&self) -> bool {
        self.timing != Timing::Stored
    }

    /// Whether it is a camera, a microphone or a screen, which waits for nobody: what was not taken in time is of no use.
    pub fn is_device(&self) -> bool {
        self.timing == Timing::Device
    }

    /// The path to whoever sees this carries so many bits a second. Pictures that are encoded here follow it, and
    /// nothing else does.
    pub fn path_carries(&self, rate: u64) {
        if let Some(path) = &self.path {
            path.send_if_modified(|known| std::mem::replace(known, rate) != rate);
        }
    }

    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// It cannot be read any further. Nothing follows.
    pub async fn next(&mut self) -> Result<Option<Frame>, MediaError> {
        match &mut self.frames {
            Frames::Clip(clip) => Ok(Some(clip.next())),
            Frames::Read(frames) => frames.recv().await.transpose(),
        }
    }

    fn clip(kind: Kind) -> Result<Self, MediaError> {
        let clip = test::Clip::open(kind)?;
        Ok(Self {
            codec: clip.codec(),
            timing: Timing::Stored,
            frames: Frames::Clip(clip),
            path: None,
        })
    }

    /// Reads on a thread. With a program behind it, its failure is the stream's.
    fn read(name: String, mut reader: Reader, running: Option<Running>, timing: Timing) -> Self {
        let (sender, frames) = mpsc::channel(AHEAD);
        let codec = reader.codec();
        std::thread::spawn(move || {
            loop {
                let item = match reader.next() {
                    Ok(Some(frame)) => Ok(frame),
                    Ok(None) => break,
                    Err(source) => {
                        let name = name.clone();
                        let _ = sender.blocking_send(Err(MediaError::Read { name, source }));
                        return;
                    }
                };
                // Nobody wants more of it: the program is ended.
                if sender.blocking_send(item).is_err() {
                    return;
                }
            }
            if let Some(Err(error)) = running.map(Running::finish) {
                let _ = sender.blocking_send(Err(error));
            }
        });
        Self {
            codec,
            timing,
            frames: Frames::Read(frames),
            path: None,
        }
    }
}
