//! Listening, accepting, and going away in good order.

mod accept;

use accept::Acceptor;

use crate::{
    cluster::{self, Cluster},
    config::Config,
    doors::Doors,
    forwarded::Proxies,
    http::{self, App, Phase},
    hub::Hub,
    metrics::Metrics,
    tls::Tls,
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
    time::Duration,
};
use tokio::{
    net::TcpListener,
    select,
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
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

/// Connections for metrics at the same time; more are cut without a word.
const OPS_CONNECTIONS: usize = 64;

/// How long a connection for metrics may last; Prometheus opens another one.
const OPS_LIMIT: Duration = Duration::from_secs(120);

/// The server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program has the port.
    #[error("{address} is in use by another program: stop it, or choose another port")]
    InUse {
        /// What was asked for.
        address: SocketAddr,
    },
    /// What was given as Redis is no address of one.
    #[error("this is no address of Redis: {reason}")]
    Redis {
        /// What is wrong with it.
        reason: String,
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
    ops: Option<TcpListener>,
    turn: Option<Turn>,
    hub: Arc<Hub>,
    minter: Minter,
    proxies: Proxies,
    tls: Option<Tls>,
    drain: CancellationToken,
}

/// Reaches a server that runs.
#[derive(Debug, Clone)]
pub struct ServerHandle {
    hub: Arc<Hub>,
    drain: CancellationToken,
}

impl ServerHandle {
    /// Takes origins, access and the admin token of this configuration for everybody who comes from now
    /// on; who is in stays. Nothing else of it is looked at.
    pub fn reload(&self, config: Config) {
        let Config {
            origins,
            access,
            admin_token,
            ..
        } = config;
        self.hub.set_doors(Doors::new(origins, access, admin_token));
    }

    /// Makes the server go away in good order.
    pub fn drain(&self) {
        self.drain.cancel();
    }
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
        let ops = config
            .metrics_listen
            .map(|address| listen(address).map_err(|source| failed(address, source)));
        let ops = ops.transpose()?;
        let Config {
            origins,
            access,
            admin_token,
            ice_servers,
            turn_uris,
            turn_secret,
            trusted_proxies,
            proxy_header,
            tls,
            redis,
            limits,
            ..
        } = config;
        let metrics = Arc::new(Metrics::new());
        let join = |url| Cluster::new(&url, &limits, metrics.cluster.clone());
        let cluster = redis.map(join).transpose();
        let cluster = cluster.map_err(|reason| BindError::Redis { reason })?;
        let mut minter = Minter::new(turn_secret.as_ref(), turn_uris);
        if let Some(turn) = &turn {
            minter.add_urls(turn.urls());
        }
        let doors = Doors::new(origins, access, admin_token);
        let cluster = cluster.map(Arc::new);
        let hub = Hub::new(limits, ice_servers, minter.clone(), metrics, doors, cluster);
        Ok(Self {
            listener,
            local_addr,
            ops,
            turn,
            hub: Arc::new(hub),
            minter,
            proxies: Proxies::new(trusted_proxies, proxy_header),
            tls,
            drain: CancellationToken::new(),
        })
    }

    /// What reaches it once it runs.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle {
            hub: Arc::clone(&self.hub),
            drain: self.drain.clone(),
        }
    }

    /// Where it answers `/metrics`, if that is an address of its own.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.ops.as_ref()?.local_addr().ok()
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
            ops,
            turn,
            hub,
            minter,
            proxies,
            tls,
            drain,
            ..
        } = self;
        let (phase, watcher) = watch::channel(Phase::Serving);
        let tasks = TaskTracker::new();
        let app = App {
            hub: Arc::clone(&hub),
            drain: drain.clone(),
            phase: watcher,
            tasks: tasks.clone(),
        };
        let header_timeout = hub.limits().header_timeout;
        let drain_grace = hub.limits().drain_grace;
        // Aborted with this future: what is relayed ends with the server, and until then it can be asked
        // how it is.
        let mut beside = JoinSet::new();
        if let Some(turn) = turn {
            beside.spawn(turn.run(minter, Arc::clone(hub.metrics())));
        }
        if let Some(ops) = ops {
            beside.spawn(serve_ops(
                ops,
                http::ops_router(app.clone()),
                header_timeout,
            ));
        }
        let cluster = hub.cluster().cloned();
        if let Some(cluster) = cluster.clone() {
            let hub = Arc::clone(&hub);
            beside.spawn(async move { match cluster::keep(hub, cluster).await {} });
        }
        let acceptor = Acceptor::new(app, proxies, tls);
        select! {
            biased;
            () = shutdown => {}
            () = drain.cancelled() => {}
            never = acceptor.run(&listener) => match never {},
            never = hub.keep_time() => match never {},
        }
        drop(listener);
        drop(acceptor);
        tasks.close();
        tracing::info!(connections = tasks.len(), "draining");
        phase.send_replace(Phase::Draining);
        if timeout(drain_grace, tasks.wait()).await.is_err() {
            phase.send_replace(Phase::Stopping);
            // What does not end now ends with `phase`, which is dropped here.
            let _ = timeout(STOP_LIMIT, tasks.wait()).await;
        }
        if let Some(cluster) = cluster {
            cluster.resign().await;
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

/// Answers on an address of its own until it is dropped.
async fn serve_ops(listener: TcpListener, router: Router, header_timeout: Duration) {
    let mut tasks = JoinSet::new();
    loop {
        let stream = select! {
            Some(_) = tasks.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections for metrics");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        if tasks.len() >= OPS_CONNECTIONS {
            continue;
        }
        let router = router.clone();
        tasks.spawn(async move {
            let service =
                service_fn(move |request: hyper::Request<Incoming>| router.clone().call(request));
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(header_timeout)
                .max_buf_size(HEADER_BYTES)
                .serve_connection(TokioIo::new(stream), service);
            // A client that reads slowly is cut: there is nothing here that takes longer.
            let _ = timeout(OPS_LIMIT, served).await;
        });
    }
}
