//! What a member comes back with. The token says where the member is, so that nothing has to be looked
//! up by a secret, and any node can find the room; only the secret in it opens the door.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rand::{CryptoRng, RngExt};
use signaling_protocol::{PeerId, RoomName, Secret};
use std::fmt;
use subtle::ConstantTimeEq;

/// Bytes of a secret: 144 bits are not to be guessed.
const SECRET_BYTES: usize = 18;

/// The secret part of a token.
#[derive(Clone)]
pub(crate) struct ResumeSecret([u8; SECRET_BYTES]);

impl ResumeSecret {
    pub(crate) fn draw(rng: &mut impl CryptoRng) -> Self {
        Self(rng.random())
    }

    /// What is kept where others may read: it says whether a secret is this one, and no more.
    pub(crate) fn digest(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.0);
        BASE64_URL_SAFE_NO_PAD.encode(digest)
    }

    /// Compares in a time that says nothing about the content.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for ResumeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// `secret.id.room`, the secret in base64url.
#[derive(Debug, Clone)]
pub(crate) struct ResumeToken {
    pub(crate) secret: ResumeSecret,
    pub(crate) id: PeerId,
    pub(crate) room: RoomName,
}

impl ResumeToken {
    /// Reads what a client sent. What was never a token is as unknown as one that expired.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // A room's name may have dots in it; the rest has none.
        let mut parts = text.splitn(3, '.');
        let (secret, id, room) = (parts.next()?, parts.next()?, parts.next()?);
        let secret = BASE64_URL_SAFE_NO_PAD.decode(secret).ok()?;
        Some(Self {
            secret: ResumeSecret(secret.try_into().ok()?),
            id: id.parse().ok()?,
            room: room.parse().ok()?,
        })
    }

    pub(crate) fn to_secret(&self) -> Secret {
        let Self { secret, id, room } = self;
        let secret = BASE64_URL_SAFE_NO_PAD.encode(secret.0);
        Secret::new(format!("{secret}.{}.{}", id.as_str(), room.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    #[test]
    fn survives_the_wire_and_nothing_else_opens() {
        let mut rng = StdRng::seed_from_u64(1);
        let token = ResumeToken {
            secret: ResumeSecret::draw(&mut rng),
            id: "dK3_x-9".parse().unwrap(),
            room: "team.standup_1~a-b".parse().unwrap(),
        };
        let text = token.to_secret();
        let again = ResumeToken::parse(text.expose()).unwrap();
        assert!(again.secret.matches(&token.secret));
        assert_eq!((&again.id, &again.room), (&token.id, &token.room));
        assert!(!ResumeSecret::draw(&mut rng).matches(&token.secret));
        assert_eq!(format!("{:?}", token.secret), "(secret)");
        for text in [
            "",
            "x",
            "..",
            "AAAA.a.r",
            &"x".repeat(10_000),
            "\u{202e}.\0.r",
        ] {
            assert!(ResumeToken::parse(text).is_none(), "{text}");
        }
    }
}
