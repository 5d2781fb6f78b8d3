//! What `fuzz/` calls: not for programs, and free to change. `docs/testing.md` says how it is run.

pub use crate::access::fuzzing::server_tokens;
pub use crate::turn::fuzzing::turn_frames;

use crate::{Network, ProxyHeader, forwarded::Proxies, token::ResumeToken};
use axum::http::{HeaderMap, HeaderValue, header::FORWARDED};
use std::net::{IpAddr, Ipv4Addr};

/// A target and its name.
pub type Target = (&'static str, fn(&[u8]));

/// All targets of the server.
pub const TARGETS: [Target; 3] = [
    ("server_headers", server_headers),
    ("server_tokens", server_tokens),
    ("turn_frames", turn_frames),
];

/// What proxies say, a header a line; what comes back to a place in a room; ranges of addresses.
pub fn server_headers(data: &[u8]) {
    let trusted: Vec<Network> = ["10.0.0.0/8", "fd00::/8"]
        .map(|range| range.parse().expect("a range"))
        .to_vec();
    let (proxy, mut headers) = (IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderMap::new());
    for line in data.split(|byte| *byte == b'\n').take(64) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append("x-forwarded-for", value.clone());
            headers.append(FORWARDED, value);
        }
    }
    for header in [ProxyHeader::XForwardedFor, ProxyHeader::Forwarded] {
        let client = Proxies::new(trusted.clone(), header).client(proxy, &headers);
        assert_eq!(client, client.to_canonical());
    }
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Some(token) = ResumeToken::parse(text) {
        assert_eq!(token.to_secret().expose(), text, "a token has one spelling");
        assert!(token.secret.matches(&token.secret.clone()));
    }
    if let Ok(range) = text.parse::<Network>() {
        let (address, _) = text.split_once('/').unwrap_or((text, ""));
        assert!(range.contains(address.parse().expect("it begins with its address")));
    }
}
