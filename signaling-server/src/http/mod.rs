//! HTTP: routes, and what a request knows about its connection.

mod admin;
mod api;
mod cors;
mod eager;
mod listen;
mod ops;
mod page;
mod refuse;
mod stream;
mod upgrade;
mod ws;

pub(crate) use ops::{ops_router, redirect_router};

use crate::{
    hub::{ConnectionGuard, Hub},
    refusal::Refusal,
    sources::Source,
};
use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::json;
use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};
use tokio::{sync::watch, time::sleep_until};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a connection may serve requests that are not a member's: a client that reads the page at one
/// byte a second does not hold it for ever. A WebSocket has left this clock behind, a stream moves it.
const HTTP_LIMIT: Duration = Duration::from_secs(120);

/// Where a server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Everybody is welcome.
    Serving,
    /// Nobody new; pairings that are under way go on.
    Draining,
    /// Everything ends now.
    Stopping,
}

/// What handlers share.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) hub: Arc<Hub>,
    /// Cancelled, the server goes away as if it had been told by a signal.
    pub(crate) drain: CancellationToken,
    pub(crate) phase: watch::Receiver<Phase>,
    /// Owns the tasks of upgraded connections.
    pub(crate) tasks: TaskTracker,
}

/// The connection that a request came on.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) source: Source,
    /// The client, as far as a trusted proxy tells.
    pub(crate) address: IpAddr,
    /// When it was accepted; behind a proxy, when the request came.
    pub(crate) since: Instant,
    /// Whether it may be used. A refused one is kept just long enough to say why.
    pub(crate) admission: Result<ConnectionGuard, Refusal>,
    /// The proxy's connection below this request, which counts for as long.
    _below: Option<Arc<Self>>,
    clock: Arc<Clock>,
}

/// When a connection has to be through with its requests.
#[derive(Debug)]
pub(crate) struct Clock(Mutex<Instant>);

impl Connection {
    pub(crate) fn new(
        address: IpAddr,
        admission: Result<ConnectionGuard, Refusal>,
        now: Instant,
    ) -> Self {
        Self {
            source: Source::of(address),
            address,
            since: now,
            admission,
            _below: None,
            clock: Arc::new(Clock(Mutex::new(now + HTTP_LIMIT))),
        }
    }

    /// A request that a trusted proxy passes on for somebody.
    pub(crate) fn behind(
        proxy: &Arc<Self>,
        address: IpAddr,
        admission: Result<ConnectionGuard, Refusal>,
        now: Instant,
    ) -> Self {
        Self {
            _below: Some(Arc::clone(proxy)),
            clock: Arc::clone(&proxy.clock),
            ..Self::new(address, admission, now)
        }
    }

    pub(crate) fn clock(&self) -> Arc<Clock> {
        Arc::clone(&self.clock)
    }

    /// A member uses it.
    pub(crate) fn keep(&self, now: Instant) {
        self.allow_until(now + HTTP_LIMIT);
    }

    fn allow_until(&self, at: Instant) {
        let mut until = self.clock.until();
        *until = at.max(*until);
    }
}

impl Clock {
    /// Waits until it has served requests for too long.
    pub(crate) async fn expired(&self) {
        loop {
            let until = *self.until();
            if until <= Instant::now() {
                return;
            }
            sleep_until(until.into()).await;
        }
    }

    fn until(&self) -> MutexGuard<'_, Instant> {
        self.0.lock().expect("nothing panics while it holds a time")
    }
}

pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/", get(root))
        .route("/ws", get(upgrade::respond))
        .route("/events", get(listen::events).options(preflight))
        .route(
            "/api/rooms/{room}/messages",
            post(api::messages).options(preflight),
        )
        .route(
            "/api/rooms/{room}/events",
            get(api::events).options(preflight),
        )
        .route("/api/rooms/{room}/poll", get(api::poll).options(preflight))
        .route("/healthz", get(health))
        .route("/readyz", get(ops::ready))
        .merge(admin::router(&app))
        .fallback(get(page))
        .with_state(app)
}

async fn preflight(State(app): State<App>, headers: HeaderMap) -> Response {
    match cors::check(&app.hub.doors().origins, &headers) {
        Ok(grant) => grant.preflight(),
        Err(refusal) => refuse::response(&refusal),
    }
}

async fn root(
    app: State<App>,
    connection: Extension<Arc<Connection>>,
    uri: Uri,
    request: Request,
) -> Response {
    if request.headers().contains_key(header::UPGRADE) {
        return upgrade::respond(app, connection, request).await;
    }
    page(connection, uri, request.headers().clone()).await
}

async fn page(
    Extension(connection): Extension<Arc<Connection>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    match &connection.admission {
        Ok(_) => page::respond(uri.path(), &headers),
        Err(refusal) => refuse::response(refusal),
    }
}

async fn health(Extension(connection): Extension<Arc<Connection>>) -> Response {
    if let Err(refusal) = &connection.admission {
        return refuse::response(refusal);
    }
    health_body().await
}

async fn health_body() -> Response {
    let body = json!({ "service": "peerline", "version": env!("CARGO_PKG_VERSION") });
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, body.to_string()).into_response()
}
