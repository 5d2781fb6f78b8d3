//! The HTTP server: bodies, limits, and who is asked. What is answered is decided in [`request`](super::request) and
//! [`resource`](super::resource).

use super::conversation::{Ask, Conversation, FIRST, Refusal};
use super::fragment::{Credentials, Fragment, MAX_FRAGMENT, Malformed};
use super::offer::{self, Role, Section};
use super::reply::Reply;
use super::request::{self, Asked, Token};
use super::resource::Resource;
use crate::session::MAX_SDP;
use crate::signaling::{Begins, Carried, Signaling};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, ORIGIN};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use signaling_protocol::{IceServer, Joined, PeerName};
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// Sessions at a time, each with a connection of its own.
const CAPACITY: usize = 128;

/// HTTP connections at a time; others wait until one is closed.
const CONNECTIONS: usize = 256;

/// Bytes of a head. Real ones stay below 2 KiB.
const HEAD_BYTES: usize = 16 << 10;

/// How long a head, and a body, may take to come; a connection without a request is closed after as long.
const READ_LIMIT: Duration = Duration::from_secs(10);

/// Requests that wait for one session.
const ASKS: usize = 16;

/// After a connection that could not be accepted: there are no file descriptors, and there may be some soon.
const PAUSE: Duration = Duration::from_millis(50);

/// Headers of answers that pages may read (RFC 9725 section 4.2).
const EXPOSED: &str = "accept-patch, accept-post, etag, link, location, retry-after";

/// Listens for those who publish and play by HTTP.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    token: Option<Token>,
}

/// Somebody who wants to publish or to play.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(crate) role: Role,
    /// Under which it is published, or of what is played.
    pub(crate) name: Option<PeerName>,
    /// What is offered.
    pub(crate) sections: Vec<Section>,
    /// The conversation with it, in a room where nobody else is.
    pub(crate) signaling: Signaling,
    pub(crate) joined: Joined,
    /// Whether it is on this machine.
    pub(crate) is_local: bool,
    /// Whoever takes it drops this.
    pub(crate) refusal: oneshot::Sender<Refusal>,
}

