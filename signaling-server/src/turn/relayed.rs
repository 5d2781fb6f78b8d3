//! A relayed socket: the port of this machine that a client lends.

use super::{
    Shared,
    queue::Sender,
    relays::{Handed, RelayGuard},
};
use crate::metrics::Counted;
use rand::RngExt;
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdUdpSocket},
};
use tokio::net::UdpSocket;
use turn_server_proto::{api::SocketAllocateError, types::AddressFamily};

/// Ports tried before the range counts as full.
const PORT_ATTEMPTS: usize = 64;

/// One relayed socket, known to the others by its address until it is dropped.
pub(super) struct Relayed {
    pub(super) socket: UdpSocket,
    pub(super) address: SocketAddr,
    _guard: RelayGuard,
    _counted: Counted,
}

impl Relayed {
    /// Takes a port for a client, at the address under which the client's peers find it.
    pub(super) fn open(
        shared: &Shared,
        client: SocketAddr,
        family: AddressFamily,
        queue: &Sender<Handed>,
    ) -> Result<Self, SocketAllocateError> {
        let config = &shared.config;
        let is_family = |ip: &IpAddr| ip.is_ipv4() == (family == AddressFamily::IPV4);
        let external = config.external_ips.iter().copied().find(is_family);
        let ip = external
            .or_else(|| answering_ip(client).filter(is_family))
            .ok_or(SocketAllocateError::AddressFamilyNotSupported)?;
        // What it sends must come from the address that it tells, unless a NAT sees to that.
        let local: IpAddr = match (external, ip) {
            (None, ip) => ip,
            (Some(_), IpAddr::V4(_)) => Ipv4Addr::UNSPECIFIED.into(),
            (Some(_), IpAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
        };
        for _ in 0..PORT_ATTEMPTS {
            let port = rand::rng().random_range(config.relay_ports.clone());
            let Ok(socket) = bind(SocketAddr::new(local, port)) else {
                continue;
            };
            let address = SocketAddr::new(ip, port);
            if let Some(guard) = shared.relays.add(address, queue.clone()) {
                return Ok(Self {
                    socket,
                    address,
                    _guard: guard,
                    _counted: Counted::new(&shared.metrics.turn_allocations),
                });
            }
        }
        tracing::warn!("no free port to relay with");
        Err(SocketAllocateError::InsufficientCapacity)
    }
}

/// The first of the relays that has something.
pub(super) async fn readable(relays: &[Relayed]) -> usize {
    // One for each address family at most.
    match relays {
        [] => std::future::pending().await,
        [one] => {
            let _ = one.socket.readable().await;
            0
        }
        [one, two, ..] => tokio::select! {
            _ = one.socket.readable() => 0,
            _ = two.socket.readable() => 1,
        },
    }
}

/// Bytes of a relayed socket's buffers: bursts of segmentation offload are 64 KiB.
const SOCKET_BUFFER: usize = 1 << 20;

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// The address of this machine that the client sees: the one from which the kernel would answer it.
pub(super) fn answering_ip(client: SocketAddr) -> Option<IpAddr> {
    let client = SocketAddr::new(client.ip().to_canonical(), client.port());
    let any: IpAddr = match client {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Connecting a datagram socket chooses a route and sends nothing.
    let socket = StdUdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(client).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
