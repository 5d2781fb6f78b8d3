//! What a token says: for which room, as what, and when (RFC 7519).

pub use super::jws::TokenError;
use super::{
    grant::{Grant, Role},
    jws,
    keys::{SigningKey, TokenKeys},
};
use serde::{Deserialize, Serialize};
use signaling_protocol::{RoomName, Secret};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest time that a token may still be good for: one that never ends cannot be taken back but with
/// its key.
pub const MAX_AGE: Duration = Duration::from_secs(31 * 86_400);

/// What `aud` has to name, if it is there.
const AUDIENCE: &str = "peerline";

/// The claim `room` that stands for every room.
const EVERY_ROOM: &str = "*";

/// The claims that count here; others are left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// When it ends, in seconds since 1970.
    pub exp: u64,
    /// Before when it is not valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// For which room.
    pub room: Scope,
    /// As what.
    #[serde(default)]
    pub role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aud: Option<Audience>,
}

/// Where a token is good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// In this room.
    Room(RoomName),
    /// In every room.
    Everywhere,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl TryFrom<String> for Scope {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            EVERY_ROOM => Ok(Self::Everywhere),
            name => name
                .parse()
                .map(Self::Room)
                .map_err(|error| format!("{error}")),
        }
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Room(room) => room.as_str().to_owned(),
            Scope::Everywhere => EVERY_ROOM.to_owned(),
        }
    }
}

impl Claims {
    /// Claims that end after `lifetime`.
    pub fn new(room: Scope, role: Role, lifetime: Duration, now: SystemTime) -> Self {
        Self {
            exp: seconds(now).saturating_add(lifetime.as_secs()),
            nbf: None,
            room,
            role,
            aud: None,
        }
    }

    pub(super) fn grant(self) -> Grant {
        Grant {
            room: match self.room {
                Scope::Room(room) => Some(room),
                Scope::Everywhere => None,
            },
            role: self.role,
        }
    }

    fn check(&self, now: SystemTime) -> Result<(), TokenError> {
        let now = seconds(now);
        if self.exp <= now {
            return Err(TokenError::Expired);
        }
        if self.exp - now > MAX_AGE.as_secs() {
            return Err(TokenError::Lifetime);
        }
        if self.nbf.is_some_and(|nbf| nbf > now) {
            return Err(TokenError::Early);
        }
        let for_us = match &self.aud {
            None => true,
            Some(Audience::One(name)) => name == AUDIENCE,
            Some(Audience::Several(names)) => names.iter().any(|name| name == AUDIENCE),
        };
        for_us.then_some(()).ok_or(TokenError::Audience)
    }
}

/// The claims of a token that holds now.
pub(super) fn verify(keys: &TokenKeys, token: &str, now: SystemTime) -> Result<Claims, TokenError> {
    let payload = jws::verify(keys, token)?;
    let claims: Claims = serde_json::from_slice(&payload).map_err(|_| TokenError::Claims)?;
    claims.check(now)?;
    Ok(claims)
}

