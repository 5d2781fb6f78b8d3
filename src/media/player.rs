//! Showing and playing what arrives: each track goes to a program of its own, as a Matroska stream on its
//! standard input.
//!
//! A thread writes to each; it ends with its [`Player`], or with the program when somebody closes its window.

use super::codec::{Codec, Kind};
use super::container::matroska::{Muxer, Track};
use super::error::MediaError;
use super::ffmpeg::{Program, Running};
use super::track::Received;
use std::io::{Read, Write};
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use tokio::sync::watch;

/// Frames that wait for the program: half a second. A program that is slower is given a picture to begin anew
/// with.
const QUEUE: usize = 32;

/// A picture in RGB, three bytes a pixel, from the top left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picture {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `3 * width * height` bytes.
    pub rgb: Vec<u8>,
}

/// Plays one track.
#[derive(Debug)]
pub struct Player {
    frames: SyncSender<(Duration, Received)>,
    codec: Codec,
    first: Option<i64>,
    needs_key: bool,
    over: bool,
}

impl Player {
    /// Shows pictures in a window, or plays sound.
    ///
    /// # Errors
    /// `ffplay` is not installed.
    pub fn play(codec: Codec, title: &str) -> Result<Self, MediaError> {
        let input = ["-fflags", "nobuffer", "-flags", "low_delay", "-i", "pipe:0"];
        let mut words = match codec.kind() {
            Kind::Video => vec!["-framedrop", "-an", "-window_title", title],
            Kind::Audio => vec!["-nodisp", "-vn"],
        };
        words.push("-autoexit");
        words.extend(input);
        let running = Program::Ffplay.start(words, Stdio::piped(), Stdio::null())?;
        Ok(Self::new(codec, running))
    }

    /// Decodes pictures and makes them fit into so many pixels. The newest one is what is watched.
    ///
    /// # Errors
    /// `ffmpeg` is not installed.
    pub fn decode(
        codec: Codec,
        width: usize,
        height: usize,
    ) -> Result<(Self, watch::Receiver<Picture>), MediaError> {
        let filter = format!(
            "scale={width}:{height}:force_original_aspect_ratio=decrease:flags=fast_bilinear,\
             pad={width}:{height}:-1:-1"
        );
        let words = [
            "-fflags",
            "nobuffer",
            "-flags",
            "low_delay",
            "-probesize",
            "32768",
            "-analyzeduration",
            "0",
            "-threads",
            "1",
            "-i",
            "pipe:0",
            "-an",
            "-vf",
            &filter,
            "-fps_mode",
            "passthrough",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
            "pipe:1",
        ];
        let mut running = Program::Ffmpeg.start(words, Stdio::piped(), Stdio::piped())?;
        let (shown, pictures) = watch::channel(Picture::default());
        if let Some(mut stdout) = running.take_stdout() {
            std::thread::spawn(move || {
                let mut rgb = vec![0; 3 * width * height];
                while stdout.read_exact(&mut rgb).is_ok() {
                    let picture = Picture {
                        width,
                        height,
                        rgb: rgb.clone(),
                    };
                    if shown.send(picture).is_err() {
                        return;
                    }
                }
            });
        }
        Ok((Self::new(codec, running), pictures))
    }

    fn new(codec: Codec, mut running: Running) -> Self {
        let (frames, queue) = sync_channel(QUEUE);
        let stdin = running.take_stdin();
        std::thread::spawn(move || {
            if let Some(stdin) = stdin {
                feed(codec, &queue, stdin);
            }
            drop(running);
        });
        Self {
            frames,
            codec,
            first: None,
            needs_key: codec.kind() == Kind::Video,
            over: false,
        }
    }

    /// Plays a frame; `true` if a key frame is needed.
    pub fn push(&mut self, frame: &Received) -> bool {
        if self.over || (self.needs_key && !frame.key) {
            return self.needs_key && !self.over;
        }
        let first = *self.first.get_or_insert(frame.ticks);
        let ticks = frame.ticks.saturating_sub(first).max(0) as u128;
        let nanos = ticks * 1_000_000_000 / u128::from(self.codec.clock_rate());
        let time = Duration::from_nanos(nanos as u64);
        match self.frames.try_send((time, frame.clone())) {
            Ok(()) => self.needs_key = false,
            // overflow: dropped until the next key frame; what is shown late is of no use in a call.
            Err(TrySendError::Full(_)) => self.needs_key = self.codec.kind() == Kind::Video,
            Err(TrySendError::Disconnected(_)) => self.over = true,
        }
        self.needs_key && !self.over
    }

    /// Whether somebody has closed the window, or the program has ended otherwise.
    pub fn is_over(&self) -> bool {
        self.over
    }
}

fn feed(codec: Codec, queue: &Receiver<(Duration, Received)>, mut stdin: ChildStdin) {
    let mut muxer = None;
    for (time, frame) in queue {
        let mut bytes = Vec::new();
        let muxer = muxer.get_or_insert_with(|| {
            let track = Track::beginning(codec, &frame.data);
            let (muxer, head) = Muxer::begin(vec![track], "peerline");
            bytes = head;
            muxer
        });
        bytes.extend(muxer.frame(0, time, frame.key, &frame.data));
        if stdin
            .write_all(&bytes)
            .and_then(|()| stdin.flush())
            .is_err()
        {
            return;
        }
    }
}
