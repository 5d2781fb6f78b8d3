//! An internet of its own for two hosts, each behind the network that somebody asked for (`lab`).
//!
//! Linux network namespaces, joined by virtual Ethernet; what is between a host and the internet is the kernel's
//! own NAT and firewall, told by nftables. Nothing of it touches the networks of this machine.
//!
//! | part | kind | what it does |
//! |---|---|---|
//! | `nat` | pure | the kinds of networks, their rules, and what is to be expected between two of them |
//! | `plan` | pure | which namespaces, links, addresses and routes a world has |
//! | `space` | edge | one namespace: made, entered, and taken away |
//! | `world` | edge | all of them |
//! | `worlds` | tasks | every world that is there; whoever ends waits until they are removed |
//! | `outside` | threads | the servers that both hosts reach: signaling, TURN, STUN |
//! | `probe` | edge | what a NAT really does, asked by STUN (RFC 5780) |
//! | `trial` | edge | two `peer-cli pipe` behind them, and how they are connected |

pub(crate) mod nat;
mod outside;
mod plan;
pub(crate) mod probe;
mod space;
pub(crate) mod trial;
mod world;
mod worlds;

pub(crate) use nat::{Behaviour, Nat};
pub(crate) use world::{MTU, Side, World, WorldError};
pub(crate) use worlds::{Held, Worlds};
