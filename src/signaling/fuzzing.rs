//! Event streams and addresses, for `fuzz/`.

use super::sse::{Event, Parser};
use super::websocket;
use super::{Fingerprint, ServerUrl};
use crate::fuzzing::pieces;

/// The body of an event stream, at once and in pieces; each event as a message.
pub fn event_stream(data: &[u8]) {
    let mut whole = Vec::new();
    let result = Parser::default().read(data, &mut whole);
    let (mut parser, mut events) = (Parser::default(), Vec::new());
    let in_pieces = pieces(data).try_for_each(|piece| parser.read(piece, &mut events));
    assert_eq!(events, whole);
    assert_eq!(in_pieces.is_ok(), result.is_ok());
    let mut length = 0;
    for event in &whole {
        if let Event::Data(text) = event {
            length += text.len();
            let _ = websocket::read(text);
        }
    }
    assert!(length <= data.len());
}

/// What stands for a server.
pub(crate) fn address(text: &str) {
    if let Ok(server) = text.parse::<ServerUrl>() {
        assert_eq!(server.to_string().parse(), Ok(server.clone()), "{text}");
        assert!(!server.host_and_port().0.is_empty(), "{text}");
        assert!(server.websocket().starts_with("ws") && server.websocket().ends_with("/ws"));
        assert!(server.page().ends_with('/') && !server.page().contains(['?', '#']));
    }
    if let Ok(fingerprint) = text.parse::<Fingerprint>() {
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
    }
}
