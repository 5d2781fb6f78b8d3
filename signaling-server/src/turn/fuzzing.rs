//! Frames of clients, for `fuzz/`.

use super::{
    frames::{MAX_FRAME, first, padding},
    udp::{binding_answer, is_binding},
};
use std::net::{Ipv4Addr, SocketAddr};

/// What a client sends over a stream.
pub fn turn_frames(data: &[u8]) {
    let mut rest = data;
    while let Ok(Some((length, padded))) = first(rest) {
        assert!(4 <= length && length <= padded && padded <= rest.len() && length <= MAX_FRAME);
        assert_eq!(padding(&rest[..length]).len(), padded - length);
        // Nothing changes when more comes, and nothing comes of less.
        assert_eq!(first(&rest[..padded]), Ok(Some((length, padded))));
        assert_eq!(first(&rest[..padded - 1]), Ok(None));
        message(&rest[..length]);
        rest = &rest[padded..];
    }
    message(data);
}

fn message(frame: &[u8]) {
    if is_binding(frame) {
        let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let answer = binding_answer(frame, client);
        // It names what it does not know, in less than that took.
        assert!(answer.is_none_or(|answer| answer.len() <= frame.len() + 128));
    }
}
