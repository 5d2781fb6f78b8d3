//! What `forward` and `record` have in common: a place in an open room through which everybody's tracks go.

use std::time::Duration;

use peerline::forward::Event;
use peerline::media::codec::Codec;
use peerline::session::{FORWARDER, Intent, is_forwarder};
use peerline::signaling::{Signaling, SignalingError};
use signaling_protocol::{Joined, PeerId, PeerInfo};
use tokio_util::sync::CancellationToken;

use crate::cli::Common;
use crate::connect::{Context, Entrance, Place};
use crate::exit::{Exit, Failure};
use crate::ui::{Ui, event};

pub(super) fn context<'a>(
    common: &'a Common,
    ui: &'a Ui,
    stop: &'a CancellationToken,
) -> Context<'a> {
    Context {
        ui,
        common,
        stop,
        intent: Intent::Call,
        codecs: Codec::ALL.to_vec(),
    }
}

/// Enters the room as its forwarder; there can be one. One that is away has died, most likely, and keeps its place for two
/// minutes: whoever starts it again does not wait for that.
pub(super) async fn enter(
    context: &Context<'_>,
    entrance: &Entrance,
    place: &Place,
) -> Result<(Signaling, Joined), Failure> {
    let is_there = |peer: &PeerInfo| is_forwarder(peer) && !peer.away;
    let entered = context.limited(entrance.join(context, Some(FORWARDER), place));
    let entered = entered.await.and_then(|(signaling, joined)| {
        if !joined.peers.iter().any(is_there) {
            return Ok((signaling, joined));
        }
        let there = "somebody else forwards or records in this room already";
        let hint = "choose another room, or end the other one first; a recorder forwards as well";
        Err(Failure::new(Exit::Usage, "forwarder-there", there).hint(hint))
    });
    match &entered {
        Ok(_) => context.ui.say(event::Waiting { devices: vec![] }),
        Err(_) => place.give_back().await,
    }
    entered
}

/// The end of the time that was given, if any.
pub(super) async fn deadline(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

/// Says what happens in the room; an error if nobody can come any more.
pub(super) fn say(ui: &Ui, event: Event) -> Result<(), Failure> {
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
        // Only whoever sends something out is told.
        Event::Output(_) => {}
        Event::Refused {
            remote,
            why,
            is_final: true,
        } => {
            let what = format!("{remote} cannot be used: {why}");
            let hint = "check the address and --bearer";
            return Err(Failure::new(Exit::Declined, "whip-refused", what).hint(hint));
        }
        Event::Refused { remote, why, .. } => ui.say(event::Whip::refused(remote, why)),
        Event::Lost(lost) => return Err(Failure::from(&SignalingError::Lost(lost))),
    }
    Ok(())
}
