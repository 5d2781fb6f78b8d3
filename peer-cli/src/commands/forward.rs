//! `peer-cli forward`: everybody in an open room sends their sound and pictures to this program once, and gets those of
//! all others from it.

use std::pin::pin;
use std::time::{Duration, Instant};

use peerline::forward::ForwardedRoom;
use signaling_protocol::RoomName;
use tokio_util::sync::CancellationToken;

use super::hub;
use crate::cli::{Common, timeout};
use crate::connect::{Context, Entrance, Place};
use crate::exit::Failure;
use crate::ui::{Ui, event};

/// Forward the sound and pictures of everybody in an open room to everybody else
///
/// Each member then sends once, and not to each of the others. Pages and peer-cli call --room use it from the moment it
/// is in the room, and call each other when it leaves. It needs no ffmpeg: nothing is decoded. Ctrl-C ends it.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The open room; the server is trusted there
    #[arg(long, value_name = "ROOM")]
    room: RoomName,

    /// Leave after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = timeout, allow_negative_numbers = true)]
    duration: Option<Duration>,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// Enters the room and forwards until it is told to stop.
pub(in crate::commands) async fn run(
    arguments: &Arguments,
    ui: &Ui,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let context = hub::context(&arguments.common, ui, stop);
    let entrance = Entrance::open(&context, arguments.room.clone())?;
    let done = forward(&context, &entrance, arguments.duration).await;
    entrance.end().await;
    done
}

async fn forward(
    context: &Context<'_>,
    entrance: &Entrance,
    duration: Option<Duration>,
) -> Result<(), Failure> {
    let ui = context.ui;
    let place = Place::default();
    let (signaling, joined) = hub::enter(context, entrance, &place).await?;
    ui.note("Forwarding to everybody in the room. Ctrl-C ends it.");
    let begin = Instant::now();
    let config = context.session_config(entrance.server());
    let mut room = ForwardedRoom::open(signaling, joined, config);
    let mut deadline = pin!(hub::deadline(duration));
    let result = loop {
        tokio::select! {
            biased;
            // That is how it is meant to end.
            () = context.stop.cancelled() => break Ok(()),
            () = &mut deadline => break Ok(()),
            event = room.next() => match event {
                Some(event) => match hub::say(ui, event) {
                    Ok(()) => {}
                    Err(failure) => break Err(failure),
                },
                None => break Err(Failure::bug("forwarding ended by itself")),
            },
        }
    };
    let totals = room.close().await;
    place.left().await;
    if result.is_ok() {
        ui.say(event::ForwardDone::new(
            begin.elapsed().as_secs_f64(),
            totals,
        ));
    }
    result
}
