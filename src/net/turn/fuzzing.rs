//! Frames of TURN over a stream, and addresses of servers, for `fuzz/`.

use super::frames::{first, padding};
use super::uri::TurnUri;

pub(in crate::net) fn frames(data: &[u8]) {
    let mut rest = data;
    while let Ok(Some((length, padded))) = first(rest) {
        assert!(4 <= length && length <= padded && padded <= rest.len());
        assert_eq!(padding(&rest[..length]).len(), padded - length);
        // Nothing changes when more comes, and nothing comes of less.
        assert_eq!(first(&rest[..padded]), Ok(Some((length, padded))));
        assert_eq!(first(&rest[..padded - 1]), Ok(None));
        rest = &rest[padded..];
    }
}

pub(crate) fn uri(text: &str) {
    if let Some(TurnUri { host, port, .. }) = TurnUri::parse(text) {
        assert!(port > 0 && !host.is_empty() && !host.contains(['/', '@', ' ']));
    }
}
