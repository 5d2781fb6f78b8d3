//! The samples in `tests/vectors/pairing.json`, which the TypeScript implementation reads too.
//!
//! To write the file after a change of the protocol: `PEERLINE_WRITE_VECTORS=1 cargo test --lib vectors`.

use super::cpace::Secret;
use super::exchange::{Action, Agreement, Input};
use super::key::{Certificates, Confirm, Purpose, Role, Seal};
use super::password::Password;
use super::*;
use serde_json::{Value, json};
use std::path::Path;
use zeroize::Zeroizing;

const CODE: &str = "7-crane-velvet-orbit";
const SID: &str = "000102030405060708090a0b0c0d0e0f";
const SCALAR_GUEST: &str = "a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f00";
const SCALAR_HOST: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e10f";

fn secret(scalar: &str, code: &Code, sid: &[u8]) -> Secret {
    let scalar = hex::decode(scalar).unwrap().try_into().unwrap();
    let password = Password::from(code);
    Secret::from_bytes(
        Zeroizing::new(scalar),
        code.password().as_bytes(),
        password.channel(),
        sid,
    )
}

fn send(actions: &[Action]) -> Record {
    match &actions[0] {
        Action::Send(record) => record.clone(),
        other => panic!("{other:?}"),
    }
}

fn keys(agreement: &Agreement) -> Value {
    fn both<P: Purpose>(agreement: &Agreement) -> Value {
        let of = |role| agreement.schedule().key::<P>(role).reveal();
        json!({ "guest": of(Role::Guest), "host": of(Role::Host) })
    }
    json!({
        "confirm": both::<Confirm>(agreement),
        "seal": both::<Seal>(agreement),
        "certificates": both::<Certificates>(agreement),
        "phrase": hex::encode(agreement.schedule().phrase()),
    })
}

fn tag(record: &Record) -> String {
    match record {
        Record::Confirm { tag } => hex::encode(tag),
        other => panic!("{other:?}"),
    }
}

fn sealed(agreement: &Agreement) -> Vec<Value> {
    let candidate = serde_json::from_value(json!({
        "candidate": "candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host ufrag abcd",
        "sdpMid": "0",
        "sdpMLineIndex": 0,
        "usernameFragment": "abcd",
    }))
    .unwrap();
    let offer = SealedMessage::Offer {
        id: None,
        sdp: "v=0\r\n".into(),
        agent: "peer-cli 0.1.0".into(),
        engine: Engine::Native,
    };
    let answer = SealedMessage::Answer {
        id: None,
        sdp: "v=0\r\ns=-\r\n".into(),
        agent: "Küche 🦀".into(),
        engine: Engine::Browser,
    };
    let bye = SealedMessage::Bye {
        code: ByeCode::Declined,
        message: "not today".into(),
    };
    let candidate = SealedMessage::IceCandidate {
        candidate: Some(candidate),
    };
    let end = SealedMessage::IceCandidate { candidate: None };
    let mut samples = vec![];
    for (role, name, messages) in [
        (Role::Guest, "guest", [offer, candidate, end]),
        (Role::Host, "host", [answer, bye.clone(), bye]),
    ] {
        let mut sealer = agreement.sealer(role);
        for (counter, message) in messages.iter().enumerate() {
            samples.push(json!({
                "role": name,
                "counter": counter,
                "plaintext": String::from_utf8(message.to_json()).unwrap(),
                "record": sealer.seal(message).unwrap().encode(),
            }));
        }
    }
    samples
}

fn certificates(agreement: &Agreement) -> Value {
    let (offerer, answerer) = fingerprints();
    let tag = |role| CertificateKeys::new(agreement.schedule(), role).tag(&offerer, &answerer);
    json!({
        "offererFingerprint": hex::encode(offerer.bytes()),
        "answererFingerprint": hex::encode(answerer.bytes()),
        "guest": tag(Role::Guest),
        "host": tag(Role::Host),
        "phraseWithoutCode": Phrase::of_certificates(&offerer, &answerer).to_string(),
    })
}

fn fingerprints() -> (Fingerprint, Fingerprint) {
    (
        Fingerprint::of_certificate(b"offerer"),
        Fingerprint::of_certificate(b"answerer"),
    )
}

