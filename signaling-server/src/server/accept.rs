//! From an accepted connection to its requests: TLS, whose requests they are, and for how long.

use super::{ACCEPT_PAUSE, HEADER_BYTES};
use crate::{
    forwarded::Proxies,
    http::{self, App, Connection, Phase},
    hub::Hub,
    refusal::Refusal,
    socket::Socket as ClientSocket,
    sources::Source,
    tls::Tls,
};
use axum::{Router, http::HeaderMap};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    io,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    pin, select,
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tower_service::Service;

/// Connections over the limits that are told so at the same time; more are cut without a word.
const REFUSALS: usize = 64;

/// The content type of a TLS handshake record (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// Accepts for one server.
pub(super) struct Acceptor {
    hub: Arc<Hub>,
    router: Router,
    proxies: Arc<Proxies>,
    tls: Option<Tls>,
    phase: watch::Receiver<Phase>,
    tasks: TaskTracker,
    refusals: Arc<Semaphore>,
}

impl Acceptor {
    pub(super) fn new(app: App, proxies: Proxies, tls: Option<Tls>) -> Self {
        Self {
            hub: Arc::clone(&app.hub),
            phase: app.phase.clone(),
            tasks: app.tasks.clone(),
            router: http::router(app),
            proxies: Arc::new(proxies),
            tls,
            refusals: Arc::new(Semaphore::new(REFUSALS)),
        }
    }

    pub(super) async fn run(&self, listener: &TcpListener) -> std::convert::Infallible {
        loop {
            match listener.accept().await {
                Ok((stream, address)) => self.accept(stream, address.ip()),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn accept(&self, stream: TcpStream, address: IpAddr) {
        let now = Instant::now();
        let behind_proxy = self.proxies.trusts(address);
        let admission = match behind_proxy {
            true => self.hub.connect_proxy(),
            false => self.hub.connect(Source::of(address), now),
        };
        let permit = match &admission {
            Ok(_) => None,
            Err(Refusal { code, .. }) => {
                tracing::debug!(%code, "no connection");
                self.hub.metrics().refused(*code);
                match Arc::clone(&self.refusals).try_acquire_owned() {
                    Ok(permit) => Some(permit),
                    Err(_) => return,
                }
            }
        };
        // Small frames must not wait for each other; a socket without the option works too.
        let _ = stream.set_nodelay(true);
        let line = Line {
            connection: Arc::new(Connection::new(address, admission, now)),
            behind: behind_proxy.then(|| (Arc::clone(&self.proxies), Arc::clone(&self.hub))),
        };
        let (router, phase) = (self.router.clone(), self.phase.clone());
        let header_timeout = self.hub.limits().header_timeout;
        let tls = self.tls.clone();
        self.tasks.spawn(async move {
            let opened = timeout(header_timeout, open(stream, tls)).await;
            match opened {
                Ok(Ok((stream, Port::Right))) => {
                    serve(stream, line, router, header_timeout, phase).await;
                }
                Ok(Ok((stream, Port::Wrong))) => {
                    let router = http::redirect_router();
                    serve(stream, line, router, header_timeout, phase).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "no TLS"),
                Err(_) => tracing::debug!("no TLS in time"),
            }
            drop(permit);
        });
    }
}

/// Whether a client speaks what the port speaks.
enum Port {
    Right,
    /// Plain HTTP where HTTPS is spoken.
    Wrong,
}

/// Opens TLS, if there is to be any and the client begins it.
async fn open(stream: TcpStream, tls: Option<Tls>) -> io::Result<(ClientSocket, Port)> {
    let Some(tls) = tls else {
        return Ok((ClientSocket::Plain(stream), Port::Right));
    };
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if first[0] != TLS_HANDSHAKE {
        return Ok((ClientSocket::Plain(stream), Port::Wrong));
    }
    // Boxed: the task of a plain connection need not carry the room for a handshake.
    let accepting = Box::pin(TlsAcceptor::from(tls.server_config()).accept(stream));
    let stream = accepting.await?;
    Ok((ClientSocket::Tls(Box::new(stream)), Port::Right))
}

/// A connection, and whose requests come on it.
struct Line {
    connection: Arc<Connection>,
    /// Of a trusted proxy: each request is somebody's.
    behind: Option<(Arc<Proxies>, Arc<Hub>)>,
}

impl Line {
    /// Who has sent this request.
    fn caller(&self, headers: &HeaderMap) -> Arc<Connection> {
        let Some((proxies, hub)) = &self.behind else {
            return Arc::clone(&self.connection);
        };
        let now = Instant::now();
        let address = proxies.client(self.connection.address, headers);
        let admission = match &self.connection.admission {
            Ok(_) => hub.connect_behind(Source::of(address), now),
            Err(refusal) => Err(refusal.clone()),
        };
        Arc::new(Connection::behind(
            &self.connection,
            address,
            admission,
            now,
        ))
    }
}

/// Whether a failed accept says something about that connection only.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// Serves requests on one connection until it ends or becomes a WebSocket.
async fn serve(
    stream: ClientSocket,
    line: Line,
    router: Router,
    header_timeout: Duration,
    mut phase: watch::Receiver<Phase>,
) {
    let clock = line.connection.clock();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        let caller = line.caller(request.headers());
        request.extensions_mut().insert(caller);
        router.clone().call(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    pin!(served);
    let finished = select! {
        result = served.as_mut() => Some(Some(result)),
        () = clock.expired() => Some(None),
        () = until(&mut phase, |phase| phase != Phase::Serving) => None,
    };
    let result = match finished {
        Some(result) => result,
        None => {
            served.as_mut().graceful_shutdown();
            select! {
                result = served.as_mut() => Some(result),
                () = clock.expired() => None,
                () = until(&mut phase, |phase| phase == Phase::Stopping) => return,
            }
        }
    };
    match result {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(%error, "bad request"),
        None => tracing::debug!("request too slow"),
    }
}

/// Waits for a phase, or for the server to be dropped.
async fn until(phase: &mut watch::Receiver<Phase>, reached: impl Fn(Phase) -> bool) {
    let _ = phase.wait_for(|phase| reached(*phase)).await;
}
