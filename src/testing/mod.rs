//! Two connected sessions inside one process, on a network as bad as a test wants it.
//!
//! Signaling is [in memory](crate::signaling::memory), the data goes over loopback sockets, and an
//! [emulated link](crate::net::link) with a seed stands between them if asked for.
//!
//! ```
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use peerline::channel::Delivery;
//! use peerline::testing::Pair;
//!
//! let mut pair = Pair::connect().await?;
//! let channel = pair.guest.open("greeting", "", Delivery::Reliable).await?;
//! channel.send_text("hello".into()).await?;
//! let mut incoming = pair.host.accept().await.expect("the guest opened a channel");
//! assert_eq!(incoming.channel.recv().await, Some(peerline::channel::Message::Text("hello".into())));
//! # Ok(()) }
//! ```
//!
//! # Testing your own program
//!
//! `cargo test` of your crate needs no server and no network: a [`Network`] has everything between the two sides. This is a
//! whole test, of something that asks and something that answers, on a network that loses a fifth of all datagrams and is
//! cut in the middle. With the same seed it loses the same ones.
//!
//! ```
//! use peerline::channel::{Channel, Delivery, Message};
//! use peerline::session::{Connectivity, Session};
//! use peerline::testing::Network;
//!
//! /// What is tested: answers each question until the other side has no more.
//! async fn answer(mut session: Session) {
//!     while let Some(incoming) = session.accept().await {
//!         let mut channel: Channel = incoming.channel;
//!         while let Some(Message::Text(question)) = channel.recv().await {
//!             if channel.send_text(question.to_uppercase()).await.is_err() {
//!                 break;
//!             }
//!         }
//!     }
//! }
//!
//! # type Result = std::result::Result<(), Box<dyn std::error::Error>>;
//! #[tokio::main] // in a test: #[tokio::test]
//! async fn main() -> Result {
//!     let (pair, wire) = Network::lossy(0.2).seed(7).pair().await?;
//!     let answering = tokio::spawn(answer(pair.host));
//!     let mut channel = pair.guest.open("questions", "", Delivery::Reliable).await?;
//!     channel.send_text("what".into()).await?;
//!     assert_eq!(channel.recv().await, Some(Message::Text("WHAT".into())));
//!
//!     // The session heals by itself, and what was asked meanwhile is answered.
//!     wire.cut();
//!     channel.send_text("and then".into()).await?;
//!     let lost = |state: &Connectivity| matches!(state, Connectivity::Interrupted(_));
//!     pair.guest.connectivity().wait_for(lost).await?;
//!     wire.mend();
//!     assert_eq!(channel.recv().await, Some(Message::Text("AND THEN".into())));
//!     drop((channel, pair.guest));
//!     answering.await?;
//!     Ok(())
//! }
//! ```
//!
//! [`room_of`] connects a host with several guests.

mod network;

pub use network::{Network, Room, Wire, pair, room_of};

use crate::net::link::LinkConfig;
use crate::net::{self, EmulatedLink};
use crate::pairing::{Code, SharedCode};
use crate::session::{Caller, Session, SessionConfig, SessionError, Switchboard};
use crate::signaling::SignalingError;
use crate::signaling::memory::Server;
use signaling_protocol::Join;

/// A host and a guest that are connected to each other.
#[derive(Debug)]
pub struct Pair {
    /// The side that made the code.
    pub host: Session,
    /// The side that was given it.
    pub guest: Session,
    /// The server that introduced them.
    pub server: Server,
}

/// How a [`Pair`] is connected.
#[derive(Debug, Clone, Default)]
pub struct PairConfig {
    /// The signaling server.
    pub server: Server,
    /// The host's session. Loopback addresses are always used.
    pub host: SessionConfig,
    /// The guest's session.
    pub guest: SessionConfig,
}

