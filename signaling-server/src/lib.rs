//! The signaling server: pairs peers into rooms so that they can connect to each other directly.
//!
//! It relays descriptions, candidates and sealed pairing records between the members of a room and
//! never sees what they say to each other afterwards. The wire is section 1 of `docs/protocol.md`.
//! Nothing here is global: several servers can run in one process, for example one embedded in a
//! command-line tool.
//!
//! ```no_run
//! use signaling_server::{Config, Server};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config { listen: "127.0.0.1:0".parse()?, ..Config::default() };
//! let server = Server::bind(config)?;
//! println!("listening on {}", server.local_addr());
//! server.run(async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await;
//! # Ok(())
//! # }
//! ```
//!
//! How it is put together: [`Server`] accepts, `http` turns requests into responses, event streams, polls
//! and WebSockets, `peer` holds what one WebSocket may do when, `session` is one place in a room whatever
//! carries its messages, with a `mailbox` of what it has not acknowledged, `hub` is what all share, and
//! `rooms`, `room`, `numbers`, `sources`, `token` and `bucket` decide without clocks or sockets. `cluster` makes
//! several servers one service, with Redis.

mod access;
mod acme;
mod admin;
mod bucket;
mod clock;
mod closing;
mod cluster;
mod config;
mod doors;
mod feed;
mod forwarded;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod hub;
mod mailbox;
mod metrics;
mod network;
mod numbers;
mod outbound;
mod peer;
mod refusal;
mod room;
mod rooms;
mod server;
mod session;
mod socket;
mod sources;
mod tls;
mod token;
mod turn;

pub use access::{
    AccessConfig, Claims, KeyError, KeySpec, MAX_AGE, Role, Scope, SigningKey, TokenError,
    TokenKey, TokenKeys, Webhook, WebhookError, create_token,
};
pub use acme::{Acme, AcmeConfig, AcmeError, LETS_ENCRYPT};
pub use admin::{AdminClient, AdminError};
pub use config::{AddressLimits, Config, Limits, Origins, ProxyHeader};
pub use network::{Network, NetworkError};
pub use server::{BindError, Server, ServerHandle};
pub use tls::{Tls, TlsError};
pub use turn::{TurnConfig, TurnLimits};