impl Server {
    /// Listens; everybody who connects may publish and play, unless there is a token.
    ///
    /// # Errors
    /// The address is not of this machine, or taken.
    pub async fn bind(address: SocketAddr, token: Option<Token>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener, token })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Until it is dropped, and every session with it. `servers` are for clients and sessions.
    pub(crate) async fn run(
        self,
        visitors: mpsc::Sender<Visitor>,
        servers: watch::Receiver<Vec<IceServer>>,
    ) {
        let (begun, mut new) = mpsc::channel(ASKS);
        let shared = Arc::new(Shared {
            token: self.token,
            visitors,
            servers,
            begun,
            sessions: Mutex::default(),
        });
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut tasks = JoinSet::new();
        loop {
            let accepted = async {
                // It is never closed.
                let place = places.clone().acquire_owned().await;
                (place, self.listener.accept().await)
            };
            tokio::select! {
                (place, stream) = accepted => match stream {
                    Ok((stream, from)) => {
                        let shared = shared.clone();
                        tasks.spawn(async move {
                            let is_local = from.ip().to_canonical().is_loopback();
                            connection(shared, stream, is_local).await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                Some(conversation) = new.recv() => {
                    tasks.spawn(Conversation::run(conversation));
                }
                Some(_) = tasks.join_next() => {}
            }
        }
    }
}

struct Shared {
    token: Option<Token>,
    visitors: mpsc::Sender<Visitor>,
    servers: watch::Receiver<Vec<IceServer>>,
    begun: mpsc::Sender<Conversation<Seat>>,
    sessions: Mutex<HashMap<String, mpsc::Sender<Ask>>>,
}

impl Shared {
    fn sessions(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<Ask>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the places for sessions.
struct Seat {
    shared: Arc<Shared>,
    id: String,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.sessions().remove(&self.id);
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream, is_local: bool) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(answer(&shared, request, is_local).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_LIMIT)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "an HTTP connection broke");
    }
}

async fn answer(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
    is_local: bool,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let reply = match decide(shared, &head, body, is_local).await {
        Ok(reply) | Err(reply) => reply,
    };
    response(reply, origin(&head.headers, shared.token.is_some()))
}

async fn decide(
    shared: &Arc<Shared>,
    head: &Parts,
    body: Incoming,
    is_local: bool,
) -> Result<Reply, Reply> {
    let gone = || Reply::problem(404, "there is no such session, or not any more");
    let (ask, reply) = match request::read(head, shared.token.as_ref())? {
        Asked::Create { role, name } => {
            let sdp = text(body, MAX_SDP).await?;
            return create(shared, (role, name), sdp, is_local).await;
        }
        Asked::Patch { id, if_match } => {
            let asks = shared.sessions().get(&id).cloned().ok_or_else(gone)?;
            let fragment = Fragment::parse(&text(body, MAX_FRAGMENT).await?);
            let fragment = fragment.map_err(|Malformed(why)| Reply::problem(400, why))?;
            let (reply, answered) = oneshot::channel();
            let patch = Ask::Patch {
                if_match,
                fragment,
                reply,
            };
            (asks.try_send(patch), answered)
        }
        Asked::Delete { id } => {
            let asks = shared.sessions().get(&id).cloned().ok_or_else(gone)?;
            let (reply, answered) = oneshot::channel();
            (asks.try_send(Ask::Delete(reply)), answered)
        }
    };
    match ask {
        Ok(()) => reply.await.map_err(|_| gone()),
        // overflow: refused; the session answers at once, so this is a flood.
        Err(mpsc::error::TrySendError::Full(_)) => Err(Reply::later(503, "too many requests")),
        Err(mpsc::error::TrySendError::Closed(_)) => Err(gone()),
    }
}

async fn create(
    shared: &Arc<Shared>,
    (role, name): (Role, Option<PeerName>),
    sdp: String,
    is_local: bool,
) -> Result<Reply, Reply> {
    let sections = offer::check(&sdp, role)?;
    let remote = Credentials::of(&sdp).map_err(|Malformed(why)| Reply::problem(400, why))?;
    let closing = || Refusal::Closing.reply();
    let servers = shared.servers.borrow().clone();
    let opened = Carried::open(Begins::Them, servers.clone());
    let (signaling, joined, carried) = opened.map_err(|_| closing())?;
    // Nobody guesses 128 bits.
    let id = format!("{:032x}", rand::random::<u128>());
    let (asks_tx, asks) = mpsc::channel(ASKS);
    {
        let mut sessions = shared.sessions();
        if sessions.len() >= CAPACITY {
            return Err(Reply::later(503, "there are too many sessions"));
        }
        sessions.insert(id.clone(), asks_tx);
    }
    let seat = Seat {
        shared: shared.clone(),
        id: id.clone(),
    };
    let (refusal, refused) = oneshot::channel();
    let visitor = Visitor {
        role,
        name,
        sections,
        signaling,
        joined,
        is_local,
        refusal,
    };
    // overflow: refused; those who wait are taken at once.
    let taken = shared.visitors.try_send(visitor);
    taken.map_err(|_| Reply::later(503, "too many come at once"))?;
    let (mut resource, actions) = Resource::new(Instant::now(), id, FIRST, sdp, remote);
    resource.use_servers(servers);
    let (first, made) = oneshot::channel();
    let conversation =
        Conversation::begin((resource, actions), carried, asks, refused, first, seat);
    let begun = shared.begun.send(conversation).await;
    begun.map_err(|_| closing())?;
    made.await.map_err(|_| closing())
}

async fn text(body: Incoming, most: usize) -> Result<String, Reply> {
    let read = tokio::time::timeout(READ_LIMIT, Limited::new(body, most).collect()).await;
    let read = read.map_err(|_| Reply::problem(408, "the body did not come in time"))?;
    let bytes = read.map_err(|error| match error.is::<LengthLimitError>() {
        true => Reply::problem(413, &format!("the body has more than {most} bytes")),
        false => Reply::problem(400, "the body broke off"),
    })?;
    let text = String::from_utf8(bytes.to_bytes().into());
    text.map_err(|_| Reply::problem(400, "the body is not text"))
}

/// Which pages may use this: all, if they need a token; otherwise those of this machine, because any page that
/// somebody happens to open could watch the room.
fn origin(headers: &HeaderMap, has_token: bool) -> Option<HeaderValue> {
    if has_token {
        return Some(HeaderValue::from_static("*"));
    }
    let origin = headers.get(ORIGIN)?;
    let url = url::Url::parse(origin.to_str().ok()?).ok()?;
    let is_local = match url.host()? {
        url::Host::Domain(name) => name == "localhost",
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
    };
    is_local.then(|| origin.clone())
}

fn response(reply: Reply, origin: Option<HeaderValue>) -> Response<Full<Bytes>> {
    let (kind, text) = match reply.body {
        Some((kind, text)) => (Some(kind), text),
        None => (None, String::new()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if let Some(kind) = kind {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    for (name, value) in reply.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.append(name, value);
        }
    }
    if let Some(origin) = origin {
        headers.insert("access-control-allow-origin", origin);
        headers.insert(
            "access-control-expose-headers",
            HeaderValue::from_static(EXPOSED),
        );
        headers.insert("vary", HeaderValue::from_static("origin"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_others_need_a_token() {
        let allowed = |text: &'static str, has_token| {
            let mut headers = HeaderMap::new();
            headers.insert(ORIGIN, HeaderValue::from_static(text));
            origin(&headers, has_token)
        };
        for (text, is_local) in [
            ("http://localhost:3000", true),
            ("https://127.0.0.1", true),
            ("http://[::1]:80", true),
            ("https://example.org", false),
            ("https://localhost.example.org", false),
            ("null", false),
        ] {
            assert_eq!(allowed(text, false).is_some(), is_local, "{text}");
            assert_eq!(allowed(text, true), Some(HeaderValue::from_static("*")));
        }
        assert_eq!(origin(&HeaderMap::new(), false), None);
    }
}
