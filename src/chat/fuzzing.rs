//! Messages and names, for `fuzz/`.

use super::message::{MAX_TEXT, Message};
use super::name::Name;
use crate::channel::MAX_MESSAGE;

pub(crate) fn message(text: &str) {
    // A channel brings no more.
    if text.len() > MAX_MESSAGE {
        return;
    }
    let Ok(message) = Message::parse(text) else {
        return;
    };
    match &message {
        Message::Say { text, .. } | Message::Said { text, .. } => assert!(text.len() <= MAX_TEXT),
        Message::Enter { key, .. } => drop(key.digest()),
        _ => {}
    }
    if message == Message::Unknown {
        return;
    }
    let json = serde_json::to_string(&message).expect("strings and numbers are always JSON");
    assert_eq!(Message::parse(&json).ok(), Some(message), "{json}");
}

pub(crate) fn name(text: &str) {
    let name = Name::new(text);
    assert!(!name.as_str().is_empty() && !name.as_str().contains(char::is_control));
    assert_eq!(Name::new(name.as_str()), name);
    assert!(name.is_like(&name));
    assert!(name.numbered(9999).as_str().ends_with("-9999"));
}
