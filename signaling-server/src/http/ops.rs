//! What operators and their machines ask: metrics, readiness, and the way to HTTPS.

use super::{App, Phase, health_body};
use crate::metrics;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};

/// What is answered to everybody on an address of its own.
pub(crate) fn ops_router(app: App) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health_body))
        .route("/readyz", get(ready))
        .with_state(app)
}

/// What is answered to plain HTTP on a port that speaks HTTPS.
pub(crate) fn redirect_router() -> Router {
    Router::new().fallback(redirect)
}

pub(super) async fn metrics(State(app): State<App>) -> Response {
    let present = app.hub.present(*app.phase.borrow() != Phase::Serving);
    let text = app.hub.metrics().encode(present);
    let headers = [
        (header::CONTENT_TYPE, metrics::CONTENT_TYPE),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, text).into_response()
}

/// Whether new peers are welcome.
pub(super) async fn ready(State(app): State<App>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    match *app.phase.borrow() {
        Phase::Serving if app.hub.cluster().is_some_and(|cluster| !cluster.is_up()) => {
            (StatusCode::SERVICE_UNAVAILABLE, headers, "no Redis\n").into_response()
        }
        Phase::Serving => (headers, "ready\n").into_response(),
        Phase::Draining | Phase::Stopping => {
            (StatusCode::SERVICE_UNAVAILABLE, headers, "draining\n").into_response()
        }
    }
}

async fn redirect(headers: HeaderMap, uri: Uri) -> Response {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let location = host
        .filter(|host| !host.is_empty() && host.bytes().all(is_of_host))
        .map(|host| format!("https://{host}{}", uri.path()))
        .and_then(|location| HeaderValue::try_from(location).ok());
    let close = (header::CONNECTION, HeaderValue::from_static("close"));
    match location {
        Some(location) => (
            StatusCode::PERMANENT_REDIRECT,
            [close, (header::LOCATION, location)],
            "This server speaks HTTPS.\n",
        )
            .into_response(),
        None => (
            StatusCode::BAD_REQUEST,
            [close],
            "This server speaks HTTPS.\n",
        )
            .into_response(),
    }
}

fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte)
}
