//! What whoever administers the server may see and do, with the admin token: the API, its live figures, and
//! the dashboard that shows them. Without a token in the configuration nothing of it is there.

use super::{App, Connection, Phase, api, ops, page, refuse::Failed};
use crate::{refusal::Refusal, session::Session};
use axum::{
    Extension, Router,
    body::{Body, Bytes},
    extract::{Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use signaling_protocol::{ErrorCode, PeerId, RoomName};
use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval};

/// Most rooms and members in one answer.
const MAX_LISTED: usize = 1000;

/// How often the figures are sent.
const FIGURES_INTERVAL: Duration = Duration::from_secs(1);

/// The dashboard; public and the same for everybody, like the page. What it shows needs the token.
const DASHBOARD: [(&str, &str, &str); 3] = [
    (
        "/admin",
        "text/html; charset=utf-8",
        include_str!("dashboard/index.html"),
    ),
    (
        "/admin/dashboard.js",
        "text/javascript; charset=utf-8",
        include_str!("dashboard/dashboard.js"),
    ),
    (
        "/admin/dashboard.css",
        "text/css; charset=utf-8",
        include_str!("dashboard/dashboard.css"),
    ),
];

pub(super) fn router(app: &App) -> Router<App> {
    let mut pages = Router::new();
    for (path, content_type, content) in DASHBOARD {
        let serve = move |State(app): State<App>| async move {
            match app.hub.doors().admin_token {
                Some(_) => asset(content_type, content),
                None => nothing(),
            }
        };
        pages = pages.route(path, get(serve));
    }
    let guarded = Router::new()
        .route("/metrics", get(ops::metrics))
        .route("/api/admin/rooms", get(rooms))
        .route("/api/admin/peers", get(peers))
        .route("/api/admin/kick", post(kick))
        .route("/api/admin/drain", post(drain))
        .route("/api/admin/figures", get(figures));
    let guard = middleware::from_fn_with_state(app.clone(), guard);
    pages.merge(guarded.route_layer(guard))
}

fn asset(content_type: &'static str, content: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    page::guarded((headers, content).into_response())
}

fn nothing() -> Response {
    (StatusCode::NOT_FOUND, "Nothing is here.\n").into_response()
}

/// Lets in whoever has the token.
async fn guard(
    State(app): State<App>,
    Extension(connection): Extension<Arc<Connection>>,
    request: Request,
    next: Next,
) -> Response {
    if app.hub.doors().admin_token.is_none() {
        return nothing();
    }
    match admit(&app, &connection, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(failed) => api::refused(&app, &failed),
    }
}

fn admit(app: &App, connection: &Connection, headers: &HeaderMap) -> Result<(), Failed> {
    connection.admission.as_ref().map_err(Refusal::clone)?;
    let token = api::bearer(headers)?;
    app.hub
        .is_admin(token, connection.source, Instant::now())
        .map_err(|refusal| api::unauthorised(&refusal))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<T> {
    #[serde(flatten)]
    list: T,
    total: usize,
}

#[derive(Serialize)]
struct RoomList {
    rooms: Vec<RoomView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RoomView {
    room: RoomName,
    members: usize,
    away: usize,
    capacity: u16,
    /// Whether anybody may listen.
    open: bool,
    age_seconds: u64,
}

#[derive(Serialize)]
struct PeerList {
    peers: Vec<PeerView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PeerView {
    room: RoomName,
    id: PeerId,
    plain: bool,
    away: bool,
    resumable: bool,
    source: String,
    age_seconds: u64,
}

/// The youngest rooms, at most [`MAX_LISTED`].
async fn rooms(State(app): State<App>) -> Response {
    let now = Instant::now();
    let listed = app.hub.with_rooms(|rooms| {
        let mut all: Vec<_> = rooms.iter().collect();
        let total = all.len();
        all.sort_unstable_by_key(|(_, room)| room.age(now));
        let view = |(name, room): (&RoomName, &crate::room::Room<Arc<Session>>)| RoomView {
            room: name.clone(),
            members: room.len(),
            away: room.away(),
            capacity: room.capacity(),
            open: room.is_open(),
            age_seconds: room.age(now).as_secs(),
        };
        let rooms = all.into_iter().take(MAX_LISTED).map(view).collect();
        let list = RoomList { rooms };
        Listed { list, total }
    });
    json(&listed)
}

#[derive(Deserialize)]
struct RoomQuery {
    room: Option<RoomName>,
}

/// The members of one room, or the first [`MAX_LISTED`] of all.
async fn peers(State(app): State<App>, request: Request) -> Response {
    let query = match Query::<RoomQuery>::try_from_uri(request.uri()) {
        Ok(Query(query)) => query,
        Err(error) => return malformed(&app, error.body_text()),
    };
    let now = Instant::now();
    let listed = app.hub.with_rooms(|rooms| {
        let wanted = |name: &RoomName| query.room.as_ref().is_none_or(|room| room == name);
        let members = rooms
            .iter()
            .filter(|(name, _)| wanted(name))
            .flat_map(|(_, room)| room.members());
        let (mut peers, mut total) = (Vec::new(), 0);
        for member in members {
            total += 1;
            let session = member.handle;
            if peers.len() < MAX_LISTED {
                peers.push(PeerView {
                    room: session.room.clone(),
                    id: session.id.clone(),
                    plain: session.plain,
                    away: member.info.away,
                    resumable: session.is_resumable(),
                    source: session.source.to_string(),
                    age_seconds: now.saturating_duration_since(session.since).as_secs(),
                });
            }
        }
        let list = PeerList { peers };
        Listed { list, total }
    });
    json(&listed)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kick {
    room: RoomName,
    #[serde(default)]
    peer: Option<PeerId>,
}

/// Throws one member, or everybody in a room, out.
async fn kick(State(app): State<App>, body: Bytes) -> Response {
    match serde_json::from_slice::<Kick>(&body) {
        Ok(Kick { room, peer }) => {
            let kicked = app.hub.kick(&room, peer.as_ref());
            tracing::info!(kicked, "members were thrown out");
            json(&serde_json::json!({ "kicked": kicked }))
        }
        Err(error) => malformed(&app, error.to_string()),
    }
}

/// Makes the server go away as SIGTERM does.
async fn drain(State(app): State<App>) -> Response {
    app.drain.cancel();
    json(&serde_json::json!({ "draining": true }))
}

/// The figures of every second, as an event stream, for as long as the token holds.
async fn figures(
    State(app): State<App>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
) -> Response {
    let token = api::bearer(&headers)
        .ok()
        .flatten()
        .unwrap_or_default()
        .to_owned();
    let mut ticks = interval(FIGURES_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let state = (app, connection, ticks, token);
    let events = stream::unfold(state, |(app, connection, mut ticks, token)| async move {
        ticks.tick().await;
        let phase = *app.phase.borrow();
        let doors = app.hub.doors();
        let holds = doors.admin_token.as_ref();
        let holds = holds.is_some_and(|secret| crate::access::is_same(secret.expose(), &token));
        if phase == Phase::Stopping || !holds {
            return None;
        }
        connection.keep(Instant::now());
        let figures = app
            .hub
            .metrics()
            .statistics(app.hub.present(phase != Phase::Serving));
        let figures = serde_json::to_string(&figures).expect("numbers are JSON");
        let event = format!("event: figures\ndata: {figures}\n\n");
        Some((
            Ok::<_, Infallible>(Bytes::from(event)),
            (app, connection, ticks, token),
        ))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(events)).into_response()
}

fn malformed(app: &App, why: String) -> Response {
    let refusal = Refusal::new(ErrorCode::BadMessage, why);
    api::refused(app, &refusal.into())
}

fn json(value: &impl Serialize) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ];
    let text = serde_json::to_string(value).expect("the admin's answers are JSON");
    (headers, text).into_response()
}
