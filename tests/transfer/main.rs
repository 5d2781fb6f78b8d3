//! File transfers through the public API, over channels in memory.
#![allow(clippy::unwrap_used, reason = "an unexpected error fails the test")]

mod disk;
mod harness;
mod hostile_receiver;
mod hostile_sender;
mod lanes;
mod limits;
mod pipes;
mod resume;
mod sparse;
mod staging;
mod whole;
