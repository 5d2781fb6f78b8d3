//! The TURN servers of one connection: which of them are reached over streams, under which names and
//! addresses the engine knows those, and which addresses may be spoken to.

pub(crate) use super::uri::Transport;
use super::uri::TurnUri;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Ends the names that the engine resolves to stream servers (RFC 6761: never in the DNS).
const SUFFIX: &str = ".turn-stream.invalid";

/// Stream servers are at 240.0.112.x and 100::70:x, which no host can have (RFC 1112 section 4, RFC 6666);
/// the last byte counts them.
const SYNTHETIC_V4: [u8; 3] = [240, 0, 112];
const SYNTHETIC_V6: Ipv6Addr = Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0x70, 0);

/// Servers of one connection; more are ignored.
const MAX_SERVERS: usize = 16;

/// Addresses that are remembered as the peer's relays. A peer has one for each server and interface.
const MAX_BLOCKED: usize = 256;

/// The head start of each transport over the next one, which costs more: a relay that answers in time
/// over UDP makes streams unnecessary.
const HEAD_START: Duration = Duration::from_millis(250);

/// Which addresses a session may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Ways {
    #[default]
    Any,
    /// TURN servers only.
    RelayOnly,
}

/// What the runtime and the sockets of one connection know of TURN.
#[derive(Debug, Default)]
pub(crate) struct Servers(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    ways: Ways,
    /// Stream servers; the index is in their names and addresses.
    streams: Vec<TurnUri>,
    has_udp: bool,
    /// The best transport over which an allocation was made.
    answered: Option<Transport>,
    /// Which socket has a server's stream.
    owners: Vec<Option<u64>>,
    next_socket: u64,
    /// Where TURN servers are that are reached over UDP.
    resolved: HashSet<SocketAddr>,
    /// Relays of a peer that must not be used.
    blocked: HashSet<SocketAddr>,
}

impl Servers {
    /// From now on nothing goes anywhere but to TURN servers, and nothing else is heard.
    pub(crate) fn relay_only(&self) {
        self.lock().ways = Ways::RelayOnly;
    }

    /// How the engine must write this URL of a TURN server; `None` if it cannot be used.
    pub(crate) fn register(&self, url: &str) -> Option<String> {
        let uri = TurnUri::parse(url)?;
        let mut state = self.lock();
        if uri.transport == Transport::Udp {
            state.has_udp = true;
            return Some(url.to_owned());
        }
        let index = match state.streams.iter().position(|known| *known == uri) {
            Some(index) => index,
            None if state.streams.len() == MAX_SERVERS => return None,
            None => {
                state.streams.push(uri.clone());
                state.owners.push(None);
                state.streams.len() - 1
            }
        };
        Some(format!("turn:{index}{SUFFIX}:{}?transport=udp", uri.port))
    }

    /// Over what a URL as the engine has it is reached.
    pub(crate) fn transport(&self, engine_url: &str) -> Transport {
        let index = engine_url
            .split_once(SUFFIX)
            .and_then(|(front, _)| front.rsplit(':').next())
            .and_then(|index| index.parse::<usize>().ok());
        let state = self.lock();
        index
            .and_then(|index| state.streams.get(index))
            .map_or(Transport::Udp, |uri| uri.transport)
    }

    /// The addresses of a stream server, if `host` (with a port) is the name of one.
    pub(crate) fn resolve(&self, host: &str) -> Option<Vec<SocketAddr>> {
        let (name, port) = host.rsplit_once(':')?;
        let index: u8 = name.strip_suffix(SUFFIX)?.parse().ok()?;
        let port = port.parse().ok()?;
        if usize::from(index) >= self.lock().streams.len() {
            return None;
        }
        let [a, b, c] = SYNTHETIC_V4;
        let v6 = Ipv6Addr::from_bits(SYNTHETIC_V6.to_bits() | u128::from(index));
        Some(vec![
            SocketAddr::new(Ipv4Addr::new(a, b, c, index).into(), port),
            SocketAddr::new(v6.into(), port),
        ])
    }

    /// A host was found by name. In a session that must be relayed only TURN servers are looked for.
    pub(crate) fn resolved(&self, addresses: &[SocketAddr]) {
        let mut state = self.lock();
        if state.resolved.len() < MAX_BLOCKED {
            state.resolved.extend(addresses);
        }
    }

    /// The peer has a relay here that must not be used.
    pub(crate) fn block(&self, address: SocketAddr) {
        let mut state = self.lock();
        if state.blocked.len() < MAX_BLOCKED {
            state.blocked.insert(canonical(address));
        }
    }

    /// A number for a new socket.
    pub(super) fn new_socket(&self) -> u64 {
        let mut state = self.lock();
        state.next_socket += 1;
        state.next_socket
    }

    /// A socket is gone, and with it its streams.
    pub(super) fn forget_socket(&self, socket: u64) {
        let mut state = self.lock();
        for owner in &mut state.owners {
            owner.take_if(|owner| *owner == socket);
        }
        // What replaces it looks for its own way.
        state.answered = None;
    }

    /// The server's stream, if the socket may have it. Each socket of a connection asks every server, and
    /// one stream is enough: it does not depend on the socket.
    pub(super) fn claim(&self, index: u8, socket: u64) -> Option<TurnUri> {
        let mut state = self.lock();
        let owner = state.owners.get_mut(usize::from(index))?;
        if *owner.get_or_insert(socket) != socket {
            return None;
        }
        state.streams.get(usize::from(index)).cloned()
    }

