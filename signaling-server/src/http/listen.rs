//! `GET /events`: what happens in an open room, for anybody with an `EventSource`.

use super::{App, Connection, Phase, cors, refuse, stream};
use crate::refusal::Refusal;
use axum::{
    Extension,
    extract::{Query, Request, State},
    response::Response,
};
use serde::Deserialize;
use signaling_protocol::{ErrorCode, RoomName, limits::DEFAULT_ROOM};
use std::{sync::Arc, time::Instant};

#[derive(Deserialize)]
struct RoomQuery {
    room: Option<String>,
}

/// `GET /events` and `GET /events?room=R`.
pub(crate) async fn events(
    State(app): State<App>,
    Extension(connection): Extension<Arc<Connection>>,
    request: Request,
) -> Response {
    let grant = match cors::check(&app.origins, request.headers()) {
        Ok(grant) => grant,
        Err(refusal) => return refuse::response(&refusal),
    };
    let listener = admit(&app, &connection, &request).and_then(|room| {
        let last_id = request.headers().get("last-event-id");
        let last_id = last_id.and_then(|id| id.to_str().ok());
        app.hub.listen(&room, last_id, Instant::now())
    });
    grant.apply(match listener {
        Ok(listener) => stream::of_room(app, connection, listener),
        Err(refusal) => refuse::response(&refusal),
    })
}

fn admit(app: &App, connection: &Connection, request: &Request) -> Result<RoomName, Refusal> {
    connection.admission.as_ref().map_err(Refusal::clone)?;
    if *app.phase.borrow() != Phase::Serving {
        return Err(Refusal::draining());
    }
    let Query(query) = Query::<RoomQuery>::try_from_uri(request.uri())
        .map_err(|error| Refusal::new(ErrorCode::BadMessage, error.body_text()))?;
    let room = query.room.as_deref().unwrap_or(DEFAULT_ROOM);
    room.parse()
        .map_err(|error| Refusal::new(ErrorCode::BadRoom, format!("{error}")))
}
