//! The samples in `golden/`, which the TypeScript SDK reads too.
#![allow(clippy::unwrap_used)]

use serde::Deserialize;
use serde_json::Value;
use signaling_protocol::{ClientMessage, ErrorCode, Numbered, ServerMessage, with_seq};
use std::collections::HashSet;

#[derive(Deserialize)]
struct Sample {
    name: String,
    message: Value,
}

#[derive(Deserialize)]
struct Invalid {
    name: String,
    text: String,
    code: ErrorCode,
}

fn samples(json: &str) -> Vec<Sample> {
    let samples: Vec<Sample> = serde_json::from_str(json).unwrap();
    let names: HashSet<_> = samples.iter().map(|sample| &sample.name).collect();
    assert_eq!(names.len(), samples.len(), "a name is there twice");
    samples
}

/// Parses every sample, compares what is serialised again and returns the types that occurred.
fn check<T>(
    json: &str,
    parse: impl Fn(&str) -> Result<T, signaling_protocol::ParseError>,
    to_json: impl Fn(&T) -> String,
) -> HashSet<String> {
    let mut types = HashSet::new();
    for Sample { name, message } in samples(json) {
        let parsed = parse(&message.to_string()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let again: Value = serde_json::from_str(&to_json(&parsed)).unwrap();
        assert_eq!(again, message, "{name}");
        types.insert(message["type"].as_str().unwrap().to_owned());
    }
    types
}

#[test]
fn client_messages() {
    let json = include_str!("../golden/client.json");
    let types = check(json, ClientMessage::parse, ClientMessage::to_json);
    assert_eq!(types.len(), 11, "a sample of every type");
}

#[test]
fn server_messages() {
    let json = include_str!("../golden/server.json");
    let types = check(json, ServerMessage::parse, ServerMessage::to_json);
    assert_eq!(types.len(), 16, "a sample of every type");
    let codes: HashSet<_> = samples(json)
        .iter()
        .filter(|sample| sample.message["type"] == "error")
        .map(|sample| serde_json::from_value::<ErrorCode>(sample.message["code"].clone()).unwrap())
        .collect();
    assert_eq!(codes, ErrorCode::ALL.into(), "a sample of every code");
    for sample in samples(json)
        .iter()
        .filter(|sample| sample.message["type"] == "error")
    {
        let code: ErrorCode = serde_json::from_value(sample.message["code"].clone()).unwrap();
        assert_eq!(sample.message["retry"], code.retry(), "{}", sample.name);
    }
}

#[test]
fn invalid_client_messages() {
    let rows: Vec<Invalid> = serde_json::from_str(include_str!("../golden/invalid.json")).unwrap();
    for Invalid { name, text, code } in rows {
        match Numbered::<ClientMessage>::parse(&text) {
            Ok(message) => panic!("{name}: accepted as {message:?}"),
            Err(error) => assert_eq!(error.code(), code, "{name}: {error}"),
        }
    }
}

#[test]
fn unknown_fields_are_ignored_and_null_is_absent() {
    let text = r#"{"type":"join","room":"a","from":"me","name":null,"later":{"x":1}}"#;
    let message = ClientMessage::parse(text).unwrap();
    assert_eq!(message.to_json(), r#"{"type":"join","room":"a"}"#);
}

#[test]
fn a_single_url_is_an_ice_server() {
    let server: signaling_protocol::IceServer =
        serde_json::from_str(r#"{"urls":"stun:192.0.2.1"}"#).unwrap();
    assert_eq!(server.urls, ["stun:192.0.2.1"]);
}

#[test]
fn a_reason_of_a_newer_server_is_read_as_lost() {
    let text = r#"{"type":"peer-left","peer":"a","reason":"moved"}"#;
    let again = ServerMessage::parse(text).unwrap().to_json();
    assert_eq!(again, r#"{"type":"peer-left","peer":"a","reason":"lost"}"#);
}

#[test]
fn a_number_goes_in_front_and_comes_out_again() {
    let message = ClientMessage::parse(r#"{"type":"chat","content":"{"}"#).unwrap();
    let text = with_seq(&message.to_json(), u64::MAX);
    let read = Numbered::<ClientMessage>::parse(&text).unwrap();
    assert_eq!((read.seq, &read.message), (Some(u64::MAX), &message));
    let plain = Numbered::<ClientMessage>::parse(&message.to_json()).unwrap();
    assert_eq!((plain.seq, plain.message), (None, message));
    let ack = Numbered::<ServerMessage>::parse(r#"{"type":"ack","seq":3}"#).unwrap();
    assert_eq!(
        (ack.seq, ack.message),
        (None, ServerMessage::Ack { seq: 3 })
    );
}