/// Makes a token.
pub fn create_token(key: &SigningKey, id: &str, claims: &Claims) -> Secret {
    let payload = serde_json::to_vec(claims).expect("claims are JSON");
    Secret::new(jws::sign(key, id, &payload))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    use ring::{
        hmac,
        signature::{Ed25519KeyPair, KeyPair},
    };
    use serde_json::{Value, json};

    const NOW: u64 = 1_800_000_000;

    fn shared(secret: &[u8]) -> SigningKey {
        SigningKey::Hs256(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    fn pair() -> SigningKey {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        SigningKey::EdDsa(Box::new(pair))
    }

    fn keys() -> TokenKeys {
        TokenKeys::new([
            ("h".to_owned(), shared(&[1; 32]).verifier()),
            ("e".to_owned(), pair().verifier()),
        ])
    }

    fn at(now: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(now)
    }

    fn good() -> Value {
        json!({ "exp": NOW + 60, "room": "standup", "role": "host" })
    }

    fn with(change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let mut claims = good();
        change(&mut claims);
        claims.to_string().into_bytes()
    }

    fn encode(bytes: impl AsRef<[u8]>) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// A token with any header, signed by whatever `sign` does.
    fn forged(header: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
        let signed = format!("{}.{}", encode(header.to_string()), encode(with(|_| ())));
        let signature = encode(sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    #[test]
    fn good_tokens_of_both_kinds_grant_what_they_say() {
        for (key, id) in [(shared(&[1; 32]), "h"), (pair(), "e")] {
            for (claims, room, role) in [
                (with(|_| ()), Some("standup"), Role::Host),
                (with(|c| c["room"] = json!("*")), None, Role::Host),
                (
                    with(|c| c["role"] = json!("guest")),
                    Some("standup"),
                    Role::Guest,
                ),
                (
                    with(|c| {
                        c.as_object_mut().unwrap().remove("role");
                    }),
                    Some("standup"),
                    Role::Guest,
                ),
                (with(|c| c["nbf"] = json!(NOW)), Some("standup"), Role::Host),
                (
                    with(|c| c["aud"] = json!(["x", "peerline"])),
                    Some("standup"),
                    Role::Host,
                ),
                (
                    with(|c| c["sub"] = json!({ "any": 1 })),
                    Some("standup"),
                    Role::Host,
                ),
            ] {
                let token = jws::sign(&key, id, &claims);
                let grant = verify(&keys(), &token, at(NOW)).unwrap().grant();
                assert_eq!(grant.room.as_ref().map(RoomName::as_str), room);
                assert_eq!(grant.role, role);
            }
        }
    }

    #[test]
    fn bad_tokens_are_refused() {
        use TokenError::*;
        let claimed = |change: &dyn Fn(&mut Value)| jws::sign(&pair(), "e", &with(change));
        let none = |_: &[u8]| Vec::new();
        let SigningKey::EdDsa(ed25519) = pair() else {
            unreachable!("it is one")
        };
        let public = ed25519.public_key().as_ref().to_vec();
        let by_public_key = |signed: &[u8]| shared(&public).sign(signed);
        let by_h = |signed: &[u8]| shared(&[1; 32]).sign(signed);
        let by_e = |signed: &[u8]| pair().sign(signed);
        let good = jws::sign(&pair(), "e", &with(|_| ()));
        let other = jws::sign(&pair(), "e", &with(|c| c["room"] = json!("other")));
        let (body, _) = good.rsplit_once('.').unwrap();
        let (_, signature_of_other) = other.rsplit_once('.').unwrap();
        let twice = br#"{"exp":1,"exp":1800000060,"room":"standup"}"#;
        let rows = [
            (
                "alg none",
                forged(&json!({ "alg": "none", "kid": "e" }), none),
                Algorithm,
            ),
            (
                "alg none with a signature",
                forged(&json!({ "alg": "None", "kid": "e" }), by_e),
                Algorithm,
            ),
            (
                "alg none without a kid",
                forged(&json!({ "alg": "none" }), none),
                Key,
            ),
            (
                "HS256 with the public key",
                forged(&json!({ "alg": "HS256", "kid": "e" }), by_public_key),
                Algorithm,
            ),
            (
                "EdDSA said, HMAC done",
                forged(&json!({ "alg": "EdDSA", "kid": "e" }), by_public_key),
                Signature,
            ),
            (
                "EdDSA for the HS256 key",
                forged(&json!({ "alg": "EdDSA", "kid": "h" }), by_e),
                Algorithm,
            ),
            (
                "other spelling",
                forged(&json!({ "alg": "hs256", "kid": "h" }), by_h),
                Algorithm,
            ),
            (
                "crit",
                forged(
                    &json!({ "alg": "EdDSA", "kid": "e", "crit": ["b64"], "b64": false }),
                    by_e,
                ),
                Algorithm,
            ),
            (
                "jwk in the header",
                forged(&json!({ "alg": "EdDSA", "jwk": { "kty": "OKP" } }), by_e),
                Key,
            ),
            ("no alg", forged(&json!({ "kid": "e" }), by_e), Malformed),
            (
                "unknown kid",
                forged(&json!({ "alg": "EdDSA", "kid": "x" }), by_e),
                Key,
            ),
            (
                "kid as a path",
                forged(&json!({ "alg": "EdDSA", "kid": "../e" }), by_e),
                Key,
            ),
            (
                "kid with NUL",
                forged(&json!({ "alg": "EdDSA", "kid": "e\0" }), by_e),
                Key,
            ),
            (
                "kid of another type",
                forged(&json!({ "alg": "EdDSA", "kid": 1 }), by_e),
                Malformed,
            ),
            (
                "another token's signature",
                format!("{body}.{signature_of_other}"),
                Signature,
            ),
            ("no signature", format!("{body}."), Signature),
            (
                "a cut signature",
                good[..good.len() - 2].to_owned(),
                Signature,
            ),
            ("two parts", body.to_owned(), Malformed),
            ("four parts", format!("{good}.x"), Malformed),
            ("padding", format!("{good}="), Malformed),
            ("nothing", String::new(), Malformed),
            (
                "expired by 1 s",
                claimed(&|c| c["exp"] = json!(NOW - 1)),
                Expired,
            ),
            ("expires now", claimed(&|c| c["exp"] = json!(NOW)), Expired),
            ("nbf in 1 s", claimed(&|c| c["nbf"] = json!(NOW + 1)), Early),
            (
                "exp year 9999",
                claimed(&|c| c["exp"] = json!(253_402_300_799_u64)),
                Lifetime,
            ),
            (
                "exp 2^64-1",
                claimed(&|c| c["exp"] = json!(u64::MAX)),
                Lifetime,
            ),
            (
                "no exp",
                claimed(&|c| {
                    c.as_object_mut().unwrap().remove("exp");
                }),
                Claims,
            ),
            (
                "exp as text",
                claimed(&|c| c["exp"] = json!("1800000060")),
                Claims,
            ),
            ("exp null", claimed(&|c| c["exp"] = json!(null)), Claims),
            ("exp negative", claimed(&|c| c["exp"] = json!(-1)), Claims),
            (
                "exp 1e999",
                jws::sign(&pair(), "e", br#"{"exp":1e999,"room":"standup"}"#),
                Claims,
            ),
            ("nbf as text", claimed(&|c| c["nbf"] = json!("x")), Claims),
            ("exp twice", jws::sign(&pair(), "e", twice), Claims),
            (
                "no room",
                claimed(&|c| {
                    c.as_object_mut().unwrap().remove("room");
                }),
                Claims,
            ),
            (
                "a room that is none",
                claimed(&|c| c["room"] = json!("../x")),
                Claims,
            ),
            (
                "a role that is none",
                claimed(&|c| c["role"] = json!("admin")),
                Claims,
            ),
            (
                "another audience",
                claimed(&|c| c["aud"] = json!("billing")),
                Audience,
            ),
            ("no JSON", jws::sign(&pair(), "e", b"x"), Claims),
            ("an array", jws::sign(&pair(), "e", b"[]"), Claims),
        ];
        for (what, token, error) in rows {
            assert_eq!(verify(&keys(), &token, at(NOW)), Err(error), "{what}");
        }
    }

    #[test]
    fn what_is_made_is_taken() {
        let lifetime = Duration::from_secs(60);
        let claims = Claims::new(Scope::Everywhere, Role::Host, lifetime, at(NOW));
        let token = create_token(&pair(), "e", &claims);
        assert_eq!(verify(&keys(), token.expose(), at(NOW + 59)), Ok(claims));
        let late = verify(&keys(), token.expose(), at(NOW + 60));
        assert_eq!(late, Err(TokenError::Expired));
    }
}