fn codes() -> Value {
    let texts = [
        "7-crane-velvet-orbit",
        "7 CRANE velvet Orbit",
        " 7_cran.velv--orbi ",
        "a1b2c3d4e5f6g7h8-abandon-zoo-act",
        "7-velve-cran-zoo",
        "",
        "7-crane-velvet",
        "7-crane-velvet-orbit-zoo",
        "7-crane-velvit-orbit",
        "7-cra-velvet-orbit",
        "7-cranes-velvet-orbit",
        "a1b2c3d4e5f6g7h8i-crane-velvet-orbit",
        "ä-crane-velvet-orbit",
    ];
    let read = |text: &str| text.parse::<Code>().ok().map(|code| code.to_string());
    texts
        .iter()
        .map(|text| json!({ "text": text, "code": read(text) }))
        .collect()
}

/// Runs an exchange of both state machines with fixed secrets and writes down all of it.
fn samples() -> Value {
    let code: Code = CODE.parse().unwrap();
    let sid: [u8; 16] = hex::decode(SID).unwrap().try_into().unwrap();
    let (ours, theirs) = (
        secret(SCALAR_GUEST, &code, &sid),
        secret(SCALAR_HOST, &code, &sid),
    );
    let product = ours.product(&theirs.share).unwrap();
    let agreement = Agreement::new(&sid, &product, &ours.share, &theirs.share);
    let (ya, yb) = (hex::encode(ours.share), hex::encode(theirs.share));

    let (mut guest, share_guest) = Guest::with_secret(sid, ours);
    let mut host = Host::new(code.clone());
    let input = Input::Record(share_guest.clone());
    let share_host = send(&host.handle_with(&1, &input, |_, _| theirs));
    let confirm_guest = send(&guest.handle(Input::Record(share_host.clone())));
    let confirm_host = send(&host.handle(&1, Input::Record(confirm_guest.clone())));
    let paired = guest.handle(Input::Record(confirm_host.clone()));
    assert!(matches!(paired[..], [Action::Paired(_)]));

    json!({
        "about": "Values are hex; records and certificate tags are base64url as they are sent. A code of null is one that must be refused.",
        "code": CODE,
        "room": code.room(),
        "words": *code.password(),
        "channelIdentifier": hex::encode(Password::from(&code).channel()),
        "sid": SID,
        "scalarGuest": SCALAR_GUEST,
        "scalarHost": SCALAR_HOST,
        "ya": ya,
        "yb": yb,
        "k": hex::encode(*product),
        "isk": hex::encode(isk(&sid, &product, &ya, &yb)),
        "transcript": hex::encode(agreement.transcript()),
        "keys": keys(&agreement),
        "tags": { "guest": tag(&confirm_guest), "host": tag(&confirm_host) },
        "records": {
            "shareGuest": share_guest.encode(),
            "shareHost": share_host.encode(),
            "confirmGuest": confirm_guest.encode(),
            "confirmHost": confirm_host.encode(),
            "abortWrongCode": Record::Abort(AbortReason::WrongCode).encode(),
            "abortUnsupportedVersion": Record::Abort(AbortReason::UnsupportedVersion).encode(),
            "abortTampered": Record::Abort(AbortReason::Tampered).encode(),
            "abortCodeUsed": Record::Abort(AbortReason::CodeUsed).encode(),
            "abortCancelled": Record::Abort(AbortReason::Cancelled).encode(),
            "abortUnknownDevice": Record::Abort(AbortReason::UnknownDevice).encode(),
        },
        "sealed": sealed(&agreement),
        "phrase": Phrase::from_bytes(agreement.schedule().phrase()).to_string(),
        "certificateTags": certificates(&agreement),
        "codes": codes(),
    })
}

fn isk(sid: &[u8], product: &[u8; 32], ya: &str, yb: &str) -> [u8; 64] {
    let point = |text| hex::decode(text).unwrap().try_into().unwrap();
    let (a, b) = (b"peerline/1 guest", b"peerline/1 host");
    *cpace::session_key(sid, product, &point(ya), a, &point(yb), b)
}

#[test]
fn the_shared_vectors_are_what_this_implementation_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/pairing.json");
    let samples = samples();
    if std::env::var_os("PEERLINE_WRITE_VECTORS").is_some() {
        std::fs::write(&path, format!("{samples:#}\n")).unwrap();
    }
    let file: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(file, samples);
}
