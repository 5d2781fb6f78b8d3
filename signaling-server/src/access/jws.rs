//! Signed texts in the compact form of RFC 7515: `header.payload.signature`, each in base64url.
//!
//! Of a header only `alg` and `kid` count. The key that `kid` names decides the algorithm, and `alg` has
//! to agree: nothing in a token can choose how it is checked.

use super::keys::{SigningKey, TokenKeys};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

/// Why a token is not taken. It names nothing that the token holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not three parts of base64url with JSON in them.
    #[error("this is no token")]
    Malformed,
    /// `kid` is missing or names no key of this server.
    #[error("the token is signed with a key that this server does not know")]
    Key,
    /// `alg` is another one than the key's, or `crit` asks for what is not known here.
    #[error("the token's algorithm is not that of its key")]
    Algorithm,
    /// Not signed with that key.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim is missing or malformed.
    #[error("the token's claims cannot be used: `exp` and `room` are needed")]
    Claims,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` has not come.
    #[error("the token is not valid yet")]
    Early,
    /// `exp` is further away than is allowed.
    #[error("the token is valid for too long")]
    Lifetime,
    /// `aud` names others.
    #[error("the token is for another service")]
    Audience,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default, skip_serializing)]
    crit: Option<serde_json::Value>,
}

/// The payload of a token that one of the keys has signed.
pub(super) fn verify(keys: &TokenKeys, token: &str) -> Result<Vec<u8>, TokenError> {
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
    let header: Header =
        serde_json::from_slice(&decode(header)?).map_err(|_| TokenError::Malformed)?;
    let key = header.kid.as_deref().and_then(|kid| keys.get(kid));
    let key = key.ok_or(TokenError::Key)?;
    if header.alg != key.algorithm().name() || header.crit.is_some() {
        return Err(TokenError::Algorithm);
    }
    // A fourth part would be within the payload, and a dot is not in its alphabet.
    let payload = decode(payload)?;
    match key.verifies(signed.as_bytes(), &decode(signature)?) {
        true => Ok(payload),
        false => Err(TokenError::Signature),
    }
}

/// Signs a payload.
pub(super) fn sign(key: &SigningKey, id: &str, payload: &[u8]) -> String {
    let header = Header {
        alg: key.algorithm().name().to_owned(),
        typ: Some("JWT".to_owned()),
        kid: Some(id.to_owned()),
        crit: None,
    };
    let header = serde_json::to_vec(&header).expect("strings are JSON");
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!("{}.{}", encode(&header), encode(payload));
    let signature = encode(&key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn decode(text: &str) -> Result<Vec<u8>, TokenError> {
    BASE64_URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| TokenError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::keys::TokenKey;
    use ring::hmac;

    /// RFC 7515 appendix A.1 and RFC 8037 appendix A.4, with a `kid` where there is none: only the
    /// signatures of theirs, over their own inputs.
    #[test]
    fn the_signatures_are_those_of_the_standards() {
        let decoded = |text| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
        let secret = decoded(
            "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        );
        let key = TokenKey::Hs256(hmac::Key::new(hmac::HMAC_SHA256, &secret));
        let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = decoded("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert!(key.verifies(signed.as_bytes(), &signature));
        let public = decoded("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        let key = TokenKey::EdDsa(public.try_into().unwrap());
        let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = decoded(
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        );
        assert!(key.verifies(signed.as_bytes(), &signature));
        assert!(!key.verifies(b"x", &signature));
    }
}
