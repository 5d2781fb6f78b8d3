//! Calls in open rooms, where there is no code.

use peerline::media::OutgoingTrack;
use peerline::media::codec::Codec;
use peerline::session::{Path, PlainSession};
use peerline::signaling::{ServerUrl, Signaling};
use signaling_protocol::{Join, RoomName};

use super::{Context, Place};
use crate::exit::Failure;
use crate::line;
use crate::server::Embedded;
use crate::ui::{Route, event};

/// A call in an open room.
pub(crate) struct InRoom {
    pub(crate) session: PlainSession,
    embedded: Option<Embedded>,
    /// The path when it was connected.
    first: Option<Path>,
}

impl InRoom {
    /// As [`Line::verify`](crate::line::Line::verify); without a code the server is trusted, unless somebody compares the words.
    pub(crate) async fn verify(&self, context: &Context<'_>) -> Result<(), Failure> {
        let ended = async { Failure::from(&*self.session.ended().await) };
        line::verify(context, self.session.phrase(), ended).await
    }

    /// How the packets travel now, or did.
    pub(crate) async fn route(&self) -> Route {
        let now = self.session.path().await;
        now.as_ref().or(self.first.as_ref()).into()
    }

    /// Hangs up, and ends the embedded server.
    pub(crate) async fn end(self) {
        self.session.close().await;
        if let Some(embedded) = self.embedded {
            embedded.end().await;
        }
    }
}

/// Meets somebody in an open room. `codecs` are sent from the beginning, as tracks that come back.
pub(crate) async fn room(
    context: &Context<'_>,
    room: RoomName,
    codecs: &[Codec],
) -> Result<(InRoom, Vec<OutgoingTrack>), Failure> {
    let named = context.common.server();
    let embedded = match named {
        None => Some(Embedded::start()?),
        Some(_) => None,
    };
    let place = Place::default();
    let meeting = meet(context, named, embedded.as_ref(), room, codecs, &place);
    let met = context.limited(meeting).await;
    place.given_back(&met).await;
    match met {
        Ok((session, tracks)) => {
            let first = session.path().await;
            context.ui.say(line::connection(first.as_ref()));
            let room = InRoom {
                session,
                embedded,
                first,
            };
            Ok((room, tracks))
        }
        Err(failure) => {
            if let Some(embedded) = embedded {
                embedded.end().await;
            }
            Err(failure)
        }
    }
}

async fn meet(
    context: &Context<'_>,
    named: Option<ServerUrl>,
    embedded: Option<&Embedded>,
    room: RoomName,
    codecs: &[Codec],
    place: &Place,
) -> Result<(PlainSession, Vec<OutgoingTrack>), Failure> {
    let server = match (named, embedded) {
        (Some(named), _) => named,
        (None, Some(embedded)) => embedded.local_url(),
        (None, None) => return Err(Failure::bug("no server to meet at")),
    };
    if let Some(embedded) = embedded {
        let server = embedded.public_url().page().to_owned();
        context.ui.say(event::Listening { server });
    }
    let join = Join {
        room: Some(room.clone()),
        token: context.common.token_for(&server),
        ..Join::default()
    };
    let (signaling, joined) = Signaling::join(&server, join)
        .await
        .map_err(|error| Failure::from(&error))?;
    place.taken(&signaling);
    context.ui.say(event::Waiting { devices: vec![] });
    context.ui.note(&format!(
        "Waiting for a call in room {room}. The server is trusted to say who it is. Ctrl-C ends it."
    ));
    let config = context.session_config(&server);
    let met = PlainSession::meet(signaling, &joined, config, codecs).await;
    met.map_err(|error| Failure::from(&error))
}
