//! Several nodes as one service, with a real Redis that goes through what a Redis goes through.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod faults;
mod kills;
mod node;
mod redis;
mod service;
mod talker;
