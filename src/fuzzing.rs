//! What `fuzz/` calls: one function for each target, beside the parsers that it tries. Not for programs, and
//! free to change; `docs/testing.md` says how it is run.
//!
//! Each takes any bytes and panics if something is wrong. What is read and written again reads the same, what
//! comes in pieces reads as what comes at once, and what is kept stays within its bounds.

pub use crate::media::fuzzing::{media_container, media_packets};
pub use crate::net::fuzzing::net_datagrams;
pub use crate::pairing::fuzzing::pairing_record;
pub use crate::session::fuzzing::session_description;
pub use crate::signaling::fuzzing::event_stream;
pub use crate::transfer::fuzzing::{transfer_blocks, transfer_journal, transfer_manifest};
pub use crate::tunnel::fuzzing::{tunnel_frames, tunnel_socks};
pub use crate::whip::fuzzing::whip_exchange;
pub use signaling_protocol::fuzzing::signaling_message;

/// A target and its name.
pub type Target = (&'static str, fn(&[u8]));

/// All targets of this library.
pub const TARGETS: [Target; 15] = [
    ("control_messages", control_messages),
    ("event_stream", event_stream),
    ("media_container", media_container),
    ("media_packets", media_packets),
    ("names", names),
    ("net_datagrams", net_datagrams),
    ("pairing_record", pairing_record),
    ("session_description", session_description),
    ("signaling_message", signaling_message),
    ("transfer_blocks", transfer_blocks),
    ("transfer_journal", transfer_journal),
    ("transfer_manifest", transfer_manifest),
    ("tunnel_frames", tunnel_frames),
    ("tunnel_socks", tunnel_socks),
    ("whip_exchange", whip_exchange),
];

/// A message in JSON of any of our channels.
pub fn control_messages(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    crate::session::fuzzing::control(text);
    crate::transfer::fuzzing::control(text);
    crate::chat::fuzzing::message(text);
    crate::bench::fuzzing::message(text);
    crate::device::fuzzing::message(text);
}

/// A short text that somebody typed or a peer sent: codes, links, addresses, paths, labels.
pub fn names(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    crate::pairing::fuzzing::code(text);
    crate::signaling::fuzzing::address(text);
    crate::transfer::fuzzing::names(text);
    crate::tunnel::fuzzing::address(text);
    crate::net::fuzzing::turn_uri(text);
    crate::chat::fuzzing::name(text);
    crate::device::fuzzing::keys(text);
}

/// The lengths of pieces in which bytes arrive. They follow from the bytes, so that a find can be repeated.
pub(crate) fn pieces(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let length = usize::from(*rest.first()? & 0x0f) + 1;
        let (piece, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        Some(piece)
    })
}
