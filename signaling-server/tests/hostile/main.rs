//! Input that no client of good will sends, over raw sockets. After each the server still serves.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod frames;
#[cfg(target_os = "linux")]
mod memory;
mod requests;
mod silence;
mod wire;
