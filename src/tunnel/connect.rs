//! The side that uses what the other one exposes: listeners here that lead there.

use super::carrier::{Seat, Tunnel};
use super::datagrams::Portal;
use super::error::{RelayError, StreamError};
use super::event::Event;
use super::frame::{Reset, ResetCode};
use super::lane;
use super::relay::Moved;
use super::service::{Listed, MAX_SERVICES, ServiceName};
use super::socket::Socket;
use super::socks::{self, Reply};
use super::{LANE_PROTOCOL, LIST};
use crate::channel::Channel;
use crate::session::Incoming;
use std::io;
use std::sync::Arc;
use std::time::Duration;
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How long the list of services may take. It comes as soon as the tunnel is there.
const LISTING: Duration = Duration::from_secs(30);

/// Longest list, in bytes: 64 names of 64 bytes, and what is around them.
const MAX_LIST: usize = 16 << 10;

/// How long a program may take to say what it wants of a SOCKS port.
const ASKING: Duration = Duration::from_secs(10);

/// How long the other side may take to connect with its service: the 10 s that it gives it, and an interruption of
/// 120 s.
const CONNECTING: Duration = Duration::from_secs(140);

/// The pause of a listener that cannot accept, because there are no descriptors left.
const NO_DESCRIPTORS: Duration = Duration::from_millis(100);

/// Connections that were accepted and not begun.
const ACCEPTED: usize = 16;

/// Something that listens here.
#[derive(Debug)]
pub enum Listener {
    /// TCP connections to a service.
    Tcp(ServiceName, TcpListener),
    /// Connections through a Unix socket to a service.
    #[cfg(unix)]
    Unix(ServiceName, UnixListener),
    /// Programs that speak SOCKS 5 and say where they want to go.
    Socks(TcpListener),
    /// Datagrams to a service.
    Udp(ServiceName, UdpSocket),
}

/// What the peer exposes.
///
/// # Errors
/// The tunnel ended, or the list makes no sense.
pub async fn list(tunnel: &Tunnel) -> Result<Vec<Listed>, RelayError> {
    let reading = async {
        let (mut reader, mut writer) = tunnel.open(LIST).await?.split();
        writer.end();
        let mut json = Vec::new();
        while let Some(bytes) = reader.read().await? {
            json.extend_from_slice(&bytes);
            if json.len() > MAX_LIST {
                return Err(RelayError::List);
            }
        }
        reader.take();
        writer.taken().await?;
        let list: Vec<Listed> = serde_json::from_slice(&json).map_err(|_| RelayError::List)?;
        match list.len() <= MAX_SERVICES {
            true => Ok(list),
            false => Err(RelayError::List),
        }
    };
    let listed = timeout(LISTING, reading).await;
    listed.unwrap_or(Err(RelayError::Silent))
}

/// Carries what comes to `listeners` to the peer's `services`, until one side ends it: the error says which.
/// Datagrams go over a channel of [`DATAGRAMS`](super::DATAGRAMS); without one nobody carries them. `tell` is
/// told what happens. The peer's lanes are among the channels that are `incoming`.
pub async fn connect(
    tunnel: Tunnel,
    services: Vec<Listed>,
    listeners: Vec<Listener>,
    datagrams: Option<Channel>,
    mut incoming: Option<Incoming>,
    stop: &CancellationToken,
    tell: impl Fn(Event),
) -> RelayError {
    let tunnel = Arc::new(tunnel);
    let services: Arc<[Listed]> = services.into();
    let (accepted, mut queue) = mpsc::channel(ACCEPTED);
    let mut accepting = JoinSet::new();
    let mut sockets = Vec::new();
    for listener in listeners {
        match listener {
            Listener::Udp(service, socket) => sockets.push((service, socket)),
            listener => {
                accepting.spawn(accept(listener, tunnel.clone(), accepted.clone()));
            }
        }
    }
    let portal = datagrams.map(|channel| {
        let carrying = Portal::new(channel, &services, sockets).run();
        AbortOnDropHandle::new(tokio::spawn(carrying))
    });
    let mut connections = JoinSet::new();
    let error = loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break RelayError::Cancelled,
            error = tunnel.ended() => break error.into(),
            Some(ended) = connections.join_next() => {
                if let Ok(Some(event)) = ended {
                    tell(event);
                }
            }
            opened = lane::next(&mut incoming) => {
                if opened.protocol == LANE_PROTOCOL {
                    tunnel.take_lane(opened.channel);
                }
            }
            // No more than there are seats.
            Some(visit) = queue.recv() => {
                connections.spawn(carry(visit, tunnel.clone(), services.clone()));
            }
        }
    };
    accepting.shutdown().await;
    drop(portal);
    connections.shutdown().await;
    tunnel.close().await;
    error
}

