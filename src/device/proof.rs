//! What devices sign: that they are in this session, in this role, with each other.

use super::identity::{Identity, PublicKey};
use crate::pairing::{Binding, Role};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::sync::Arc;

/// What a signature is for. One made for a purpose is worth nothing for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Getting to know each other.
    Introduction,
    /// Meeting again.
    Session,
}

impl Proof {
    /// The text that is signed: purpose and signer first, then the session, then both keys, so that no
    /// signature can be taken for that of another session, of the other side, or to somebody else.
    fn message(
        self,
        signer: Role,
        binding: &Binding,
        guest: &PublicKey,
        host: &PublicKey,
    ) -> Vec<u8> {
        let purpose = match self {
            Self::Introduction => "introduction",
            Self::Session => "session",
        };
        let text = format!("peerline/1 device {purpose} {}\0", signer.name());
        [text.as_bytes(), binding.name(), guest.bytes(), host.bytes()].concat()
    }
}

/// This device and the one that is expected at the other end.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    identity: Arc<Identity>,
    peer: PublicKey,
    role: Role,
}

impl Known {
    /// `role` is ours.
    pub(crate) fn new(identity: Arc<Identity>, peer: PublicKey, role: Role) -> Self {
        Self {
            identity,
            peer,
            role,
        }
    }

    pub(crate) fn peer(&self) -> PublicKey {
        self.peer
    }

    /// The keys of guest and host.
    pub(super) fn keys(&self) -> (PublicKey, PublicKey) {
        let own = self.identity.key();
        match self.role {
            Role::Guest => (own, self.peer),
            Role::Host => (self.peer, own),
        }
    }

    /// Our signature, as text.
    pub(crate) fn sign(&self, purpose: Proof, binding: &Binding) -> String {
        let (guest, host) = self.keys();
        let message = purpose.message(self.role, binding, &guest, &host);
        URL_SAFE_NO_PAD.encode(self.identity.sign(&message))
    }

    /// Whether `signature` is that of the expected device, in this session.
    #[must_use]
    pub(crate) fn verify(&self, purpose: Proof, binding: &Binding, signature: &str) -> bool {
        let (guest, host) = self.keys();
        let message = purpose.message(self.role.other(), binding, &guest, &host);
        let signature = URL_SAFE_NO_PAD.decode(signature);
        signature.is_ok_and(|signature| self.peer.verifies(&message, &signature))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pairing::test_binding;

    pub(in crate::device) fn both() -> (Known, Known) {
        let (guest, host) = (Identity::generate(), Identity::generate());
        let keys = (guest.key(), host.key());
        (
            Known::new(Arc::new(guest), keys.1, Role::Guest),
            Known::new(Arc::new(host), keys.0, Role::Host),
        )
    }

    #[test]
    fn a_signature_is_good_for_one_session_one_purpose_and_one_direction() {
        let (guest, host) = both();
        let binding = test_binding(1);
        let signature = guest.sign(Proof::Session, &binding);
        assert!(host.verify(Proof::Session, &binding, &signature));
        let replayed = host.verify(Proof::Session, &test_binding(2), &signature);
        assert!(!replayed, "of an earlier session");
        let purpose = host.verify(Proof::Introduction, &binding, &signature);
        assert!(!purpose, "for something else");
        let reflected = guest.verify(Proof::Session, &binding, &signature);
        assert!(!reflected, "its own");
        for broken in ["", "A", &signature[1..], &format!("{signature}A")] {
            assert!(!host.verify(Proof::Session, &binding, broken));
        }
    }

    #[test]
    fn nobody_else_can_sign_and_nobody_can_be_meant_instead() {
        let (guest, host) = both();
        let binding = test_binding(1);
        let other = Arc::new(Identity::generate());
        let posing = Known::new(Arc::clone(&other), host.identity.key(), Role::Guest);
        let signature = posing.sign(Proof::Session, &binding);
        assert!(
            !host.verify(Proof::Session, &binding, &signature),
            "without the key"
        );
        // The right device signs for its session with somebody else, who passes it on.
        let misled = Known::new(Arc::clone(&guest.identity), other.key(), Role::Guest);
        let signature = misled.sign(Proof::Session, &binding);
        assert!(!host.verify(Proof::Session, &binding, &signature));
        // In the other role.
        let turned = Known::new(Arc::clone(&guest.identity), host.identity.key(), Role::Host);
        let signature = turned.sign(Proof::Session, &binding);
        assert!(!host.verify(Proof::Session, &binding, &signature));
    }
}
