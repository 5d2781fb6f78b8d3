//! From a request to a WebSocket: who may open one, and as what.

use super::{App, Connection, cors, refuse, ws};
use crate::refusal::Refusal;
use axum::{
    Extension,
    body::Body,
    extract::{Query, Request, State},
    http::{StatusCode, header},
    response::Response,
};
use serde::Deserialize;
use signaling_protocol::{ErrorCode, RoomName, limits::DEFAULT_ROOM};
use std::sync::Arc;
use tokio_tungstenite::tungstenite::{Error, handshake::server::create_response_with_body};

#[derive(Debug, Deserialize)]
struct RoomQuery {
    room: Option<String>,
}

/// How a client starts.
#[derive(Debug)]
pub(crate) enum Entry {
    Join,
    Plain(RoomName),
}

/// Answers a request for a WebSocket.
pub(crate) async fn respond(
    State(app): State<App>,
    Extension(connection): Extension<Arc<Connection>>,
    mut request: Request,
) -> Response {
    if let Err(refusal) = cors::check(&app.hub.doors().origins, request.headers()) {
        return refuse::response(&refusal);
    }
    let response = match create_response_with_body(&request_head(&request), Body::empty) {
        Ok(response) => response,
        Err(error) => return not_a_websocket(&error),
    };
    let entry = entry(&request);
    let upgraded = hyper::upgrade::on(&mut request);
    let tasks = app.tasks.clone();
    tasks.spawn(ws::serve(app, connection, entry, upgraded));
    response
}

/// The parts of a request that decide about an upgrade.
fn request_head(request: &Request) -> axum::http::Request<()> {
    let mut head = axum::http::Request::new(());
    *head.method_mut() = request.method().clone();
    *head.version_mut() = request.version();
    *head.headers_mut() = request.headers().clone();
    head
}

fn not_a_websocket(error: &Error) -> Response {
    let refusal = Refusal::new(
        ErrorCode::BadMessage,
        format!("this path is a WebSocket of version 13 (RFC 6455): {error}"),
    );
    let mut response = refuse::with_status(StatusCode::UPGRADE_REQUIRED, &refusal);
    let headers = response.headers_mut();
    headers.insert(
        header::UPGRADE,
        header::HeaderValue::from_static("websocket"),
    );
    headers.insert(
        header::SEC_WEBSOCKET_VERSION,
        header::HeaderValue::from_static("13"),
    );
    response
}

fn entry(request: &Request) -> Result<Entry, Refusal> {
    let Query(query) = Query::<RoomQuery>::try_from_uri(request.uri())
        .map_err(|error| Refusal::new(ErrorCode::BadMessage, error.body_text()))?;
    match query.room {
        Some(room) => room
            .parse()
            .map(Entry::Plain)
            .map_err(|error| Refusal::new(ErrorCode::BadRoom, format!("{error}"))),
        None if request.uri().path() == "/" => Ok(Entry::Plain(
            DEFAULT_ROOM.parse().expect("it is a room name"),
        )),
        None => Ok(Entry::Join),
    }
}
