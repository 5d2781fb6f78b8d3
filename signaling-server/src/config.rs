//! What an operator or an embedding program can choose.

use crate::turn::TurnConfig;
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
    /// Which web pages may connect.
    pub origins: Origins,
    /// STUN and TURN servers that are handed to everybody who joins.
    pub ice_servers: Vec<IceServer>,
    /// The TURN server inside, if there is to be one.
    pub turn: Option<TurnConfig>,
    /// TURN servers elsewhere that share `turn_secret`, such as coturn with `use-auth-secret`: everybody
    /// who joins gets credentials for them.
    pub turn_uris: Vec<String>,
    /// What TURN credentials are made with; without one, a random secret of this process.
    pub turn_secret: Option<Secret>,
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

/// Bounds of one server.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections altogether.
    pub connections: usize,
    /// Bounds for each source: an IPv4 address, or a /64 of IPv6, which is what one customer gets.
    pub per_address: AddressLimits,
    /// The same for loopback, from where a whole test suite or a reverse proxy comes.
    pub loopback: AddressLimits,
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
            origins: Origins::Any,
            ice_servers: Vec::new(),
            turn: None,
            turn_uris: Vec::new(),
            turn_secret: None,
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
