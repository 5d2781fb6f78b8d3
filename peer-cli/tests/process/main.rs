//! `peer-cli` as its users meet it: processes, their output, and the files they leave.

#![allow(
    clippy::unwrap_used,
    reason = "a test may end by panicking, in its helpers too"
)]

mod bench;
mod calls;
mod chat;
mod devices;
mod doctor;
mod embedded;
#[cfg(target_os = "linux")]
mod faults;
mod forwarding;
mod guarded;
mod harness;
mod interruptions;
mod kills;
#[cfg(target_os = "linux")]
mod lab;
#[cfg(target_os = "linux")]
mod lan;
mod listening;
mod many;
mod media_files;
#[cfg(target_os = "linux")]
mod outages;
mod pipes;
mod piping;
#[cfg(unix)]
mod recipes;
mod recording;
mod refusals;
mod relayed;
mod rtp;
mod scenarios;
#[cfg(target_os = "linux")]
mod syscalls;
mod transfers;
#[cfg(unix)]
mod tunnels;
mod turn_servers;
mod whip;
