//! The key schedule: what the key agreement gives becomes one key for each purpose and side.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use std::marker::PhantomData;
use zeroize::Zeroizing;

/// Binds every key to this protocol.
pub(super) const SALT: &[u8] = b"peerline/1";

/// Which side of a code one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Was given the code; sends the first offer.
    Guest,
    /// Made the code.
    Host,
}

impl Role {
    /// The other side.
    pub fn other(self) -> Self {
        match self {
            Self::Guest => Self::Host,
            Self::Host => Self::Guest,
        }
    }

    /// As it enters key derivation, associated data and signatures.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Host => "host",
        }
    }
}

/// What a key may be used for.
pub(super) trait Purpose {
    /// As it enters key derivation.
    const NAME: &'static str;
}

/// Proves that a side knows the session key.
pub(super) enum Confirm {}
/// Encrypts what a side says over the server.
pub(super) enum Seal {}
/// Vouches for the certificates that a side saw.
pub(super) enum Certificates {}
/// Names one session of two sides, for what devices sign.
pub(super) enum Named {}
/// Gives what two devices share from a session on.
pub(super) enum Device {}
/// Tells a host which of the devices it waits for has come.
pub(super) enum Hint {}

impl Purpose for Confirm {
    const NAME: &'static str = "confirm";
}
impl Purpose for Seal {
    const NAME: &'static str = "seal";
}
impl Purpose for Certificates {
    const NAME: &'static str = "certificates";
}
impl Purpose for Named {
    const NAME: &'static str = "binding";
}
impl Purpose for Device {
    const NAME: &'static str = "device";
}
impl Purpose for Hint {
    const NAME: &'static str = "hint";
}

/// A secret for one purpose, wiped when dropped.
pub(super) struct Key<P> {
    bytes: Zeroizing<[u8; 32]>,
    purpose: PhantomData<P>,
}

impl Key<Seal> {
    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

/// HMAC-SHA256, compared in constant time.
impl<P: Mac256> Key<P> {
    pub(super) fn tag(&self, message: &[u8]) -> [u8; 32] {
        self.mac(message).finalize().into_bytes().into()
    }

    pub(super) fn verifies(&self, message: &[u8], tag: &[u8]) -> bool {
        self.mac(message).verify_slice(tag).is_ok()
    }

    fn mac(&self, message: &[u8]) -> Hmac<Sha256> {
        Hmac::<Sha256>::new_from_slice(&*self.bytes)
            .expect("HMAC takes keys of any length")
            .chain_update(message)
    }
}

/// The purposes whose keys make tags. A key that encrypts never does.
pub(super) trait Mac256 {}
impl Mac256 for Confirm {}
impl Mac256 for Certificates {}
impl Mac256 for Named {}
impl Mac256 for Device {}
impl Mac256 for Hint {}

impl<P: Purpose> Key<P> {
    /// A key from elsewhere.
    pub(super) fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self {
            bytes,
            purpose: PhantomData,
        }
    }
}

impl<P> Clone for Key<P> {
    fn clone(&self) -> Self {
        Self {
            bytes: self.bytes.clone(),
            purpose: PhantomData,
        }
    }
}

impl<P: Purpose> fmt::Debug for Key<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, …)", P::NAME)
    }
}

/// Derives the keys of one session.
pub(super) struct KeySchedule(Hkdf<Sha256>);

impl KeySchedule {
    pub(super) fn new(session_key: &[u8; 64]) -> Self {
        Self(Hkdf::new(Some(SALT), session_key))
    }

    pub(super) fn key<P: Purpose>(&self, side: Role) -> Key<P> {
        self.expand(&[P::NAME, " ", side.name()])
    }

    /// A key that is the same for both sides.
    pub(super) fn shared<P: Purpose>(&self) -> Key<P> {
        self.expand(&[P::NAME])
    }

    fn expand<P: Purpose>(&self, info: &[&str]) -> Key<P> {
        let mut bytes = Zeroizing::new([0; 32]);
        let info: Vec<&[u8]> = info.iter().map(|part| part.as_bytes()).collect();
        self.0
            .expand_multi_info(&info, &mut *bytes)
            .expect("32 bytes are fewer than HKDF's 8160");
        Key::from_bytes(bytes)
    }

    pub(super) fn phrase(&self) -> [u8; 9] {
        let mut bytes = [0; 9];
        self.0
            .expand(b"phrase", &mut bytes)
            .expect("9 bytes are fewer than HKDF's 8160");
        bytes
    }
}

#[cfg(test)]
impl<P> Key<P> {
    pub(super) fn reveal(&self) -> String {
        hex::encode(self.bytes.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_purpose_and_side_and_do_not_show_themselves() {
        let schedule = KeySchedule::new(&[7; 64]);
        let mut keys = vec![
            schedule.key::<Confirm>(Role::Guest).reveal(),
            schedule.key::<Confirm>(Role::Host).reveal(),
            schedule.key::<Seal>(Role::Guest).reveal(),
            schedule.key::<Seal>(Role::Host).reveal(),
            schedule.key::<Certificates>(Role::Guest).reveal(),
            schedule.key::<Certificates>(Role::Host).reveal(),
            schedule.shared::<Named>().reveal(),
            schedule.shared::<Device>().reveal(),
        ];
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 8);
        assert_eq!(
            format!("{:?}", schedule.key::<Seal>(Role::Guest)),
            "Key(seal, …)"
        );
    }

    #[test]
    fn a_tag_verifies_for_its_key_and_message_only() {
        let schedule = KeySchedule::new(&[7; 64]);
        let key = schedule.key::<Confirm>(Role::Guest);
        let tag = key.tag(b"message");
        assert!(key.verifies(b"message", &tag));
        assert!(!key.verifies(b"massage", &tag));
        assert!(!key.verifies(b"message", &tag[..31]));
        assert!(
            !schedule
                .key::<Confirm>(Role::Host)
                .verifies(b"message", &tag)
        );
    }
}