impl PairConfig {
    /// Both directions in this condition, each with its own seed. Returns the links, to be cut and
    /// looked at: what the host sends, then what the guest sends.
    pub fn emulate(&mut self, condition: &LinkConfig) -> [EmulatedLink; 2] {
        let links = [0, 1].map(|direction| {
            let seed = condition.seed.wrapping_mul(2).wrapping_add(direction);
            EmulatedLink::new(LinkConfig {
                seed,
                ..condition.clone()
            })
        });
        self.host.network = net::Network::Emulated(links[0].clone());
        self.guest.network = net::Network::Emulated(links[1].clone());
        links
    }
}

impl Pair {
    /// Connects two sessions over loopback.
    ///
    /// # Errors
    /// See [`connect_both`].
    pub async fn connect() -> Result<Self, SessionError> {
        Self::connect_with(PairConfig::default()).await
    }

    /// Connects two sessions as configured.
    ///
    /// # Errors
    /// See [`connect_both`].
    pub async fn connect_with(config: PairConfig) -> Result<Self, SessionError> {
        let server = config.server.clone();
        let (host, guest) = connect_both(config, None).await;
        Ok(Self {
            host: host?,
            guest: guest?,
            server,
        })
    }
}

/// A host and `guests` guests, all of whom know one code: the host's sessions, and in the same order theirs.
/// Loopback addresses are always used.
///
/// # Errors
/// The first of them that did not connect says why.
pub async fn connect_many(
    guests: u16,
    host: SessionConfig,
    guest: SessionConfig,
) -> Result<Vec<(Session, Session)>, SessionError> {
    let server = Server::new();
    let local = |config: &SessionConfig| SessionConfig {
        loopback: true,
        ..config.clone()
    };
    let create = Join {
        create: Some(true),
        ..Join::default()
    };
    let (signaling, joined) = server.join(create).await?;
    let room = joined.room.clone();
    let code = Code::generate(room.as_str()).expect("servers pick rooms that codes can name");
    let shared = SharedCode::new(code.clone());
    let mut board = Switchboard::new(signaling, joined);
    let mut pairs = Vec::new();
    for _ in 0..guests {
        let join = Join {
            room: Some(room.clone()),
            create: Some(false),
            ..Join::default()
        };
        let coming = async {
            let (signaling, joined) = server.join(join).await?;
            Session::guest(signaling, &joined, &code, local(&guest)).await
        };
        let waiting = async {
            let caller = board.next().await.map_err(SignalingError::Lost)?;
            let Caller { signaling, joined } = caller;
            Session::host_one(signaling, &joined, shared.clone(), local(&host), || ()).await
        };
        pairs.push(tokio::try_join!(waiting, coming)?);
    }
    Ok(pairs)
}

/// Connects two sessions and returns what each side made of it. A guest with `guess` in place of the
/// right code shows what happens to one that guesses.
pub async fn connect_both(
    config: PairConfig,
    guess: Option<Code>,
) -> (Result<Session, SessionError>, Result<Session, SessionError>) {
    let PairConfig {
        server,
        mut host,
        mut guest,
    } = config;
    host.loopback = true;
    guest.loopback = true;
    let create = Join {
        create: Some(true),
        capacity: Some(2),
        ..Join::default()
    };
    let (signaling, joined) = match server.join(create).await {
        Ok(entered) => entered,
        Err(error) => return (Err(error.into()), Err(SessionError::PeerLeft)),
    };
    let code =
        Code::generate(joined.room.as_str()).expect("servers pick rooms that codes can name");
    let guest_code = guess.unwrap_or_else(|| code.clone());
    let join = Join {
        room: Some(joined.room.clone()),
        create: Some(false),
        ..Join::default()
    };
    let guest = async {
        let (signaling, joined) = server.join(join).await?;
        Session::guest(signaling, &joined, &guest_code, guest).await
    };
    tokio::join!(
        Session::host(signaling, &joined, code.clone(), host, || ()),
        guest
    )
}
