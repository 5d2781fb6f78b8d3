//! A call over a paired line, or in an open room.

use std::sync::Arc;
use std::time::Duration;

use peerline::session::{IncomingTracks, SessionError, Tracks};

use crate::connect::{Context, InRoom};
use crate::exit::Failure;
use crate::line::Line;
use crate::ui::Route;

/// Either way to the other side.
pub(super) enum Call {
    Line(Box<Line>),
    Room(InRoom),
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
