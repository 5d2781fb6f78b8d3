//! Introductions and keys, for `fuzz/`.

use super::introduction::{Input, Introduction};
use super::{Identity, Inbox, PairSecret, PublicKey, Seed};
use crate::pairing::{Role, test_binding};
use std::sync::Arc;

/// Said by a peer, to both roles.
pub(crate) fn message(text: &str) {
    for role in [Role::Guest, Role::Host] {
        let identity = Arc::new(Identity::new([1; 32].into(), [2; 32].into()));
        let (mut introduction, _) = Introduction::start(identity, role, test_binding(1));
        for line in text.lines() {
            if introduction.handle(&Input::Said(line)).is_err() {
                break;
            }
        }
    }
}

pub(crate) fn keys(text: &str) {
    if let Ok(key) = text.parse::<PublicKey>() {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
    if let Ok(inbox) = text.parse::<Inbox>() {
        assert_eq!(inbox.reveal().to_string(), text);
    }
    if let Ok(secret) = text.parse::<PairSecret>() {
        assert_eq!(secret.reveal().to_string(), text);
    }
    if let Ok(seed) = text.parse::<Seed>() {
        assert_eq!(seed.reveal().to_string(), text);
    }
}
