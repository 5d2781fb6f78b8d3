//! A `message` for a server, which passes its payload on and has no use for it.

use crate::{PeerId, limits::JSON_DEPTH, parse};
use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use std::fmt;

/// A `message` with its payload as the text that came.
///
/// Building the payload and writing it again is most of what relaying costs. It is passed on as it is only if that makes
/// no difference to whoever reads it: it is valid JSON for every reader, on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpaqueMessage<'a> {
    /// Its number, if it has one.
    pub seq: Option<u64>,
    /// The receiver; everyone else in the room if absent.
    pub to: Option<PeerId>,
    payload: &'a str,
}

impl<'a> OpaqueMessage<'a> {
    /// `None` for anything else than a `message` that can be passed on as it is; [`ClientMessage`](crate::ClientMessage)
    /// says then what it is, or what is wrong with it. The caller has already limited the size of `text`.
    pub fn parse(text: &'a str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            #[serde(rename = "type")]
            _kind: Kind,
            #[serde(default)]
            seq: Option<u64>,
            #[serde(default)]
            to: Option<PeerId>,
            #[serde(borrow)]
            payload: &'a RawValue,
        }
        // Any other is known as soon as its type is read.
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        enum Kind {
            Message,
        }
        // Derived code would read an array as a struct's fields in order.
        if !text.starts_with('{') || parse::is_deeper_than(text, JSON_DEPTH) {
            return None;
        }
        let fields: Fields<'a> = serde_json::from_str(text).ok()?;
        let payload = fields.payload.get();
        // A line break ends a message where messages are lines.
        if payload.contains(['\n', '\r']) || serde_json::from_str::<Checked>(payload).is_err() {
            return None;
        }
        Some(Self {
            seq: fields.seq,
            to: fields.to,
            payload,
        })
    }

    /// The text of what its receivers get.
    pub fn into_relayed(self, from: &PeerId) -> String {
        // An id needs no escapes.
        let parts = [
            r#"{"type":"message","from":""#,
            from.as_str(),
            r#"","payload":"#,
            self.payload,
            "}",
        ];
        parts.concat()
    }
}

/// A value whose strings and numbers were read, which a raw one's are not: of half a surrogate pair or `1e999`, the
/// syntax is right.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Check)
    }
}

struct Check;

impl<'de> Visitor<'de> for Check {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_unit<E>(self) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Checked, A::Error> {
        while let Some(Checked) = seq.next_element()? {}
        Ok(Checked)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Checked, A::Error> {
        while let Some((Checked, Checked)) = map.next_entry()? {}
        Ok(Checked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientMessage, ServerMessage};

    fn from() -> PeerId {
        "p1".parse().unwrap()
    }

    #[test]
    fn the_payload_stays_as_it_is() {
        let text = r#"{"type":"message","seq":7,"to":"p2","payload":{"b": 1.50, "a":"\n"}}"#;
        let message = OpaqueMessage::parse(text).unwrap();
        assert_eq!(
            (message.seq, message.to.as_ref().map(PeerId::as_str)),
            (Some(7), Some("p2"))
        );
        assert_eq!(
            message.into_relayed(&from()),
            r#"{"type":"message","from":"p1","payload":{"b": 1.50, "a":"\n"}}"#
        );
    }

    #[test]
    fn what_makes_a_difference_is_read_the_other_way() {
        for payload in [
            "1e999",
            r#""\ud800""#,
            r#"{"\ud800":1}"#,
            r#"["\ud800"]"#,
            "{\n}",
            "[\r]",
            &format!("{}{}", "[".repeat(JSON_DEPTH), "]".repeat(JSON_DEPTH)),
        ] {
            let text = format!(r#"{{"type":"message","payload":{payload}}}"#);
            assert_eq!(OpaqueMessage::parse(&text), None, "{text}");
        }
        for text in [
            r#"{"type":"chat","content":"","payload":1}"#,
            r#"{"type":"message"}"#,
            r#"{"type":"message","payload":1,"payload":1}"#,
            r#"{"type":"message","payload":1,"to":""}"#,
            r#"{"type":"message","payload":1,"seq":-1}"#,
            r#"{"type":"message","payload":1} {}"#,
            r#"["message",1,null,2]"#,
            "",
        ] {
            assert_eq!(OpaqueMessage::parse(text), None, "{text}");
        }
    }

    #[test]
    fn both_ways_say_the_same() {
        for payload in [
            "null",
            "true",
            "-1",
            "18446744073709551616",
            "0.1e-5",
            r#""é\u00e9\"""#,
            r#"[[],{"a":{}}]"#,
        ] {
            let text = format!(r#" {{"payload":{payload} ,"type":"message","other":[1]}}"#);
            let text = text.trim_start();
            let relayed = OpaqueMessage::parse(text).unwrap().into_relayed(&from());
            let read = ClientMessage::parse(text).unwrap().into_relayed(from());
            assert_eq!(ServerMessage::parse(&relayed).ok(), read, "{text}");
        }
    }
}
