//! Tunnels and pipes: in memory against peers that break the rules, and over sessions on bad links.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod harness;
mod lanes;
mod pipes;
mod services;
mod streams;
