//! The samples in `tests/vectors/devices.json`, for other implementations.
//!
//! To write the file after a change of the protocol: `PEERLINE_WRITE_VECTORS=1 cargo test --lib vectors`.

use super::proof::{Known, Proof};
use super::{Acquaintance, Identity, Inbox, PairSecret, PublicKey, Seed};
use crate::pairing::{Role, test_binding};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

fn device(seed: u8) -> Arc<Identity> {
    let inbox = Inbox::from([seed + 0x10; 32]);
    Arc::new(Identity::new(Seed::from([seed; 32]), inbox))
}

fn samples() -> Value {
    let (guest, host) = (device(1), device(2));
    let binding = test_binding(7);
    let signed = |purpose| {
        let known = |identity: &Arc<Identity>, peer: PublicKey, role| {
            Known::new(Arc::clone(identity), peer, role).sign(purpose, &binding)
        };
        json!({
            "guest": known(&guest, host.key(), Role::Guest),
            "host": known(&host, guest.key(), Role::Host),
        })
    };
    let secret = binding.device_secret(guest.key().bytes(), host.key().bytes());
    let known_host = Acquaintance {
        key: host.key(),
        inbox: host.inbox().clone(),
        secret: PairSecret::from(*secret),
    };
    let room = host.inbox().room(20_000);
    let password = known_host.password(&room, &host.key());
    let of = |identity: &Identity| {
        json!({
            "seed": hex::encode(identity.seed().bytes()),
            "key": identity.key().to_string(),
            "inbox": *identity.inbox().reveal(),
        })
    };
    json!({
        "about": "Two devices, guest and host, of a session whose ISK is 64 bytes of 0x07 and whose fingerprints are the SHA-256 of the texts offerer and answerer; they then meet on day 20000 in the inbox of the host. Values are base64url as in the protocol, or hex.",
        "guest": of(&guest),
        "host": of(&host),
        "binding": hex::encode(binding.name()),
        "introduction": signed(Proof::Introduction),
        "session": signed(Proof::Session),
        "pairSecret": *known_host.secret.reveal(),
        "day": 20_000,
        "room": room,
        "password": password.reveal(),
        "sid": hex::encode(password.sid_of([3; 8])),
    })
}

#[test]
fn the_shared_vectors_are_what_this_implementation_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/devices.json");
    let samples = samples();
    if std::env::var_os("PEERLINE_WRITE_VECTORS").is_some() {
        std::fs::write(&path, format!("{samples:#}\n")).unwrap();
    }
    let file: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(file, samples);
}
