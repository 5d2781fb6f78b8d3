//! The one who was given the code.

use peerline::pairing::Code;
use peerline::session::Session;
use peerline::signaling::{ServerUrl, Signaling, SignalingError};
use signaling_protocol::{ErrorCode, Join, Joined, Secret};

use super::{Context, Place};
use crate::discover;
use crate::exit::Failure;
use crate::invitation::Target;
use crate::line::Line;

/// Opens a line as the one who was given the code.
pub(crate) async fn guest(context: &Context<'_>, target: Target) -> Result<Line, Failure> {
    let place = Place::default();
    let connected = context.limited(visit(context, target, &place)).await;
    place.given_back(&connected).await;
    Line::new(context, connected, None).await
}

async fn visit(context: &Context<'_>, target: Target, place: &Place) -> Result<Session, Failure> {
    let Target { code, server } = target;
    // A link is good for its own server only.
    let common = context.common;
    let of_link = server.map(|server| common.server_of_link(server));
    let (server, signaling, joined) = match of_link.or_else(|| common.server()) {
        Some(server) => {
            let token = common.token_for(&server);
            let (signaling, joined) = join_existing(&server, code.room(), token)
                .await
                .map_err(|error| Failure::from(&error))?;
            (server, signaling, joined)
        }
        None => {
            let joining = |server: ServerUrl| join_if_there(server, &code);
            discover::find(&[code.room()], joining).await?
        }
    };
    tracing::info!(%server, "joined");
    place.taken(&signaling);
    let config = context.session_config(&server);
    Session::guest(signaling, &joined, &code, config)
        .await
        .map_err(|error| Failure::from(&error))
}

/// Enters a room that the other side has made.
pub(crate) async fn join_existing(
    server: &ServerUrl,
    room: &str,
    token: Option<Secret>,
) -> Result<(Signaling, Joined), SignalingError> {
    let join = Join {
        room: room.parse().ok(),
        create: Some(false),
        token,
        ..Join::default()
    };
    Signaling::join(server, join).await
}

async fn join_if_there(
    server: ServerUrl,
    code: &Code,
) -> Result<Option<(ServerUrl, Signaling, Joined)>, Failure> {
    match join_existing(&server, code.room(), None).await {
        Ok((signaling, joined)) => Ok(Some((server, signaling, joined))),
        Err(SignalingError::Refused(refusal)) if refusal.code == ErrorCode::NoSuchRoom => Ok(None),
        Err(error) => Err(Failure::from(&error)),
    }
}
