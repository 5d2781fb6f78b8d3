//! One table of cases over WebSocket, event stream and polls.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod members;
mod misbehaviour;
mod requests;
