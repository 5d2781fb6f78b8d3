//! Refusals before there is a WebSocket: the protocol's `error` object with an HTTP status.

use crate::{closing::Closing, refusal::Refusal};
use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use signaling_protocol::ErrorCode;

const HEADERS: [(header::HeaderName, &str); 4] = [
    (header::CONTENT_TYPE, "application/json"),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // What was wrong with this request would be wrong with the next one.
    (header::CONNECTION, "close"),
];

/// A request that failed: its status and its body.
#[derive(Debug)]
pub(crate) struct Failed {
    /// For the counters.
    pub(crate) code: Option<ErrorCode>,
    status: StatusCode,
    body: String,
}

impl Failed {
    /// With a status that says more than the code does.
    pub(crate) fn with(status: StatusCode, refusal: &Refusal) -> Self {
        let (code, body) = (Some(refusal.code), refusal.to_message().to_json());
        Self { code, status, body }
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self::with(status(refusal.code), &refusal)
    }
}

/// The membership ended, which somebody has to be told in a response.
impl From<&Closing> for Failed {
    fn from(closing: &Closing) -> Self {
        let refusal = Refusal::new(ErrorCode::ResumeFailed, "this member left");
        let body = match &closing.error {
            Some(error) => error.as_str().to_owned(),
            None => refusal.to_message().to_json(),
        };
        let code = closing.code();
        Self {
            code,
            status: status(code.unwrap_or(ErrorCode::ResumeFailed)),
            body,
        }
    }
}

/// The response to a request that failed.
pub(crate) fn failed(failed: &Failed) -> Response {
    let Failed { status, body, .. } = failed;
    (*status, HEADERS, body.clone()).into_response()
}

/// The response to a request that is refused.
pub(crate) fn response(refusal: &Refusal) -> Response {
    with_status(status(refusal.code), refusal)
}

/// The same with a status that says more than the code does.
pub(crate) fn with_status(status: StatusCode, refusal: &Refusal) -> Response {
    (status, HEADERS, refusal.to_message().to_json()).into_response()
}

fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::Unauthorized => StatusCode::FORBIDDEN,
        ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::ServerFull | ErrorCode::Draining => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::RoomFull => StatusCode::FORBIDDEN,
        ErrorCode::NoSuchRoom => StatusCode::NOT_FOUND,
        ErrorCode::HelloTimeout | ErrorCode::IdleTimeout => StatusCode::REQUEST_TIMEOUT,
        ErrorCode::RoomTaken | ErrorCode::TakenOver => StatusCode::CONFLICT,
        ErrorCode::ResumeFailed | ErrorCode::SlowConsumer => StatusCode::GONE,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::BAD_REQUEST,
    }
}
