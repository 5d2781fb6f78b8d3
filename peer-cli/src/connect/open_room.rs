//! Calls in open rooms, where there is no code.

use std::time::{Duration, Instant};

use peerline::media::OutgoingTrack;
use peerline::media::codec::Codec;
use peerline::session::{Path, PlainSession, SessionError};
use peerline::signaling::{ServerUrl, Signaling};
use signaling_protocol::{Join, Joined, RoomName};

use super::{Context, Place};
use crate::exit::{Failure, Retry};
use crate::line;
use crate::server::Embedded;
use crate::ui::{Route, event};

/// How often in a row the other side may leave while it is being met: members of a forwarded room that has lost its
/// forwarder all leave and come back.
const ATTEMPTS: u32 = 8;

/// The longest pause before the second attempt; it grows with each.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a call that was lost is tried to be met again, as long as a server keeps the place of somebody who is away;
/// and how long until the next attempt.
const PATIENCE: Duration = Duration::from_secs(120);
const AGAIN: Duration = Duration::from_secs(2);

/// An open room, and the server that it is on.
pub(crate) struct Entrance {
    room: RoomName,
    server: ServerUrl,
    embedded: Option<Embedded>,
}

impl Entrance {
    /// Starts the embedded server, if none was named.
    pub(crate) fn open(context: &Context<'_>, room: RoomName) -> Result<Self, Failure> {
        let (server, embedded) = match context.common.server() {
            Some(named) => (named, None),
            None => {
                let embedded = Embedded::start()?;
                let server = embedded.public_url().page().to_owned();
                context.ui.say(event::Listening { server });
                (embedded.local_url(), Some(embedded))
            }
        };
        Ok(Self {
            room,
            server,
            embedded,
        })
    }

    pub(crate) fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// Enters the room under this name.
    pub(crate) async fn join(
        &self,
        context: &Context<'_>,
        name: Option<&str>,
        place: &Place,
    ) -> Result<(Signaling, Joined), Failure> {
        let join = Join {
            room: Some(self.room.clone()),
            name: name.and_then(|name| name.parse().ok()),
            token: context.common.token_for(&self.server),
            ..Join::default()
        };
        let entered = Signaling::join(&self.server, join).await;
        let (signaling, joined) = entered.map_err(|error| Failure::from(&error))?;
        place.taken(&signaling);
        Ok((signaling, joined))
    }

    /// Ends the embedded server.
    pub(crate) async fn end(self) {
        if let Some(embedded) = self.embedded {
            embedded.end().await;
        }
    }
}

/// A call in an open room.
pub(crate) struct InRoom {
    pub(crate) session: PlainSession,
    entrance: Entrance,
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

    /// Hangs up, and meets whoever is in the room now: the forwarder, if there is one. Whatever passes is waited for: a
    /// network that is away, a server that restarts, a forwarder that is gone and not yet known to be.
    pub(crate) async fn meet_again(
        self,
        context: &Context<'_>,
        codecs: &[Codec],
    ) -> Result<(Self, Vec<OutgoingTrack>), Failure> {
        self.session.close().await;
        meet(context, self.entrance, codecs, PATIENCE).await
    }

    /// Hangs up, and ends the embedded server.
    pub(crate) async fn end(self) {
        self.session.close().await;
        self.entrance.end().await;
    }
}

/// Meets somebody in an open room. `codecs` are sent from the beginning, as tracks that come back.
pub(crate) async fn room(
    context: &Context<'_>,
    room: RoomName,
    codecs: &[Codec],
) -> Result<(InRoom, Vec<OutgoingTrack>), Failure> {
    let entrance = Entrance::open(context, room)?;
    meet(context, entrance, codecs, Duration::ZERO).await
}

async fn meet(
    context: &Context<'_>,
    entrance: Entrance,
    codecs: &[Codec],
    patience: Duration,
) -> Result<(InRoom, Vec<OutgoingTrack>), Failure> {
    let until = Instant::now() + patience;
    let mut missed = 0;
    let met = loop {
        let place = Place::default();
        let met = context
            .limited(try_to_meet(context, &entrance, codecs, &place))
            .await;
        let (failure, longest) = match met {
            Ok(Ok(met)) => break Ok(met),
            // It left while it was being called. Two who come back at the same time would miss each other again and again.
            Ok(Err(SessionError::Gone)) if missed + 1 < ATTEMPTS => {
                missed += 1;
                (Failure::from(&SessionError::Gone), Some(missed * PAUSE))
            }
            Ok(Err(error)) => (Failure::from(&error), None),
            Err(failure) => (failure, None),
        };
        place.left().await;
        let stopped = context.stop.is_cancelled();
        let passes = failure.retry == Retry::Helps && !stopped && Instant::now() < until;
        let Some(longest) = longest.or(passes.then_some(AGAIN)) else {
            break Err(failure);
        };
        tracing::debug!(%failure, "nobody was met, which is tried again");
        tokio::select! {
            // The next attempt says so.
            () = context.stop.cancelled() => {}
            () = tokio::time::sleep(rand::random_range(Duration::ZERO..longest)) => {}
        }
    };
    match met {
        Ok((session, tracks)) => {
            let first = session.path().await;
            context.ui.say(line::connection(first.as_ref()));
            let room = InRoom {
                session,
                entrance,
                first,
            };
            Ok((room, tracks))
        }
        Err(failure) => {
            entrance.end().await;
            Err(failure)
        }
    }
}

type Met = Result<(PlainSession, Vec<OutgoingTrack>), SessionError>;

async fn try_to_meet(
    context: &Context<'_>,
    entrance: &Entrance,
    codecs: &[Codec],
    place: &Place,
) -> Result<Met, Failure> {
    let (signaling, joined) = entrance.join(context, None, place).await?;
    context.ui.say(event::Waiting { devices: vec![] });
    context.ui.note(&format!(
        "Waiting for a call in room {}. The server is trusted to say who it is. Ctrl-C ends it.",
        entrance.room
    ));
    let config = context.session_config(entrance.server());
    Ok(PlainSession::meet(signaling, &joined, config, codecs).await)
}
