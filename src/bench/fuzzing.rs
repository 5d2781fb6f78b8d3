//! Messages, for `fuzz/`.

use super::message::Message;

pub(crate) fn message(text: &str) {
    let Some(message) = Message::parse(text) else {
        return;
    };
    if let Message::Run(step) = &message {
        step.duration();
    }
    if message != Message::Unknown {
        let json = message.to_json();
        assert_eq!(Message::parse(&json), Some(message), "{json}");
    }
}
