//! Tokens and the names of keys, for `fuzz/`.

use super::{
    Claims, KeySpec, SigningKey, TokenError, TokenKeys,
    claims::{create_token, verify},
    jws,
};
use ring::hmac;
use std::time::{Duration, UNIX_EPOCH};

/// A token as it comes, and what is in one that is signed with a right key.
pub fn server_tokens(data: &[u8]) {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
    let key = SigningKey::Hs256(secret);
    let keys = TokenKeys::new([("k".to_owned(), key.verifier())]);
    let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
    if let Ok(text) = str::from_utf8(data) {
        let forged = verify(&keys, text, now);
        assert!(forged.is_err(), "nobody knows the key");
        let _ = text.parse::<KeySpec>();
    }
    let signed = jws::sign(&key, "k", data);
    assert_eq!(jws::verify(&keys, &signed).as_deref(), Ok(data));
    match verify(&keys, &signed, now) {
        Ok(claims) => {
            let again = create_token(&key, "k", &claims);
            assert_eq!(verify(&keys, again.expose(), now), Ok(claims.clone()));
            let later = UNIX_EPOCH + Duration::from_secs(claims.exp);
            assert_eq!(verify(&keys, &signed, later), Err(TokenError::Expired));
            let _ = claims.grant();
        }
        Err(error) => assert!(!matches!(
            error,
            TokenError::Signature | TokenError::Algorithm | TokenError::Key
        )),
    }
    let _ = serde_json::from_slice::<Claims>(data);
}
