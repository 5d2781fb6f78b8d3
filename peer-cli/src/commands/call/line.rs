//! A call over a paired line, or in an open room.

use std::sync::Arc;
use std::time::Duration;

use peerline::media::OutgoingTrack;
use peerline::media::codec::Codec;
use peerline::session::{IncomingTracks, SessionError, Tracks};

use crate::connect::{Context, InRoom};
use crate::exit::Failure;
use crate::line::Line;
use crate::ui::Route;

/// Either way to the other side.
pub(super) enum Call {
    Line(Box<Line>),
    Room(Box<InRoom>),
}

impl Call {
    pub(super) async fn verify(&self, context: &Context<'_>) -> Result<(), Failure> {
        match self {
            Self::Line(line) => line.verify(context).await,
            Self::Room(room) => room.verify(context).await,
        }
    }

    pub(super) fn tracks(&self) -> Tracks {
        match self {
            Self::Line(line) => line.session.tracks(),
            Self::Room(room) => room.session.tracks(),
        }
    }

    pub(super) fn incoming_tracks(&mut self) -> IncomingTracks {
        match self {
            Self::Line(line) => line.session.incoming_tracks(),
            Self::Room(room) => room.session.incoming_tracks(),
        }
    }

    pub(super) async fn ended(&self) -> Arc<SessionError> {
        match self {
            Self::Line(line) => line.session.ended().await,
            Self::Room(room) => room.session.ended().await,
        }
    }

    /// Waits until the call has to go through somebody else.
    pub(super) async fn must_move(&self) {
        match self {
            Self::Line(_) => std::future::pending().await,
            Self::Room(room) => room.session.forwarder_came().await,
        }
    }

    /// Whether there are others to be met when the other side has left.
    pub(super) fn goes_on(&self) -> bool {
        match self {
            Self::Line(_) => false,
            Self::Room(room) => room.session.room_goes_on(),
        }
    }

    /// Hangs up and meets whoever is in the room now.
    pub(super) async fn meet_again(
        self,
        context: &Context<'_>,
        codecs: &[Codec],
    ) -> Result<(Self, Vec<OutgoingTrack>), Failure> {
        match self {
            Self::Line(_) => Err(Failure::bug("a line is met once")),
            Self::Room(room) => {
                let (room, tracks) = room.meet_again(context, codecs).await?;
                Ok((Self::Room(Box::new(room)), tracks))
            }
        }
    }

    pub(super) async fn round_trip(&self) -> Option<Duration> {
        let path = match self {
            Self::Line(line) => line.session.path().await,
            Self::Room(room) => room.session.path().await,
        };
        path.map(|path| path.round_trip)
    }

    pub(super) async fn route(&self) -> Route {
        match self {
            Self::Line(line) => line.route().await,
            Self::Room(room) => room.route().await,
        }
    }

    /// Says goodbye and hangs up.
    pub(super) async fn end<T>(self, result: Result<T, Failure>) -> Result<T, Failure> {
        match self {
            Self::Line(line) => line.end(result).await,
            Self::Room(room) => {
                room.end().await;
                result
            }
        }
    }
}
