//! One HTTP/1.1 connection to the server, for networks that let nothing else through.

use super::dial;
use super::error::{Lost, Unreachable, shown};
use super::server_url::ServerUrl;
use super::tls::trust;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::MaybeTlsStream;
use tokio_util::task::AbortOnDropHandle;

/// Bytes of the largest response that is read to its end: what one poll returns, with room for one more
/// message of full size.
const MAX_BODY: usize = 256 * 1024;

/// Headers of our own requests and of the server's answers are short.
const HEADER_BYTES: usize = 16 * 1024;

/// What a request asks for.
#[derive(Debug, Clone)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// Below the server's page.
    pub(super) path: &'a str,
    pub(super) token: Option<&'a str>,
    pub(super) last_event_id: Option<u64>,
    pub(super) body: String,
}

/// An open connection; dropped, it is closed.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    _driver: AbortOnDropHandle<()>,
}

impl Connection {
    pub(crate) async fn open(server: &ServerUrl) -> Result<Self, Unreachable> {
        let (host, port) = server.host_and_port();
        let stream = dial::dial(&host, port).await?;
        let stream = if server.is_secure() {
            let tls = TlsConnector::from(Arc::new(trust(server).await?));
            let failed = |text: String| Unreachable::Tls(shown(&text));
            let name = ServerName::try_from(host).map_err(|error| failed(error.to_string()))?;
            let stream = tls.connect(name, stream).await;
            MaybeTlsStream::Rustls(stream.map_err(|error| failed(error.to_string()))?)
        } else {
            MaybeTlsStream::Plain(stream)
        };
        let (sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(HEADER_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Unreachable::Network(shown(&error.to_string())))?;
        let driver = tokio::spawn(async move {
            // Its failure is the failure of the request that is on it.
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            _driver: AbortOnDropHandle::new(driver),
        })
    }

    /// Whether the server still keeps it open.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Asks, and returns with the header of the response.
    pub(super) async fn ask(
        &mut self,
        server: &ServerUrl,
        ask: Ask<'_>,
    ) -> Result<Response<Incoming>, Lost> {
        let Ask {
            method,
            path,
            token,
            last_event_id,
            body,
        } = ask;
        let (path, host) = server.request(path);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host);
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/x-ndjson");
        }
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Lost::Protocol(shown(&error.to_string())))?;
        self.send(request).await
    }

    /// As [`ask`](Self::ask), anything.
    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Lost> {
        self.sender.send_request(request).await.map_err(broken)
    }
}

/// The whole body as text.
pub(super) async fn text(response: Response<Incoming>) -> Result<String, Lost> {
    let body = Limited::new(response.into_body(), MAX_BODY)
        .collect()
        .await
        .map_err(|error| Lost::Network(shown(&error.to_string())))?;
    String::from_utf8(body.to_bytes().to_vec())
        .map_err(|_| Lost::Protocol("its answer is not text".to_owned()))
}

/// The next piece of a body; `None` at its end. Cancelled, it has taken nothing.
pub(super) async fn piece(body: &mut Incoming) -> Result<Option<Bytes>, Lost> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(error)) => return Err(broken(error)),
            // Trailers say nothing here.
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => return Ok(Some(data)),
                Err(_) => continue,
            },
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn broken(error: hyper::Error) -> Lost {
    Lost::Network(shown(&error.to_string()))
}
