//! `peer-cli forward`: everybody in an open room sends their sound and pictures to this program once, and gets those of
//! all others from it.

use std::time::{Duration, Instant};

use peerline::forward::{Event, ForwardedRoom};
use peerline::media::codec::Codec;
use peerline::session::{FORWARDER, Intent, is_forwarder};
use peerline::signaling::SignalingError;
use signaling_protocol::{PeerId, RoomName};
use tokio_util::sync::CancellationToken;

use crate::cli::{Common, timeout};
use crate::connect::{Context, Entrance, Place};
use crate::exit::{Exit, Failure};
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
    let context = Context {
        ui,
        common: &arguments.common,
        stop,
        intent: Intent::Call,
        codecs: Codec::ALL.to_vec(),
    };
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
    let entered = context.limited(entrance.join(context, Some(FORWARDER), &place));
    let entered =
        entered.await.and_then(
            |(signaling, joined)| match joined.peers.iter().any(is_forwarder) {
                true => Err(Failure::new(
                    Exit::Usage,
                    "forwarder-there",
                    "somebody else forwards in this room already",
                )
                .hint("choose another room, or end the other one first")),
                false => Ok((signaling, joined)),
            },
        );
    let (signaling, joined) = match entered {
        Ok(entered) => entered,
        Err(failure) => {
            place.left().await;
            return Err(failure);
        }
    };
    ui.say(event::Waiting { devices: vec![] });
    ui.note("Forwarding to everybody in the room. Ctrl-C ends it.");
    let begin = Instant::now();
    let config = context.session_config(entrance.server());
    let mut room = ForwardedRoom::open(signaling, joined, config);
    let deadline = async {
        match duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(deadline);
    let result = loop {
        tokio::select! {
            biased;
            // That is how it is meant to end.
            () = context.stop.cancelled() => break Ok(()),
            () = &mut deadline => break Ok(()),
            event = room.next() => match event {
                Some(Event::Lost(lost)) => break Err(Failure::from(&SignalingError::Lost(lost))),
                Some(event) => say(ui, event),
                None => break Err(Failure::bug("forwarding ended by itself")),
            },
        }
    };
    let totals = room.close().await;
    place.left().await;
    let seconds = begin.elapsed().as_secs_f64();
    if result.is_ok() {
        ui.say(event::ForwardDone::new(seconds, totals));
    }
    result
}

fn say(ui: &Ui, event: Event) {
    let participant = |id: PeerId, state| event::Participant {
        id: id.to_string(),
        name: None,
        state,
        message: None,
    };
    let track = |member: PeerId, codec, state| event::Track {
        member: Some(member.to_string()),
        ..event::Track::new("in", codec, state)
    };
    match event {
        Event::Joined(info) => ui.say(event::Participant {
            name: info.name.map(|name| name.to_string()),
            ..participant(info.id, "joined")
        }),
        Event::Left(id) => ui.say(participant(id, "left")),
        Event::Failed(id, message) => ui.say(event::Participant {
            message: Some(message),
            ..participant(id, "failed")
        }),
        Event::Started(member, codec) => ui.say(track(member, codec, "started")),
        Event::Ended(member, codec) => ui.say(track(member, codec, "ended")),
        Event::Speaker(id) => ui.say(event::Speaker { id: id.to_string() }),
        Event::Lost(_) => {}
    }
}
