//! Pictures that are encoded here, at the rate that the path carries.
//!
//! One `ffmpeg` opens the source and hands over pictures as they are; another one encodes them. `ffmpeg` can be told much
//! while it runs (`zmq`, `sendcmd`), but that reaches its filters and not its encoders: so another rate is another encoder,
//! which begins with the picture behind the last one of the encoder before, while the source stays open. A camera can be
//! opened once only.
//!
//! Two threads for each source: one hands pictures to the encoder, one takes frames from it. Both end with the
//! [`Source`], at their next picture.

use super::super::codec::Kind;
use super::super::container::{self, Opened};
use super::super::error::MediaError;
use super::super::ffmpeg::{Program, Running};
use super::super::frame::Frame;
use super::program;
use super::rate::Plan;
use super::y4m::Pictures;
use super::{AHEAD, Frames, Source, Timing};
use crate::media::Codec;
use std::io::{self, BufReader, Write};
use std::process::{ChildStdin, Stdio};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Pictures a second: [`program::raw`] makes them so.
const PICTURES: u32 = 30;

/// Encoders that are not read from yet; a change of the rate waits until the one before has begun.
const ENCODERS: usize = 1;

/// An encoder that was started, and the time of its first picture.
struct Encoder {
    running: Running,
    begins: Duration,
}

/// Starts the thread that feeds encoders; the first one is running when this returns.
pub(super) fn encode(
    name: String,
    mut camera: Running,
    timing: Timing,
) -> Result<Source, MediaError> {
    let silent = |camera: Running| match camera.finish() {
        Err(error) => error,
        Ok(()) => MediaError::Program {
            program: "ffmpeg",
            said: "it gave no picture".into(),
        },
    };
    let Some(stdout) = camera.take_stdout() else {
        return Err(camera.failure());
    };
    // A picture is large: it is read in few pieces.
    let input = BufReader::with_capacity(256 << 10, stdout);
    let Ok(Some(pictures)) = Pictures::open(input) else {
        return Err(silent(camera));
    };
    let (path, carries) = watch::channel(0);
    let (encoders_tx, encoders) = std::sync::mpsc::sync_channel(ENCODERS);
    let (frames_tx, frames) = mpsc::channel(AHEAD);
    let mut feeder = Feeder {
        pictures,
        plan: Plan::new(Instant::now()),
        carries,
        encoders: encoders_tx,
        count: 0,
    };
    let first = feeder.start()?;
    let failures = frames_tx.clone();
    let failed = name.clone();
    std::thread::spawn(move || {
        let fed = feeder.run(first);
        // The encoder is told that there is no more, and its last frames are taken before anybody hears of this.
        drop(feeder);
        let failure = match fed {
            Ok(()) => camera.finish().err(),
            Err(source) if source.kind() == io::ErrorKind::BrokenPipe => None,
            Err(source) => Some(MediaError::Read {
                name: failed,
                source,
            }),
        };
        if let Some(failure) = failure {
            let _ = failures.blocking_send(Err(failure));
        }
    });
    std::thread::spawn(move || collect(&name, &encoders, &frames_tx));
    Ok(Source {
        codec: Codec::Vp8,
        timing,
        frames: Frames::Read(frames),
        path: Some(path),
    })
}

struct Feeder<R> {
    pictures: Pictures<R>,
    plan: Plan,
    /// What the path carries; 0 is not known.
    carries: watch::Receiver<u64>,
    encoders: std::sync::mpsc::SyncSender<Encoder>,
    /// Pictures so far.
    count: u32,
}

impl<R: io::BufRead> Feeder<R> {
    /// Starts an encoder for the next picture, and gives away its other end.
    fn start(&self) -> Result<ChildStdin, MediaError> {
        let arguments = program::encode_raw(self.plan.rate());
        let arguments = arguments.iter().map(String::as_str);
        let mut running = Program::Ffmpeg.start(arguments, Stdio::piped(), Stdio::piped())?;
        let Some(mut stdin) = running.take_stdin() else {
            return Err(running.failure());
        };
        let begins = Duration::from_secs(1) * self.count / PICTURES;
        let _ = stdin.write_all(self.pictures.header());
        // Whoever takes frames has gone if this fails, and the next picture shows it.
        let _ = self.encoders.send(Encoder { running, begins });
        Ok(stdin)
    }

    /// Until there are no more pictures, or nobody wants them.
    fn run(&mut self, mut encoder: ChildStdin) -> io::Result<()> {
        let mut picture = Vec::new();
        while self.pictures.next(&mut picture)? {
            let carries = *self.carries.borrow();
            let rate = match carries {
                0 => None,
                carries => self.plan.path(Instant::now(), carries),
            };
            if let Some(rate) = rate {
                tracing::debug!(rate, carries, "encoding at another rate");
                encoder = self.start().map_err(io::Error::other)?;
            }
            encoder.write_all(&picture)?;
            self.count = self.count.saturating_add(1);
        }
        Ok(())
    }
}

/// Gives away the frames of one encoder after the other.
fn collect(
    name: &str,
    encoders: &std::sync::mpsc::Receiver<Encoder>,
    frames: &mpsc::Sender<Result<Frame, MediaError>>,
) {
    for encoder in encoders {
        if let Err(error) = take(name, encoder, frames) {
            if let Some(error) = error {
                let _ = frames.blocking_send(Err(error));
            }
            return;
        }
    }
}

/// `Err(None)` if nobody wants frames any more.
fn take(
    name: &str,
    Encoder {
        mut running,
        begins,
    }: Encoder,
    frames: &mpsc::Sender<Result<Frame, MediaError>>,
) -> Result<(), Option<MediaError>> {
    let unreadable = |source| {
        Some(MediaError::Read {
            name: name.into(),
            source,
        })
    };
    let Some(stdout) = running.take_stdout() else {
        return Err(Some(running.failure()));
    };
    match container::open(Box::new(BufReader::new(stdout))) {
        Ok(Opened::Known(mut reader)) if reader.codec().kind() == Kind::Video => {
            while let Some(frame) = reader.next().map_err(unreadable)? {
                let time = begins + frame.time;
                frames
                    .blocking_send(Ok(Frame { time, ..frame }))
                    .map_err(|_| None)?;
            }
        }
        // It got no picture before it was replaced, or failed, and says so.
        _ => {}
    }
    running.finish().map_err(Some)
}
