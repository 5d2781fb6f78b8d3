//! Credentials that need no table (draft-uberti-behave-turn-rest-00, coturn's `use-auth-secret`): the user
//! name holds when it expires and for whom it was made, the password is its HMAC-SHA1 under a secret that
//! only the servers know.

use base64::{Engine, prelude::BASE64_STANDARD};
use ring::hmac;
use signaling_protocol::{IceServer, PeerId, RoomName, Secret};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long new allocations can be made. An allocation that is alive lives on, as with coturn.
pub(crate) const LIFETIME: Duration = Duration::from_secs(300);

/// Bytes of a secret that nobody chose.
const SECRET_BYTES: usize = 32;

/// Longest user name: an expiry, a room and a peer. RFC 8489 section 14.3 allows 508 bytes.
const MAX_NAME: usize = 256;

/// Makes and checks credentials.
#[derive(Debug, Clone)]
pub(crate) struct Minter {
    key: hmac::Key,
    urls: Vec<String>,
}

impl Minter {
    /// `secret` is shared with other TURN servers; without one, nobody else can mint. `urls` are told
    /// to peers.
    pub(crate) fn new(secret: Option<&Secret>, urls: Vec<String>) -> Self {
        let random: [u8; SECRET_BYTES] = rand::random();
        let secret = secret.map_or(&random[..], |secret| secret.expose().as_bytes());
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
        Self { key, urls }
    }

    /// Adds addresses that became known by listening.
    pub(crate) fn add_urls(&mut self, urls: impl IntoIterator<Item = String>) {
        self.urls.extend(urls);
    }

    /// Whether there is a TURN server.
    pub(crate) fn can_mint(&self) -> bool {
        !self.urls.is_empty()
    }

    /// What one peer of one room may use from now on; `None` without a TURN server.
    pub(crate) fn mint(
        &self,
        room: &RoomName,
        peer: &PeerId,
        now: SystemTime,
    ) -> Option<IceServer> {
        if !self.can_mint() {
            return None;
        }
        let username = format!("{}:{room}/{peer}", seconds(now + LIFETIME));
        let credential = Some(Secret::new(self.password(&username)));
        Some(IceServer {
            urls: self.urls.clone(),
            username: Some(username),
            credential,
        })
    }

    /// The password of a name that has not expired. Whoever shows it to be known is who we gave it to.
    pub(super) fn password_of(&self, username: &str, now: SystemTime) -> Option<String> {
        let (expiry, _) = username.split_once(':')?;
        let expiry: u64 = expiry.parse().ok()?;
        (username.len() <= MAX_NAME && expiry >= seconds(now)).then(|| self.password(username))
    }

    fn password(&self, username: &str) -> String {
        BASE64_STANDARD.encode(hmac::sign(&self.key, username.as_bytes()))
    }
}

/// For whom a name was made, whenever that was.
pub(super) fn user_of(username: &str) -> &str {
    username.split_once(':').map_or(username, |(_, user)| user)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minter() -> Minter {
        let urls = vec!["turn:t.example:3478".to_owned()];
        Minter::new(Some(&Secret::new("north")), urls)
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn the_password_is_that_of_the_convention() {
        let server = minter()
            .mint(&"7".parse().unwrap(), &"p1".parse().unwrap(), at(1_000))
            .unwrap();
        assert_eq!(server.username.as_deref(), Some("1300:7/p1"));
        // printf 1300:7/p1 | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(
            server.credential.unwrap().expose(),
            "AAPRgSne2zLyYnwGccH4B9FAnLY="
        );
    }

    #[test]
    fn only_names_in_time_have_a_password() {
        for (name, valid) in [
            ("1300:7/p1", true),
            ("1000:x", true),
            ("999:7/p1", false),
            ("7/p1", false),
            ("-1:x", false),
            ("18446744073709551616:x", false),
            (&format!("1300:{}", "x".repeat(300)), false),
            ("", false),
        ] {
            assert_eq!(
                minter().password_of(name, at(1_000)).is_some(),
                valid,
                "{name}"
            );
        }
        assert_eq!(user_of("1300:7/p1"), "7/p1");
    }

    #[test]
    fn a_secret_that_nobody_chose_is_nobody_elses() {
        let password = |minter: Minter| minter.password_of("9999:x", at(1));
        assert_ne!(
            password(Minter::new(None, vec![])),
            password(Minter::new(None, vec![]))
        );
        let nobody =
            Minter::new(None, vec![]).mint(&"7".parse().unwrap(), &"p".parse().unwrap(), at(1));
        assert_eq!(nobody, None);
    }
}
