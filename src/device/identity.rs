//! Who a device is: an Ed25519 key (RFC 8032) that never leaves it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use std::fmt;
use std::str::FromStr;

use super::secret::{Inbox, Seed, from_text};

/// Bytes of a signature.
pub(super) const SIGNATURE: usize = 64;

/// The public half of a device's key: its name among devices.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

/// A text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not 32 bytes in base64url")]
pub struct KeyError;

impl PublicKey {
    /// The 32 bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether the owner of this key has signed `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.0);
        key.verify(message, signature).is_ok()
    }
}

impl From<[u8; 32]> for PublicKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        from_text(text).map(|bytes| Self(*bytes))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// This device: its key, and the inbox in which it waits.
pub struct Identity {
    seed: Seed,
    pair: Ed25519KeyPair,
    key: PublicKey,
    inbox: Inbox,
}

impl Identity {
    /// A new device.
    pub fn generate() -> Self {
        let (seed, inbox): ([u8; 32], [u8; 32]) = rand::random();
        Self::new(Seed::from(seed), Inbox::from(inbox))
    }

    /// The device with this private key and this inbox.
    pub fn new(seed: Seed, inbox: Inbox) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.bytes())
            .expect("every 32 bytes are a private key of Ed25519");
        let key = pair.public_key().as_ref().try_into();
        Self {
            seed,
            key: PublicKey(key.expect("a public key of Ed25519 has 32 bytes")),
            pair,
            inbox,
        }
    }

    /// What others know it by.
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// Where it waits for those it knows.
    pub fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// The private key.
    pub fn seed(&self) -> &Seed {
        &self.seed
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; SIGNATURE] {
        let signature = self.pair.sign(message);
        let bytes = signature.as_ref().try_into();
        bytes.expect("a signature of Ed25519 has 64 bytes")
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_vector_of_rfc_8032() {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let seed: [u8; 32] = hex::decode(seed).unwrap().try_into().unwrap();
        let identity = Identity::new(Seed::from(seed), Inbox::from([0; 32]));
        assert_eq!(
            hex::encode(identity.key().bytes()),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        let signature = identity.sign(b"");
        assert!(hex::encode(signature).starts_with("e5564300c360ac729086e2cc806e828a"));
        assert!(identity.key().verifies(b"", &signature));
        assert!(!identity.key().verifies(b"x", &signature));
        assert!(!identity.key().verifies(b"", &signature[1..]));
    }

    #[test]
    fn keys_are_read_back_and_nothing_else_is() {
        let key = Identity::generate().key();
        assert_eq!(key.to_string().parse(), Ok(key));
        for text in ["", "AAAA", &format!("{key}="), &format!("{key}A"), "ä"] {
            assert_eq!(text.parse::<PublicKey>(), Err(KeyError), "{text}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let identity = Identity::generate();
        assert_eq!(
            format!("{identity:?}"),
            format!("Identity({})", identity.key())
        );
    }
}