/// Somebody who was accepted.
struct Visit {
    socket: Socket,
    /// Where it goes; through a SOCKS port it says so itself.
    service: Option<ServiceName>,
    seat: Seat,
}

/// Accepts whoever comes, as long as there are seats: until then they wait where the system keeps them.
async fn accept(listener: Listener, tunnel: Arc<Tunnel>, queue: mpsc::Sender<Visit>) {
    while let Ok(seat) = tunnel.seat().await {
        let socket = loop {
            let accepted = match &listener {
                Listener::Tcp(_, listener) | Listener::Socks(listener) => {
                    listener.accept().await.map(|(socket, _)| socket.into())
                }
                #[cfg(unix)]
                Listener::Unix(_, listener) => listener
                    .accept()
                    .await
                    .map(|(socket, _)| Socket::Unix(socket)),
                Listener::Udp(..) => return,
            };
            match accepted {
                Ok(socket) => break socket,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(NO_DESCRIPTORS).await;
                }
            }
        };
        let service = match &listener {
            Listener::Tcp(service, _) | Listener::Udp(service, _) => Some(service.clone()),
            #[cfg(unix)]
            Listener::Unix(service, _) => Some(service.clone()),
            Listener::Socks(_) => None,
        };
        let visit = Visit {
            socket,
            service,
            seat,
        };
        if queue.send(visit).await.is_err() {
            return;
        }
    }
}

/// One connection, to its end; what there is to tell of it.
async fn carry(visit: Visit, tunnel: Arc<Tunnel>, services: Arc<[Listed]>) -> Option<Event> {
    let Visit {
        mut socket,
        service,
        seat,
    } = visit;
    let (service, asked) = match (service, &mut socket) {
        (Some(service), _) => (service, false),
        (None, Socket::Tcp(program)) => match ask(program, &services).await {
            Ok(service) => (service, true),
            Err(event) => {
                // It was told why.
                socket.complete();
                return event;
            }
        },
        #[cfg(unix)]
        (None, Socket::Unix(_)) => return None,
    };
    let mut stream = tunnel.open_in(seat, service.as_str()).ok()?;
    let accepted = timeout(CONNECTING, stream.accepted()).await;
    let accepted = accepted.unwrap_or_else(|_| {
        let late = Reset::new(ResetCode::Unreachable, "the other side does not answer");
        stream.reset(late.clone());
        Err(StreamError::Reset(late))
    });
    if let (Socket::Tcp(program), true) = (&mut socket, asked) {
        let reply = match &accepted {
            Ok(()) => Reply::Connected,
            Err(StreamError::Reset(reset)) => reset.code.into(),
            Err(StreamError::Tunnel(_)) => Reply::Failed,
        };
        if let Err(error) = socks::answer(program, reply).await {
            return Some(broken(service, error.to_string()));
        }
    }
    match accepted {
        Ok(()) => {
            let (moved, result) = socket.relay(stream).await;
            Some(Event::closed(service, moved, result))
        }
        Err(error) => {
            if asked {
                socket.complete();
            }
            Some(failed(service, error))
        }
    }
}

/// A connection that came to nothing.
fn failed(service: ServiceName, error: StreamError) -> Event {
    match error {
        StreamError::Reset(reset) => match reset.code {
            ResetCode::Refused => Event::Refused {
                service: service.to_string(),
            },
            ResetCode::Unreachable => Event::Unreachable {
                service,
                reason: reset.reason,
            },
            _ => broken(service, reset.reason),
        },
        StreamError::Tunnel(error) => broken(service, error.to_string()),
    }
}

fn broken(service: ServiceName, reason: String) -> Event {
    Event::Broken {
        service,
        moved: Moved::default(),
        reason,
    }
}

/// Asks a program where it wants to go.
async fn ask(socket: &mut TcpStream, services: &[Listed]) -> Result<ServiceName, Option<Event>> {
    let late = || io::Error::from(io::ErrorKind::TimedOut);
    let asking = timeout(ASKING, socks::request(socket)).await;
    let request = asking.unwrap_or_else(|_| Err(late())).map_err(|error| {
        tracing::info!(%error, "a SOCKS request was not understood");
        None
    })?;
    match request.service(services) {
        Some(service) => Ok(service.clone()),
        None => {
            let _ = socks::answer(socket, Reply::NotAllowed).await;
            Err(Some(Event::Refused {
                service: request.words(),
            }))
        }
    }
}
