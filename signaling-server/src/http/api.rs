//! The same messages without a WebSocket: POST what is said, GET what is heard, in one stream or in polls.

use super::{
    App, Connection, Phase, cors,
    refuse::{self, Failed},
    stream,
};
use crate::{
    access::{Decision, Grant, Wish},
    closing::Closing,
    refusal::Refusal,
    rooms::Entrance,
    session::{Medium, Session, too_large},
};
use axum::{
    Extension,
    body::{Bytes, to_bytes},
    extract::{Path, Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use signaling_protocol::{
    ClientMessage, ErrorCode, Join, RoomName, ServerMessage,
    limits::{MESSAGE_BYTES_BEFORE_JOIN, POST_BYTES, POST_MESSAGES},
};
use std::{ops::ControlFlow, sync::Arc, time::Instant};
use tokio::time::timeout;

/// The path segment for a room of the server's choice; no room has this name.
const ANY_ROOM: &str = "-";

/// Bytes of messages after which a poll is answered with what it has.
const POLL_BYTES: usize = 64 * 1024;

const LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// A request that was let in.
struct Caller {
    app: App,
    connection: Arc<Connection>,
    room: String,
    request: Request,
}

/// What handlers are given.
type Context = (
    State<App>,
    Extension<Arc<Connection>>,
    Path<String>,
    Request,
);

/// `POST /api/rooms/{room}/messages`.
pub(crate) async fn messages(
    app: State<App>,
    connection: Extension<Arc<Connection>>,
    room: Path<String>,
    request: Request,
) -> Response {
    answer((app, connection, room, request), say).await
}

/// `GET /api/rooms/{room}/events`.
pub(crate) async fn events(
    app: State<App>,
    connection: Extension<Arc<Connection>>,
    room: Path<String>,
    request: Request,
) -> Response {
    answer((app, connection, room, request), listen).await
}

/// `GET /api/rooms/{room}/poll`.
pub(crate) async fn poll(
    app: State<App>,
    connection: Extension<Arc<Connection>>,
    room: Path<String>,
    request: Request,
) -> Response {
    answer((app, connection, room, request), hear).await
}

/// Lets a request in, and adds to its answer what browsers of other origins need.
async fn answer<F: Future<Output = Result<Response, Failed>>>(
    (State(app), Extension(connection), Path(room), request): Context,
    handle: impl FnOnce(Caller) -> F,
) -> Response {
    let grant = match cors::check(&app.hub.doors().origins, request.headers()) {
        Ok(grant) => grant,
        Err(refusal) => return refuse::response(&refusal),
    };
    let shared = app.clone();
    let result = match &connection.admission {
        Err(refusal) => Err(refusal.clone().into()),
        Ok(_) => {
            let caller = Caller {
                app,
                connection,
                room,
                request,
            };
            handle(caller).await
        }
    };
    grant.apply(result.unwrap_or_else(|failed| refused(&shared, &failed)))
}

/// The response to a request that failed, which is counted.
pub(super) fn refused(app: &App, failed: &Failed) -> Response {
    if let Some(code) = failed.code {
        app.hub.metrics().refused(code);
    }
    refuse::failed(failed)
}

/// Waits for the answer to whether somebody may enter.
pub(super) async fn verdict(app: &App, wish: &Wish) -> Result<Grant, Refusal> {
    match app.hub.authorise(wish, Instant::now()) {
        Decision::Now(verdict) => verdict,
        Decision::Later(answer) => {
            let verdict = answer.await.unwrap_or_else(|_| {
                let message = "this server could not find out who may enter";
                Err(Refusal::new(ErrorCode::Internal, message))
            });
            app.hub.answered(&verdict);
            verdict
        }
    }
}

/// A token that does not open is 401 here; 403 is for an Origin.
pub(super) fn unauthorised(refusal: &Refusal) -> Failed {
    match refusal.code {
        ErrorCode::Unauthorized => Failed::with(StatusCode::UNAUTHORIZED, refusal),
        _ => refusal.clone().into(),
    }
}

async fn say(caller: Caller) -> Result<Response, Failed> {
    let Caller {
        app,
        connection,
        room,
        request,
    } = caller;
    let session = match bearer(request.headers())? {
        Some(token) => Some(session_of(&app, &connection, &room, token).await?),
        None => None,
    };
    let limit = match session {
        Some(_) => POST_BYTES,
        None => MESSAGE_BYTES_BEFORE_JOIN,
    };
    // As long as the header may take, and again: a body is some packets more.
    let patience = app.hub.limits().header_timeout * 2;
    let body = match timeout(patience, to_bytes(request.into_body(), limit)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(too_large(limit)),
        Err(_) => Err(Refusal::new(
            ErrorCode::IdleTimeout,
            format!("the body took longer than {patience:?}"),
        )),
    };
    let Some(session) = session else {
        return join(&app, &connection, &room, &body?).await;
    };
    let ended = match body {
        Ok(body) => receive(&app, &session, &body).await.break_value(),
        // A connection that stopped half-way says nothing about the member.
        Err(refusal) if refusal.code == ErrorCode::IdleTimeout => return Err(refusal.into()),
        Err(refusal) => Some(Closing::refused(&refusal)),
    };
    if let Some(closing) = ended {
        let failed = closing.error.as_ref().map(|_| Failed::from(&closing));
        let reason = closing.leave_reason();
        app.hub.remove(&session, reason, closing);
        if let Some(failed) = failed {
            return Err(failed);
        }
    }
    // What came with a request that broke off may still have to be written down, and what is acknowledged must be.
    session.settle(&app.hub).await;
    let ack = ServerMessage::Ack {
        seq: session.received(),
    };
    Ok(json(ack.to_json()))
}

/// Takes one message a line.
async fn receive(app: &App, session: &Session, body: &[u8]) -> ControlFlow<Closing> {
    let refuse = |refusal: Refusal| ControlFlow::Break(Closing::refused(&refusal));
    let Ok(text) = std::str::from_utf8(body) else {
        return refuse(Refusal::new(ErrorCode::BadJson, "text that is not UTF-8"));
    };
    let lines = || text.split('\n').filter(|line| !line.trim().is_empty());
    if lines().count() > POST_MESSAGES {
        let message = format!("more than {POST_MESSAGES} messages at once");
        return refuse(Refusal::new(ErrorCode::TooLarge, message));
    }
    for line in lines() {
        if let Err(refusal) = session.count(app.hub.limits(), Instant::now()) {
            return refuse(refusal);
        }
        session.receive(&app.hub, line)?;
        session.settle(&app.hub).await;
    }
    ControlFlow::Continue(())
}

async fn join(
    app: &App,
    connection: &Connection,
    room: &str,
    body: &[u8],
) -> Result<Response, Failed> {
    let Ok(text) = std::str::from_utf8(body) else {
        return Err(Refusal::new(ErrorCode::BadJson, "text that is not UTF-8").into());
    };
    let ClientMessage::Join(join) = ClientMessage::parse(text).map_err(Refusal::from)? else {
        let refusal = Refusal::new(ErrorCode::NotJoined, "`join` comes first");
        return Err(Failed::with(StatusCode::UNAUTHORIZED, &refusal));
    };
    if *app.phase.borrow() != Phase::Serving {
        return Err(Refusal::draining().into());
    }
    let path = match room {
        ANY_ROOM => None,
        name => Some(room_name(name)?),
    };
    let Join {
        room,
        create,
        capacity,
        name,
        resumable: _,
        token,
        resume: _,
        ack: _,
    } = join;
    if room.is_some() && room != path {
        let message = "`room` is not the one of the path";
        return Err(Refusal::new(ErrorCode::BadMessage, message).into());
    }
    let source = connection.source;
    let wish = Wish {
        source,
        address: connection.address,
        token,
        room: path.clone(),
        create,
    };
    let verdict = verdict(app, &wish).await;
    let mut entrance = Entrance {
        room: path,
        create,
        capacity,
        name,
        plain: false,
        source,
    };
    let now = Instant::now();
    let granted = verdict.and_then(|grant| grant.apply(&mut entrance));
    app.hub.judged(source, wish.token.is_some(), &granted, now);
    granted.map_err(|refusal| unauthorised(&refusal))?;
    let hub = Arc::clone(&app.hub);
    let (_, joined) = hub
        .enter_shared(entrance, true, Medium::Requests, now)
        .await?;
    Ok(json(ServerMessage::Joined(joined).to_json()))
}

async fn listen(caller: Caller) -> Result<Response, Failed> {
    let session = caller.session().await?;
    let ack = match caller.request.headers().get("last-event-id") {
        None => None,
        Some(id) => Some(number("Last-Event-ID", id.to_str().unwrap_or_default())?),
    };
    let Caller {
        app, connection, ..
    } = caller;
    session.settle(&app.hub).await;
    let carrier = app.hub.attach(&session, Medium::Requests, ack, true)?;
    Ok(stream::of_member(app, connection, carrier))
}

#[derive(Deserialize)]
struct PollQuery {
    ack: Option<String>,
}

async fn hear(caller: Caller) -> Result<Response, Failed> {
    let session = caller.session().await?;
    let query = Query::<PollQuery>::try_from_uri(caller.request.uri())
        .map_err(|error| Refusal::new(ErrorCode::BadMessage, error.body_text()))?;
    let ack = match &query.ack {
        None => None,
        Some(ack) => Some(number("ack", ack)?),
    };
    let hub = &caller.app.hub;
    let carrier = hub.attach(&session, Medium::Requests, ack, false)?;
    let mut phase = caller.app.phase.clone();
    let goes = phase.wait_for(|phase| *phase != Phase::Serving);
    let mut next = tokio::select! {
        biased;
        next = carrier.next() => Some(next),
        _ = goes => {
            let reconnect_after_ms = stream::reconnect_after_ms();
            let draining = ServerMessage::Draining { reconnect_after_ms };
            carrier.session().mailbox.push_aside(&draining);
            carrier.take()
        }
        () = tokio::time::sleep(hub.limits().poll_time) => None,
    };
    let mut lines = Vec::new();
    while let Some(result) = next {
        match result {
            Ok(outgoing) => {
                lines.extend_from_slice(outgoing.frame.as_str().as_bytes());
                lines.push(b'\n');
            }
            Err(closing) => {
                let failed = Failed::from(&closing);
                carrier.leave(closing.leave_reason());
                return Err(failed);
            }
        }
        next = match lines.len() {
            0..POLL_BYTES => carrier.take(),
            _ => None,
        };
    }
    Ok(with_type(LINES, lines.into()))
}

impl Caller {
    /// The member whose token came along.
    fn session(&self) -> impl Future<Output = Result<Arc<Session>, Failed>> + use<> {
        let token = bearer(self.request.headers()).and_then(|token| {
            token.map(str::to_owned).ok_or_else(|| {
                let message = "`Authorization: Bearer` with the `resume` of `joined` is missing";
                let refusal = Refusal::new(ErrorCode::Unauthorized, message);
                Failed::with(StatusCode::UNAUTHORIZED, &refusal)
            })
        });
        let (app, connection) = (self.app.clone(), Arc::clone(&self.connection));
        let room = self.room.clone();
        // A body, which must not be kept across a wait, is part of the request.
        async move {
            let session = session_of(&app, &connection, &room, &token?).await?;
            session.count(app.hub.limits(), Instant::now())?;
            Ok(session)
        }
    }
}

async fn session_of(
    app: &App,
    connection: &Connection,
    room: &str,
    token: &str,
) -> Result<Arc<Session>, Refusal> {
    let room = room_name(room)?;
    let now = Instant::now();
    let hub = Arc::clone(&app.hub);
    let session = hub.find_shared(token, connection.source, None, now).await?;
    if session.room != room {
        let message = "this token is for another room";
        return Err(Refusal::new(ErrorCode::BadRoom, message));
    }
    connection.keep(now);
    Ok(session)
}

pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Failed> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (first, second) = (given.next(), given.next());
    let token = match (first, second) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.to_str().ok().and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        }),
        (Some(_), Some(_)) => None,
    };
    let refusal = || {
        let message = "one `Authorization: Bearer` is wanted";
        Failed::with(
            StatusCode::UNAUTHORIZED,
            &Refusal::new(ErrorCode::Unauthorized, message),
        )
    };
    token.map(Some).ok_or_else(refusal)
}

fn room_name(text: &str) -> Result<RoomName, Refusal> {
    text.parse()
        .map_err(|error| Refusal::new(ErrorCode::BadRoom, format!("{error}")))
}

fn number(name: &str, text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| {
        let message = format!("{name} is the number of the last message that arrived");
        Refusal::new(ErrorCode::BadMessage, message)
    })
}

fn json(text: String) -> Response {
    with_type(HeaderValue::from_static("application/json"), text.into())
}

fn with_type(content_type: HeaderValue, body: Bytes) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ];
    (headers, body).into_response()
}
