//! The TURN server inside, over UDP, TCP and TLS, against clients that mean well and clients that do not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;
mod hostile;
mod relaying;
mod server;
