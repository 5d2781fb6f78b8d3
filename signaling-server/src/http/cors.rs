//! Which pages may talk to this server, and what their browsers have to be told.

use crate::{config::Origins, refusal::Refusal};
use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use signaling_protocol::ErrorCode;

/// How long a browser may remember the answer to a preflight: what Chromium takes at most.
const MAX_AGE: &str = "7200";

/// What a page of an allowed origin gets.
#[derive(Debug)]
pub(crate) struct Grant(Option<HeaderValue>);

/// Lets a request in by its `Origin`, or says why not.
pub(crate) fn check(origins: &Origins, headers: &HeaderMap) -> Result<Grant, Refusal> {
    let mut given = headers.get_all(header::ORIGIN).iter();
    let (first, second) = (given.next(), given.next());
    if second.is_some() {
        return Err(Refusal::new(
            ErrorCode::Unauthorized,
            "more than one Origin",
        ));
    }
    match (origins, first) {
        (Origins::Any, _) => Ok(Grant(Some(HeaderValue::from_static("*")))),
        (Origins::Only(_), None) => Ok(Grant(None)),
        (Origins::Only(list), Some(origin))
            if list
                .iter()
                .any(|allowed| origin.as_bytes() == allowed.as_bytes()) =>
        {
            Ok(Grant(Some(origin.clone())))
        }
        (Origins::Only(_), Some(_)) => Err(Refusal::new(
            ErrorCode::Unauthorized,
            "pages of this origin are not allowed here; its operator can add it",
        )),
    }
}

impl Grant {
    /// Adds what a browser needs to let its page see the response.
    pub(crate) fn apply(self, mut response: Response) -> Response {
        if let Some(origin) = self.0 {
            let headers = response.headers_mut();
            if origin != "*" {
                headers.insert(header::VARY, HeaderValue::from_static("Origin"));
            }
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        response
    }

    /// The answer to `OPTIONS`.
    pub(crate) fn preflight(self) -> Response {
        let fixed: [(HeaderName, &str); 3] = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "authorization, content-type, last-event-id",
            ),
            (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
        ];
        self.apply((StatusCode::NO_CONTENT, fixed).into_response())
    }
}
