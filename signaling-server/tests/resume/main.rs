//! Coming back: nothing lost, nothing twice, whatever was cut and wherever.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod cuts;
mod places;
mod replay;
