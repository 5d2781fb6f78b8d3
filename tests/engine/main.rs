//! Pins the behaviours of the `webrtc` crate that the library relies on or works around. A test that
//! fails after an update says which of our assumptions no longer holds.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod channels;
mod harness;
mod negotiation;
mod packet;
mod runtime;
mod security;
mod turn;
