//! Listening, accepting, and going away in good order.

use crate::{
    config::{Config, Origins},
    http::{self, App, Connection, Phase},
    hub::Hub,
    refusal::Refusal,
    sources::Source,
    turn::{Minter, Turn},
};
use axum::Router;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    pin, select,
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;
use tower_service::Service;

/// Connections that the kernel keeps while we are busy: a reconnecting crowd.
const BACKLOG: i32 = 1024;

/// What the kernel keeps for a client that does not read (it doubles this). Together with the
/// outbox it bounds the memory that one such client takes; by itself the kernel goes up to 4 MiB.
const SEND_BUFFER: usize = 64 * 1024;

/// Longest request header, and the least that hyper allows.
const HEADER_BYTES: usize = 8 * 1024;

/// How long connections get to end once the server stops: their own limit for last words is 1 s.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// Pause after a failed accept: out of file descriptors, every attempt fails until one is closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections over the limits that are told so at the same time; more are cut without a word.
const REFUSALS: usize = 64;

/// The server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program has the port.
    #[error("{address} is in use by another program: stop it, or choose another port")]
    InUse {
        /// What was asked for.
        address: SocketAddr,
    },
    /// The address or port is not ours to take.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A server that listens. [`Server::run`] makes it answer; dropping it closes the port.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    turn: Option<Turn>,
    config: Config,
}

impl Server {
    /// Starts to listen. Must be called within a Tokio runtime with I/O and time enabled.
    pub fn bind(mut config: Config) -> Result<Self, BindError> {
        let address = config.listen;
        let listener = listen(address).or_else(|error| match address.ip() {
            IpAddr::V6(ip) if ip.is_unspecified() && has_no_ipv6(&error) => {
                listen((Ipv4Addr::UNSPECIFIED, address.port()).into())
            }
            _ => Err(error),
        });
        let bound = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let failed = |address, source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { address },
            _ => BindError::Listen { address, source },
        };
        let (local_addr, listener) = bound.map_err(|source| failed(address, source))?;
        let turn = config.turn.take().map(Turn::bind).transpose();
        let turn = turn.map_err(|(address, source)| failed(address, source))?;
        Ok(Self {
            listener,
            local_addr,
            turn,
            config,
        })
    }

    /// The address that it listens on, with the port that it got.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Where the TURN server inside listens, for UDP and TCP alike.
    pub fn turn_addrs(&self) -> Vec<SocketAddr> {
        self.turn
            .as_ref()
            .map(Turn::local_addrs)
            .unwrap_or_default()
    }

    /// Serves until `shutdown` is ready, then goes away: nobody new is let in, everybody is told
    /// `draining`, pairings under way get `drain_grace` to finish, and what is left is closed.
    /// Dropped before that, it closes every connection at once.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self {
            listener,
            config,
            turn,
            ..
        } = self;
        let Config {
            origins,
            ice_servers,
            turn_uris,
            turn_secret,
            limits,
            ..
        } = config;
        let (phase, watcher) = watch::channel(Phase::Serving);
        let tasks = TaskTracker::new();
        let mut minter = Minter::new(turn_secret.as_ref(), turn_uris);
        // Aborted with this future: what is relayed ends with the server.
        let mut relaying = JoinSet::new();
        if let Some(turn) = turn {
            minter.add_urls(turn.urls());
            relaying.spawn(turn.run(minter.clone()));
        }
        let hub = Arc::new(Hub::new(limits.clone(), ice_servers, minter));
        let acceptor = Acceptor::new(Arc::clone(&hub), origins, watcher, tasks.clone());
        select! {
            biased;
            () = shutdown => {}
            never = acceptor.run(&listener) => match never {},
            never = hub.keep_time() => match never {},
        }
        drop(listener);
        drop(acceptor);
        tasks.close();
        tracing::info!(connections = tasks.len(), "draining");
        phase.send_replace(Phase::Draining);
        if timeout(limits.drain_grace, tasks.wait()).await.is_err() {
            phase.send_replace(Phase::Stopping);
            // What does not end now ends with `phase`, which is dropped here.
            let _ = timeout(STOP_LIMIT, tasks.wait()).await;
        }
        tracing::info!("stopped");
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        // `[::]` takes IPv4 as well, whatever the system's default is.
        socket.set_only_v6(false)?;
    }
    // On Unix this only passes over connections of an earlier run; on Windows it would share the
    // port with a running program.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Whether the machine has IPv6 switched off, in one of the ways to do so.
fn has_no_ipv6(error: &io::Error) -> bool {
    // EAFNOSUPPORT has no portable kind.
    !matches!(
        error.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
    )
}

struct Acceptor {
    hub: Arc<Hub>,
    router: Router,
    phase: watch::Receiver<Phase>,
    tasks: TaskTracker,
    refusals: Arc<Semaphore>,
}

impl Acceptor {
    fn new(
        hub: Arc<Hub>,
        origins: Origins,
        phase: watch::Receiver<Phase>,
        tasks: TaskTracker,
    ) -> Self {
        let app = App {
            hub: Arc::clone(&hub),
            origins: Arc::new(origins),
            phase: phase.clone(),
            tasks: tasks.clone(),
        };
        let refusals = Arc::new(Semaphore::new(REFUSALS));
        Self {
            hub,
            router: http::router(app),
            phase,
            tasks,
            refusals,
        }
    }

    async fn run(&self, listener: &TcpListener) -> std::convert::Infallible {
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
        let source = Source::of(address);
        let now = Instant::now();
        let admission = self.hub.connect(source, now);
        let permit = match &admission {
            Ok(_) => None,
            Err(Refusal { code, .. }) => {
                tracing::debug!(%code, "no connection");
                match Arc::clone(&self.refusals).try_acquire_owned() {
                    Ok(permit) => Some(permit),
                    Err(_) => return,
                }
            }
        };
        // Small frames must not wait for each other; a socket without the option works too.
        let _ = stream.set_nodelay(true);
        let connection = Arc::new(Connection::new(source, admission, now));
        let (router, phase) = (self.router.clone(), self.phase.clone());
        let header_timeout = self.hub.limits().header_timeout;
        self.tasks.spawn(async move {
            serve(stream, connection, router, header_timeout, phase).await;
            drop(permit);
        });
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
    stream: TcpStream,
    connection: Arc<Connection>,
    router: Router,
    header_timeout: Duration,
    mut phase: watch::Receiver<Phase>,
) {
    let clock = Arc::clone(&connection);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Arc::clone(&connection));
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
