//! The engine's `Runtime`: Tokio with our sockets. One for each peer connection, since the source
//! filter is the connection's own.

use super::Network;
use super::clock::Clock;
use super::filter::SourceFilter;
use super::handshake::Handshake;
use super::pace::{PacedSocket, Pacing};
use super::packet::{Outlet, Prober};
use super::repair::Repair;
use super::set_up::SetUp;
use super::socket::{FilteredSocket, enlarge_buffers};
use super::turn::{Servers, TurnSocket};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime,
    TokioRuntime,
};

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The engine's longest sleep while a connection is being set up. What DTLS and SCTP want to send when
/// the layer below them comes up leaves at the engine's next look at its timers, and without this that
/// takes 50 ms for the first DTLS flight and 200 ms each for SCTP's INIT and the first channel.
const SET_UP_SLEEP: Duration = Duration::from_millis(2);

/// Finding a host by name. The engine's driver waits for it, and everything else with it.
const RESOLVE_LIMIT: Duration = Duration::from_secs(3);

/// Tokio with tuned, filtered and, if asked, emulated sockets.
#[derive(Debug)]
pub(crate) struct LineRuntime {
    network: Network,
    set_up: SetUp,
    pacing: Pacing,
    filter: Arc<Mutex<SourceFilter>>,
    handshake: Handshake,
    servers: Arc<Servers>,
    prober: Prober,
    repair: Repair,
    clock: Clock,
}

impl LineRuntime {
    pub(crate) fn new(network: Network) -> Self {
        let (set_up, servers) = (SetUp::default(), Arc::default());
        Self {
            network,
            handshake: Handshake::new(set_up.clone(), Arc::clone(&servers)),
            set_up,
            servers,
            pacing: Pacing::default(),
            filter: Arc::default(),
            prober: Prober::default(),
            repair: Repair::default(),
            clock: Clock::default(),
        }
    }

    /// The TURN servers of this connection.
    pub(crate) fn servers(&self) -> Arc<Servers> {
        Arc::clone(&self.servers)
    }

    /// Finds out what the path of this connection carries.
    pub(crate) fn prober(&self) -> Prober {
        self.prober.clone()
    }

    /// Repairs what this connection's path loses.
    pub(crate) fn repair(&self) -> Repair {
        self.repair.clone()
    }

    /// Tells this runtime that the peer is a browser.
    pub(crate) fn pacing(&self) -> Pacing {
        self.pacing.clone()
    }

    /// The clock of this connection.
    pub(crate) fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Tells this runtime when the connection is set up.
    pub(crate) fn set_up(&self) -> SetUp {
        self.set_up.clone()
    }
}

impl Runtime for LineRuntime {
    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        enlarge_buffers(&socket);
        let second = socket.try_clone();
        let wire = TokioRuntime.wrap_udp_socket(socket)?;
        let (wire, outlet) = match &self.network {
            Network::Real => (wire, second.ok().map(Outlet::Real)),
            Network::Emulated(link) => {
                let link = link.wrap(wire);
                (link.clone(), Some(Outlet::Emulated(link)))
            }
        };
        let wire = Arc::new(TurnSocket::new(wire, self.servers()));
        let paced = Arc::new(PacedSocket::new(wire.clone(), self.pacing.clone()));
        Ok(Arc::new(FilteredSocket::new(
            paced,
            wire,
            self.filter.clone(),
            self.handshake.clone(),
            self.prober.clone(),
            self.repair.clone(),
            outlet,
        )))
    }

    fn spawn(&self, future: Task) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn spawn_reactor(&self, pool: usize, future: Task) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn_reactor(pool, future)
    }

    fn wrap_tcp_listener(
        &self,
        listener: std::net::TcpListener,
    ) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(
        &'a self,
        remote: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Arc<dyn AsyncTcpStream>>> + Send + 'a>> {
        Box::pin(async move { TokioRuntime.connect_tcp(remote).await })
    }

    fn resolve_host<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>> {
        Box::pin(async move {
            if let Some(addresses) = self.servers.resolve(host) {
                return Ok(addresses);
            }
            let addresses = tokio::time::timeout(RESOLVE_LIMIT, TokioRuntime.resolve_host(host))
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
            self.servers.resolved(&addresses);
            Ok(addresses)
        })
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        let longest = if self.set_up.is_finished() {
            duration
        } else {
            SET_UP_SLEEP
        };
        TokioRuntime.sleep(self.clock.wait(duration).min(longest))
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }

    fn yield_now(&self) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        TokioRuntime.yield_now()
    }

    fn name(&self) -> &'static str {
        "peerline"
    }
}
