//! `peer-cli record`: everybody in an open room, one file each, without a screen or a person.
//!
//! It is the room's forwarder as well, so that everybody sends once, to it, and whoever calls there is recorded.

mod index;
mod tapes;

use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, Instant};

use peerline::forward::{ForwardedRoom, Tapped};
use signaling_protocol::RoomName;
use tokio_util::sync::CancellationToken;

use self::tapes::Tapes;
use super::hub;
use crate::cli::{Common, timeout};
use crate::connect::{Context, Entrance, Place};
use crate::exit::Failure;
use crate::ui::{Ui, event};

/// Record everybody in an open room, each in a file of their own
///
/// Files are Matroska, with sound and pictures as they were sent; nothing is encoded again, so ffmpeg is not needed.
/// index.json beside them says who was there from when to when. Members see each other through it, as with forward.
/// Ctrl-C ends it and completes the files.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The open room; the server is trusted there
    #[arg(long, value_name = "ROOM")]
    room: RoomName,

    /// Where the files go: a directory that is made, or is empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Leave after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = timeout, allow_negative_numbers = true)]
    duration: Option<Duration>,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// Enters the room and records until it is told to stop.
pub(in crate::commands) async fn run(
    arguments: &Arguments,
    ui: &Ui,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let context = hub::context(&arguments.common, ui, stop);
    // What is wrong with the directory is said before anybody is in a room with it.
    let mut tapes = Tapes::open(&arguments.out, &arguments.room)?;
    let entrance = Entrance::open(&context, arguments.room.clone())?;
    let recorded = record(&context, &entrance, arguments.duration, &mut tapes).await;
    entrance.end().await;
    let finished = tapes.finish(ui).await;
    let seconds = recorded?;
    let (participants, files, bytes) = finished?;
    ui.say(event::RecordDone {
        seconds,
        participants,
        files,
        bytes,
    });
    Ok(())
}

/// Returns for how long.
async fn record(
    context: &Context<'_>,
    entrance: &Entrance,
    duration: Option<Duration>,
    tapes: &mut Tapes,
) -> Result<f64, Failure> {
    let ui = context.ui;
    let place = Place::default();
    let (signaling, joined) = hub::enter(context, entrance, &place).await?;
    ui.note("Recording everybody in the room. Ctrl-C ends it.");
    let begin = Instant::now();
    let config = context.session_config(entrance.server());
    let (mut room, mut tracks) = ForwardedRoom::open_tapped(signaling, joined, config);
    let mut deadline = pin!(hub::deadline(duration));
    let result = loop {
        let done = tokio::select! {
            biased;
            // That is how it is meant to end.
            () = context.stop.cancelled() => break Ok(()),
            () = &mut deadline => break Ok(()),
            Some(tapped) = tracks.recv() => match tapped {
                Tapped::Track { member, frames } => tapes.add(member, frames).await,
                Tapped::Left(id) => tapes.left(&id, ui).await,
            },
            event = room.next() => match event {
                Some(event) => hub::say(ui, event),
                None => Err(Failure::bug("recording ended by itself")),
            },
        };
        if let Err(failure) = done {
            break Err(failure);
        }
    };
    room.close().await;
    place.left().await;
    result.map(|()| begin.elapsed().as_secs_f64())
}
