//! `expose` and `connect` between two processes, with real programs at both ends.

mod datagrams;
mod faults;
mod harness;
mod many;
mod programs;
