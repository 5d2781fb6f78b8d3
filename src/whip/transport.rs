//! One request of a client, on a connection of its own. It decides nothing.

use super::client::Remote;
use super::exchange::Ask;
use super::said::Said;
use crate::session::MAX_SDP;
use crate::signaling::{HttpConnection, ServerUrl};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{
    AUTHORIZATION, CONTENT_TYPE, ETAG, HOST, HeaderName, IF_MATCH, LOCATION, RETRY_AFTER,
};
use hyper::{HeaderMap, Request};
use std::time::Duration;
use tokio::time::timeout;
use url::Position;

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(15);

/// Asks; an error says why there was no answer.
pub(super) async fn ask(remote: &Remote, ask: Ask) -> Result<Said, String> {
    let asked = timeout(LIMIT, try_ask(remote, ask)).await;
    asked.unwrap_or_else(|_| Err("it did not answer in time".into()))
}

async fn try_ask(remote: &Remote, ask: Ask) -> Result<Said, String> {
    let url = ask.url;
    let authority = &url[Position::BeforeHost..Position::AfterPort];
    let server: ServerUrl = format!("{}://{authority}", url.scheme())
        .parse()
        .map_err(|_| "its address cannot be used")?;
    let mut request = Request::builder()
        .method(ask.method)
        .uri(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, authority);
    // A token is for the server that it was given for, and not for those that it names.
    if let Some(token) = remote.token_for(&url) {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    if let Some(tag) = ask.if_match {
        request = request.header(IF_MATCH, tag);
    }
    let (kind, body) = ask.body.unzip();
    if let Some(kind) = kind {
        request = request.header(CONTENT_TYPE, kind);
    }
    let request = request
        .body(Full::new(Bytes::from(body.unwrap_or_default())))
        .map_err(|error| error.to_string())?;
    let connection = HttpConnection::open(&server).await;
    let mut connection = connection.map_err(|cause| cause.to_string())?;
    let response = connection.send(request).await;
    let response = response.map_err(|lost| lost.to_string())?;
    let (head, body) = response.into_parts();
    let read = Limited::new(body, MAX_SDP).collect().await;
    let read = read.map_err(|_| "its answer is too large, or broke off")?;
    let text = |name: &HeaderName| header(&head.headers, name);
    Ok(Said {
        status: head.status.as_u16(),
        location: text(&LOCATION),
        etag: text(&ETAG),
        retry_after: text(&RETRY_AFTER).and_then(|seconds| seconds.trim().parse().ok()),
        body: String::from_utf8_lossy(&read.to_bytes()).into_owned(),
    })
}

fn header(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(value.to_owned())
}
