//! What an operator or an embedding program can choose.

use crate::{access::AccessConfig, network::Network, tls::Tls, turn::TurnConfig};
use signaling_protocol::{IceServer, Secret, limits};
use std::{
    net::{Ipv6Addr, SocketAddr},
    time::Duration,
};

/// Everything that a server needs to know. `Config::default()` is a server for anybody who reaches
/// it.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 takes a free one. The default is `[::]:8787`, which takes IPv4 too
    /// (and becomes `0.0.0.0:8787` on a machine without IPv6): the other peer is on another machine,
    /// so a loopback default would fail at the first real use, and what the server relays is sealed.
    pub listen: SocketAddr,
    /// A certificate makes the server speak HTTPS, and nothing else on its port.
    pub tls: Option<Tls>,
    /// Which web pages may connect.
    pub origins: Origins,
    /// Who may enter.
    pub access: AccessConfig,
    /// What opens the admin API, the dashboard and `/metrics`; without it they are not there.
    pub admin_token: Option<Secret>,
    /// Where to answer `/metrics`, `/readyz` and `/healthz` to everybody who reaches it, besides `listen`.
    pub metrics_listen: Option<SocketAddr>,
    /// Proxies whose word is taken for where a request comes from.
    pub trusted_proxies: Vec<Network>,
    /// In which header they say it; what a client puts into another one is not looked at.
    pub proxy_header: ProxyHeader,
    /// STUN and TURN servers that are handed to everybody who joins.
    pub ice_servers: Vec<IceServer>,
    /// The TURN server inside, if there is to be one.
    pub turn: Option<TurnConfig>,
    /// TURN servers elsewhere that share `turn_secret`, such as coturn with `use-auth-secret`: everybody
    /// who joins gets credentials for them.
    pub turn_uris: Vec<String>,
    /// What TURN credentials are made with; without one, a random secret of this process.
    pub turn_secret: Option<Secret>,
    /// Where several servers meet to be one service, such as `redis://redis:6379/`; a secret because it may
    /// have a password in it.
    pub redis: Option<Secret>,
    /// Bounds.
    pub limits: Limits,
}

/// Which `Origin` headers are let in. Clients without one (programs) always are: the header says
/// something about browsers only, and there are no cookies that a foreign page could misuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Any page, also `null` (a page opened from disk).
    Any,
    /// Exactly these, in the form of the header, such as `https://example.org`. The server's own
    /// page is not exempt.
    Only(Vec<String>),
}

/// How a proxy says where a request comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProxyHeader {
    /// `X-Forwarded-For`: addresses, the last one added by the nearest proxy.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// Bounds of one server.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections altogether.
    pub connections: usize,
    /// Bounds for each source: an IPv4 address, or a /64 of IPv6, which is what one customer gets.
    pub per_address: AddressLimits,
    /// The same for loopback, from where a whole test suite or a reverse proxy comes.
    pub loopback: AddressLimits,
    /// Tokens that do not open, of one source in a minute; of loopback a hundred times as many.
    pub wrong_tokens_per_minute: u32,
    /// Rooms altogether.
    pub rooms: usize,
    /// Joins into one room in a minute, from wherever they come.
    pub room_joins_per_minute: u32,
    /// Members of one room, unless its maker wanted fewer; at least 2.
    pub peers_per_room: u16,
    /// Messages a second that one peer may send in the long run.
    pub messages_per_second: u32,
    /// Messages that one peer may send at once.
    pub message_burst: u32,
    /// Time to the end of a request's header, and between requests on one connection.
    pub header_timeout: Duration,
    /// Time from the open WebSocket to `join`.
    pub hello_timeout: Duration,
    /// Time between WebSocket pings.
    pub ping_interval: Duration,
    /// Silence after which a peer counts as lost.
    pub idle_timeout: Duration,
    /// How long a member whose connection broke may come back.
    pub resume_window: Duration,
    /// How long the place of a member that is away is kept from others who want it.
    pub place_hold: Duration,
    /// How long a member without a WebSocket may be without a stream or poll before it counts as away.
    pub request_pause: Duration,
    /// How long a poll waits for a message.
    pub poll_time: Duration,
    /// How long a server that was told to stop still relays, so that pairings which are under way
    /// can finish.
    pub drain_grace: Duration,
}

/// Bounds of one source of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressLimits {
    /// Connections at the same time.
    pub connections: u32,
    /// Rooms entered in a minute.
    pub joins_per_minute: u32,
    /// Rooms made and still alive.
    pub rooms: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 8787)),
            tls: None,
            origins: Origins::Any,
            access: AccessConfig::Open,
            admin_token: None,
            metrics_listen: None,
            trusted_proxies: Vec::new(),
            proxy_header: ProxyHeader::default(),
            ice_servers: Vec::new(),
            turn: None,
            turn_uris: Vec::new(),
            turn_secret: None,
            redis: None,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            // A household or an office behind one address; far below what a guesser of codes needs.
            per_address: AddressLimits {
                connections: 64,
                joins_per_minute: 30,
                rooms: 10,
            },
            loopback: AddressLimits {
                connections: 20_000,
                joins_per_minute: 60_000,
                rooms: 10_000,
            },
            // Somebody who mistypes; a secret of 16 characters is not found that way.
            wrong_tokens_per_minute: 10,
            rooms: 100_000,
            // Sixteen peers that all come back a few times; far below what burns codes in a hurry.
            room_joins_per_minute: 120,
            peers_per_room: limits::PEERS_PER_ROOM,
            messages_per_second: limits::MESSAGES_PER_SECOND,
            message_burst: limits::MESSAGE_BURST,
            // One round trip even over a satellite; longer is a client that trickles its header.
            header_timeout: Duration::from_secs(5),
            hello_timeout: limits::HELLO_TIMEOUT,
            ping_interval: limits::PING_INTERVAL,
            idle_timeout: limits::IDLE_TIMEOUT,
            resume_window: limits::RESUME_WINDOW,
            // Longer than a reconnection takes, shorter than a person who starts a program again.
            place_hold: Duration::from_secs(3),
            // The next poll comes within a round trip, unless the network stumbles.
            request_pause: Duration::from_secs(5),
            poll_time: limits::POLL_TIME,
            // A pairing takes a few round trips.
            drain_grace: Duration::from_secs(2),
        }
    }
}
