//! Direct, end-to-end encrypted WebRTC lines between programs, terminals and browser tabs.
//!
//! Two sides that share a short code meet in a room on a signaling server, prove to each other that they
//! know the code, and connect. The server carries sealed messages only; it cannot read them, and it cannot
//! put itself in the middle without being noticed. What comes out is a [`Session`](session::Session) with
//! channels, byte streams and verified file transfer on top.
//!
//! ```
//! use peerline::channel::{Delivery, Message};
//! use peerline::pairing::Code;
//! use peerline::session::{Session, SessionConfig};
//! use peerline::signaling::{ServerUrl, Signaling};
//! use peerline::signaling_protocol::Join;
//!
//! type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
//!
//! /// Makes a code, waits for whoever is given it, and greets them.
//! async fn host(server: &ServerUrl, config: SessionConfig, tell: impl FnOnce(Code)) -> Result<()> {
//!     let room = Join { create: Some(true), capacity: Some(2), ..Join::default() };
//!     let (signaling, joined) = Signaling::join(server, room).await?;
//!     let code = Code::generate(joined.room.as_str())?;
//!     tell(code.clone());
//!     let session = Session::host(signaling, &joined, code, config, || ()).await?;
//!     let channel = session.open("greeting", "", Delivery::Reliable).await?;
//!     channel.send_text("hello".into()).await?;
//!     session.ended().await; // the guest hangs up when it has read it
//!     Ok(())
//! }
//!
//! /// Connects with a code and returns the first message.
//! async fn guest(server: &ServerUrl, config: SessionConfig, code: Code) -> Result<Option<Message>> {
//!     let room = Join { room: code.room().parse().ok(), create: Some(false), ..Join::default() };
//!     let (signaling, joined) = Signaling::join(server, room).await?;
//!     let mut session = Session::guest(signaling, &joined, &code, config).await?;
//!     let mut channel = session.accept().await.ok_or("the host left")?.channel;
//!     Ok(channel.recv().await)
//! }
//! # #[tokio::main]
//! # async fn main() -> Result<()> {
//! #     let here = signaling_server::Config { listen: "127.0.0.1:0".parse()?, ..Default::default() };
//! #     let server = signaling_server::Server::bind(here)?;
//! #     let url = ServerUrl::from(server.local_addr());
//! #     tokio::spawn(server.run(std::future::pending()));
//! #     // Both sides are on this machine.
//! #     let config = || SessionConfig { loopback: true, ..SessionConfig::default() };
//! #     let (tell, told) = tokio::sync::oneshot::channel();
//! #     let tell = |code| drop(tell.send(code));
//! #     let guest = async { guest(&url, config(), told.await?).await };
//! #     let (host, message) = tokio::join!(host(&url, config(), tell), guest);
//! #     host?;
//! #     assert_eq!(message?, Some(Message::Text("hello".into())));
//! #     Ok(())
//! # }
//! ```
//!
//! # Modules, in reading order
//!
//! | module | what it is |
//! |---|---|
//! | [`pairing`] | codes, key agreement and sealed messages; pure |
//! | [`signaling`] | a room on a signaling server, or in memory |
//! | [`session`] | one verified connection, from the room to the goodbye |
//! | [`channel`] | messages and byte streams with backpressure over a session |
//! | [`device`] | devices that know each other and need no code |
//! | [`transfer`] | files and directories: complete and verified, or not there at all |
//! | [`chat`] | what several say to each other: each message shown once, in order, across interruptions |
//! | [`tunnel`] | byte streams between what two sides read and write, many over one channel |
//! | [`media`] | tracks of sound and pictures: sources, packets, recordings |
//! | [`forward`] | one publisher's tracks for many receivers: rooms of any size |
//! | [`whip`] | streams into a room and out of it by HTTP: WHIP and WHEP |
//! | [`bench`](mod@bench) | how good a line is: throughput and round trips |
//! | [`net`] | the sockets under a session; also emulated links for tests |
//! | `testing` | two connected sessions in one process (feature `testing`) |
//!
//! The wire is described in `docs/protocol.md`, the structure in `docs/architecture.md`, and what is
//! promised against whom in `docs/security.md`, all in the repository.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `testing` | the module `testing`: in-memory pairs on seeded, emulated networks |
//!
//! Everything runs on Tokio and reports with `tracing`; the events of this crate hold neither codes nor keys.
#![warn(missing_docs)]

pub mod bench;
pub mod channel;
pub mod chat;
pub mod device;
mod display;
pub mod forward;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod media;
pub mod net;
pub mod pairing;
pub mod session;
pub mod signaling;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod transfer;
pub mod tunnel;
pub mod whip;

/// The types of signaling messages, which are part of this crate's interface.
pub use signaling_protocol;

/// Compiles the samples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
