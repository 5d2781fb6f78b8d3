//! `peer-cli` as its users meet it: processes, their output, and the files they leave.

#![allow(
    clippy::unwrap_used,
    reason = "a test may end by panicking, in its helpers too"
)]

mod embedded;
mod harness;
mod interruptions;
mod kills;
#[cfg(target_os = "linux")]
mod lan;
#[cfg(target_os = "linux")]
mod outages;
mod refusals;
mod relayed;
mod transfers;
mod turn_servers;
