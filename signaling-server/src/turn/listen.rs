//! Takes the ports, and says under which URLs they are reached.

use super::{
    Shared, TurnConfig, credentials::Minter, quota::Quota, relayed::answering_ip, relays::Relays,
    stream, udp,
};
use crate::metrics::Metrics;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tokio::{
    net::{TcpListener, UdpSocket},
    task::JoinSet,
};

/// Attempts to find a port that is free for both UDP and TCP.
const PORT_ATTEMPTS: usize = 16;

/// Buffers of the socket that all UDP clients share.
const SOCKET_BUFFER: usize = 4 << 20;

/// TLS handshakes and clients that the kernel keeps while we are busy.
const BACKLOG: i32 = 256;

/// Sockets that listen; [`Turn::run`] makes them answer.
#[derive(Debug)]
pub(crate) struct Turn {
    config: TurnConfig,
    sockets: Vec<(UdpSocket, TcpListener)>,
}

impl Turn {
    /// Takes every address of `config`. Must be called within a runtime.
    pub(crate) fn bind(config: TurnConfig) -> Result<Self, (SocketAddr, io::Error)> {
        let sockets = config
            .listen
            .iter()
            .map(|address| bind_both(*address).map_err(|error| (*address, error)))
            .collect::<Result<_, _>>()?;
        Ok(Self { config, sockets })
    }

    /// Where it listens.
    pub(crate) fn local_addrs(&self) -> Vec<SocketAddr> {
        self.sockets
            .iter()
            .filter_map(|(_, tcp)| tcp.local_addr().ok())
            .collect()
    }

    /// The URLs for `iceServers`, the quickest transport first.
    pub(crate) fn urls(&self) -> Vec<String> {
        let mut urls = Vec::new();
        for address in self.local_addrs() {
            let host = self.host(address.ip());
            let port = address.port();
            urls.push(format!("turn:{host}:{port}?transport=udp"));
            urls.push(format!("turn:{host}:{port}?transport=tcp"));
            if self.config.tls.is_some() {
                urls.push(format!("turns:{host}:{port}?transport=tcp"));
            }
        }
        urls
    }

    /// Answers until it is dropped.
    pub(crate) async fn run(self, minter: Minter, metrics: Arc<Metrics>) {
        let shared = Arc::new(Shared {
            quota: Arc::new(Quota::new(self.config.limits)),
            relays: Arc::new(Relays::default()),
            config: self.config,
            minter,
            metrics,
        });
        let mut listeners = JoinSet::new();
        for (udp, tcp) in self.sockets {
            listeners.spawn(udp::serve(Arc::clone(&shared), Arc::new(udp)));
            listeners.spawn(stream::serve(Arc::clone(&shared), tcp));
        }
        while listeners.join_next().await.is_some() {}
    }

    fn host(&self, listening: IpAddr) -> String {
        if let Some(host) = &self.config.host {
            return host.clone();
        }
        let external = self.config.external_ips.first().copied();
        let ip = external.unwrap_or_else(|| match listening {
            ip if ip.is_unspecified() => default_ip().unwrap_or(Ipv4Addr::LOCALHOST.into()),
            ip => ip,
        });
        match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        }
    }
}

/// The address of the interface that leads outside.
fn default_ip() -> Option<IpAddr> {
    own_addresses().next()
}

/// The addresses of the interfaces that lead outside, at most one of each family.
pub(crate) fn own_addresses() -> impl Iterator<Item = IpAddr> {
    // Two addresses for documentation (RFC 5737, RFC 3849): nothing is sent to them.
    let outside = ["192.0.2.1:9", "[2001:db8::1]:9"];
    outside
        .into_iter()
        .filter_map(|address| answering_ip(address.parse().ok()?))
        .filter(|ip| !ip.is_unspecified())
}

fn bind_both(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let attempt = || -> io::Result<_> {
        let tcp = socket(address, Type::STREAM, Protocol::TCP)?;
        tcp.listen(BACKLOG)?;
        let tcp = TcpListener::from_std(tcp.into())?;
        let udp = socket(tcp.local_addr()?, Type::DGRAM, Protocol::UDP)?;
        let _ = udp.set_recv_buffer_size(SOCKET_BUFFER);
        let _ = udp.set_send_buffer_size(SOCKET_BUFFER);
        Ok((UdpSocket::from_std(udp.into())?, tcp))
    };
    let attempts = if address.port() == 0 {
        PORT_ATTEMPTS
    } else {
        1
    };
    let mut result = attempt();
    for _ in 1..attempts {
        match &result {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => result = attempt(),
            _ => break,
        }
    }
    match (result, address.ip()) {
        // The same fallback as for signaling: a machine without IPv6.
        (Err(error), IpAddr::V6(ip))
            if ip.is_unspecified()
                && !matches!(
                    error.kind(),
                    io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
                ) =>
        {
            bind_both((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        (result, _) => result,
    }
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // On Unix this only passes over connections of an earlier run.
    #[cfg(unix)]
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
