//! What `fuzz/` calls: not for programs, and free to change. `docs/testing.md` says how it is run.

use crate::{ClientMessage, Numbered, PeerId, PeerName, RoomName, ServerMessage, seq_of, with_seq};

/// Longest explanation of a refusal, in bytes: 200 characters of the sender's, and our words around them.
const EXPLANATION: usize = 1000;

/// One text frame, as client and server read it, and as a name.
pub fn signaling_message(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    match Numbered::<ClientMessage>::parse(text) {
        Ok(Numbered { seq, message }) => {
            let json = message.to_json();
            assert_eq!(ClientMessage::parse(&json).as_ref(), Ok(&message), "{json}");
            if let Some(seq) = seq {
                let json = with_seq(&json, seq);
                assert_eq!(seq_of(&json), Some(seq), "{json}");
            }
            if let Ok(from) = "p1".parse()
                && let Some(relayed) = message.into_relayed(from)
            {
                let json = relayed.to_json();
                assert_eq!(ServerMessage::parse(&json), Ok(relayed), "{json}");
            }
        }
        Err(error) => assert!(error.to_string().len() < EXPLANATION),
    }
    match Numbered::<ServerMessage>::parse(text) {
        Ok(Numbered { message, .. }) => {
            let json = message.to_json();
            assert_eq!(ServerMessage::parse(&json), Ok(message), "{json}");
        }
        Err(error) => assert!(error.to_string().len() < EXPLANATION),
    }
    if let Ok(name) = text.parse::<RoomName>() {
        assert_eq!(name.as_str(), text);
        assert!(!text.contains(['/', '%', '?', '#']) && !text.starts_with('.'));
    }
    if let Ok(id) = text.parse::<PeerId>() {
        assert_eq!(id.as_str(), text);
    }
    if let Ok(name) = text.parse::<PeerName>() {
        assert_eq!(name.as_str(), text);
    }
}