    /// How long a stream waits for cheaper transports.
    pub(super) fn patience(&self, transport: Transport) -> Duration {
        let state = self.lock();
        let has_tcp = state
            .streams
            .iter()
            .any(|uri| uri.transport == Transport::Tcp);
        let cheaper = u32::from(state.has_udp) + u32::from(has_tcp && transport == Transport::Tls);
        HEAD_START * cheaper
    }

    /// An allocation was made over this transport.
    pub(super) fn answered(&self, transport: Transport) {
        let mut state = self.lock();
        let best = state.answered.map_or(transport, |best| best.min(transport));
        state.answered = Some(best);
    }

    /// Whether an allocation was made over a transport that is cheaper.
    pub(super) fn is_needless(&self, transport: Transport) -> bool {
        self.lock().answered.is_some_and(|best| best < transport)
    }

    /// Whether datagrams may be exchanged with this address over the network.
    pub(in crate::net) fn allows(&self, address: SocketAddr) -> bool {
        let state = self.lock();
        let address = canonical(address);
        match state.ways {
            Ways::Any => state.blocked.is_empty() || !state.blocked.contains(&address),
            Ways::RelayOnly => state.resolved.contains(&address),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what is sent there goes into the stream of a server.
pub(in crate::net) fn is_stream(address: SocketAddr) -> bool {
    synthetic(address).is_some()
}

/// Which stream server has this address, if it is that of one.
pub(super) fn synthetic(address: SocketAddr) -> Option<u8> {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, index] = ip.octets();
            ([a, b, c] == SYNTHETIC_V4).then_some(index)
        }
        IpAddr::V6(ip) => {
            let index = ip.to_bits() ^ SYNTHETIC_V6.to_bits();
            u8::try_from(index).ok()
        }
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_server_has_a_name_and_addresses_of_its_own() {
        let servers = Servers::default();
        let udp = "turn:t.example:3478?transport=udp";
        assert_eq!(servers.register(udp).as_deref(), Some(udp));
        assert_eq!(servers.register("turn:t.example?transport=sctp"), None);
        let tcp = servers
            .register("turn:t.example:3478?transport=tcp")
            .unwrap();
        let tls = servers.register("turns:t.example:443").unwrap();
        assert_eq!(servers.register("turns:t.example:443").as_ref(), Some(&tls));
        assert_eq!(tls, "turn:1.turn-stream.invalid:443?transport=udp");
        let transports = [udp, &tcp, &tls].map(|url| servers.transport(url));
        assert_eq!(transports, [Transport::Udp, Transport::Tcp, Transport::Tls]);
        let addresses = servers.resolve("1.turn-stream.invalid:443").unwrap();
        for address in addresses {
            assert_eq!((synthetic(address), address.port()), (Some(1), 443));
        }
        assert_eq!(servers.resolve("t.example:443"), None);
        assert_eq!(servers.resolve("x.turn-stream.invalid:443"), None);
        assert_eq!(synthetic("192.0.2.1:443".parse().unwrap()), None);
        assert_eq!(synthetic("[2001:db8::1]:443".parse().unwrap()), None);
    }

    #[test]
    fn servers_are_bounded() {
        let servers = Servers::default();
        let registered =
            (1..100).filter(|port| servers.register(&format!("turns:t:{port}")).is_some());
        assert_eq!(registered.count(), MAX_SERVERS);
    }

    #[test]
    fn one_socket_has_the_stream_until_it_is_gone() {
        let servers = Servers::default();
        servers.register("turns:t").unwrap();
        let (first, second) = (servers.new_socket(), servers.new_socket());
        assert!(servers.claim(0, first).is_some());
        assert!(servers.claim(0, second).is_none());
        assert!(servers.claim(0, first).is_some());
        servers.forget_socket(first);
        assert!(servers.claim(0, second).is_some());
        assert!(servers.claim(1, second).is_none());
    }

    #[test]
    fn cheaper_transports_go_first() {
        let servers = Servers::default();
        servers.register("turns:t").unwrap();
        assert_eq!(servers.patience(Transport::Tls), Duration::ZERO);
        servers.register("turn:t?transport=tcp").unwrap();
        servers.register("turn:t").unwrap();
        assert_eq!(servers.patience(Transport::Tcp), HEAD_START);
        assert_eq!(servers.patience(Transport::Tls), 2 * HEAD_START);
        servers.answered(Transport::Tcp);
        let needless =
            [Transport::Udp, Transport::Tcp, Transport::Tls].map(|it| servers.is_needless(it));
        assert_eq!(needless, [false, false, true]);
    }

    #[test]
    fn ways_are_kept() {
        let (turn, other): (SocketAddr, SocketAddr) = (
            "192.0.2.1:3478".parse().unwrap(),
            "192.0.2.2:9".parse().unwrap(),
        );
        let servers = Servers::default();
        servers.resolved(&[turn]);
        assert!(servers.allows(other));
        servers.block("[::ffff:192.0.2.2]:9".parse().unwrap());
        assert!(!servers.allows(other));
        assert!(servers.allows(turn));
        servers.relay_only();
        assert!(servers.allows(turn) && !servers.allows("192.0.2.1:9".parse().unwrap()));
        for n in 0..1000 {
            servers.block(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), n));
        }
        assert_eq!(servers.lock().blocked.len(), MAX_BLOCKED);
    }
}
