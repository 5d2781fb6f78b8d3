//! `GET /events`: what happens in an open room, for anybody with an `EventSource`.

use super::{
    App, Connection, Phase, api, cors,
    refuse::{self, Failed},
    stream,
};
use crate::{access::Wish, refusal::Refusal};
use axum::{
    Extension,
    extract::{Query, Request, State},
    http::HeaderMap,
    response::Response,
};
use serde::Deserialize;
use signaling_protocol::{ErrorCode, RoomName, Secret, limits::DEFAULT_ROOM};
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
    let grant = match cors::check(&app.hub.doors().origins, request.headers()) {
        Ok(grant) => grant,
        Err(refusal) => return refuse::response(&refusal),
    };
    let last_id = request.headers().get("last-event-id");
    let last_id = last_id.and_then(|id| id.to_str().ok());
    let listener = match admit(&app, &connection, &request) {
        Err(refusal) => Err(refusal.into()),
        Ok(room) => allow(&app, &connection, &room, request.headers())
            .await
            .and_then(|()| Ok(app.hub.listen(&room, last_id, Instant::now())?)),
    };
    grant.apply(match listener {
        Ok(listener) => stream::of_room(app, connection, listener),
        Err(failed) => api::refused(&app, &failed),
    })
}

/// Where not everybody may enter, not everybody may listen either.
async fn allow(
    app: &App,
    connection: &Connection,
    room: &RoomName,
    headers: &HeaderMap,
) -> Result<(), Failed> {
    if app.hub.doors().access.is_open() {
        return Ok(());
    }
    let token = api::bearer(headers)?.map(Secret::new);
    let wish = Wish {
        source: connection.source,
        address: connection.address,
        token,
        room: Some(room.clone()),
        create: Some(false),
    };
    let verdict = api::verdict(app, &wish).await;
    let covered = verdict.and_then(|grant| match grant.covers(room) {
        true => Ok(()),
        false => Err(Refusal::new(
            ErrorCode::Unauthorized,
            "this token is for another room",
        )),
    });
    let had_token = wish.token.is_some();
    app.hub
        .judged(wish.source, had_token, &covered, Instant::now());
    covered.map_err(|refusal| api::unauthorised(&refusal))
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
