//! What a page does with WebRTC, and what is wrong with it by name.
//!
//! A script that runs before the page's own ([`SCRIPT`]) tells what the page calls and what it sends to its server, as
//! [`Event`]s. [`Diagnosis`] follows them and knows the usual mistakes. Pure, but for the script.

mod diagnosis;
mod event;
mod sdp;
#[cfg(test)]
mod tests;

pub(crate) use diagnosis::{Diagnosis, Finding};
pub(crate) use event::Event;

/// Runs in every frame of a page before its own scripts. It tells through a function of the name [`BINDING`].
pub(crate) const SCRIPT: &str = include_str!("script.js");

/// The function through which the script tells.
pub(crate) const BINDING: &str = "__peerlineTell";

/// What can be found.
pub(crate) const CODES: [&str; 10] = [
    "candidate-before-description",
    "candidate-refused",
    "candidates-not-sent",
    "channel-never-opened",
    "channel-unheard",
    "connection-failed",
    "description-not-sent",
    "description-refused",
    "media-refused",
    "no-common-codec",
];
