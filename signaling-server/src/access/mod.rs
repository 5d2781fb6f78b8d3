//! Who may enter which room: anybody, whoever knows a secret, whoever brings a signed token, or whoever a
//! web service says. Nothing here knows connections; the hub counts wrong attempts.
//!
//! | part | kind | what it does |
//! |---|---|---|
//! | `keys` | pure | keys with their names, each for one algorithm |
//! | `jws` | pure | signatures of tokens (RFC 7515), checked and made |
//! | `claims` | pure | what a token grants, and when |
//! | `grant` | pure | what a grant makes of a wish |
//! | `holders` | pure | from how many addresses one token is used |
//! | `webhook` | edge | asks a web service, and remembers what it said |

mod claims;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod grant;
mod holders;
mod jws;
mod keys;
mod webhook;

pub use claims::{Claims, MAX_AGE, Scope, TokenError, create_token};
pub(crate) use grant::Grant;
pub use grant::Role;
pub use keys::{KeyError, KeySpec, SigningKey, TokenKey, TokenKeys};
pub use webhook::{Webhook, WebhookError};

use crate::{refusal::Refusal, sources::Source};
use holders::Holders;
use ring::digest;
use signaling_protocol::{ErrorCode, RoomName, Secret};
use std::{
    net::IpAddr,
    sync::Mutex,
    time::{Instant, SystemTime},
};
use subtle::ConstantTimeEq;
use tokio_util::task::AbortOnDropHandle;

/// Longest token that is looked at: it has to fit into a request's header too.
const TOKEN_BYTES: usize = 4096;

/// Who may enter.
#[derive(Debug, Clone, Default)]
pub enum AccessConfig {
    /// Everybody.
    #[default]
    Open,
    /// Whoever brings the secret, if there is one, or a token that one of the keys has signed.
    Tokens {
        /// What everybody with it may enter every room with.
        secret: Option<Secret>,
        /// Whose tokens are good for what is in them.
        keys: TokenKeys,
    },
    /// Whoever a web service lets in.
    Webhook(Webhook),
}

/// What somebody wants, as far as it is to be decided here.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) source: Source,
    pub(crate) address: IpAddr,
    pub(crate) token: Option<Secret>,
    pub(crate) room: Option<RoomName>,
    pub(crate) create: Option<bool>,
}

/// The answer, now or later.
#[derive(Debug)]
pub(crate) enum Decision {
    Now(Result<Grant, Refusal>),
    /// Dropped, the question is taken back.
    Later(AbortOnDropHandle<Result<Grant, Refusal>>),
}

/// Decides.
#[derive(Debug)]
pub(crate) struct Access {
    config: AccessConfig,
    holders: Mutex<Holders>,
}

impl Access {
    pub(crate) fn new(config: AccessConfig) -> Self {
        Self {
            config,
            holders: Mutex::default(),
        }
    }

    /// Whether anybody may enter, so that nobody has to bring anything.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.config, AccessConfig::Open)
    }

    /// Decides about one wish. Must be called within a runtime.
    pub(crate) fn decide(&self, wish: &Wish, now: Instant) -> Decision {
        match &self.config {
            AccessConfig::Open => Decision::Now(Ok(Grant::everything())),
            AccessConfig::Tokens { secret, keys } => {
                Decision::Now(self.check(secret.as_ref(), keys, wish, now))
            }
            AccessConfig::Webhook(webhook) => match checked_length(wish.token.as_ref()) {
                Ok(_) => webhook.ask(wish, now),
                Err(refusal) => Decision::Now(Err(refusal)),
            },
        }
    }

    fn check(
        &self,
        secret: Option<&Secret>,
        keys: &TokenKeys,
        wish: &Wish,
        now: Instant,
    ) -> Result<Grant, Refusal> {
        let Some(token) = checked_length(wish.token.as_ref())? else {
            let message = "this server lets nobody in without a token";
            return Err(Refusal::new(ErrorCode::Unauthorized, message));
        };
        if secret.is_some_and(|secret| is_same(secret.expose(), token)) {
            return Ok(Grant::everything());
        }
        let claims = claims::verify(keys, token, SystemTime::now())
            .map_err(|error| Refusal::new(ErrorCode::Unauthorized, error.to_string()))?;
        let mut holders = self
            .holders
            .lock()
            .expect("nothing panics while it holds the holders");
        holders.used(digest_of(token), wish.source, now)?;
        Ok(claims.grant())
    }
}

fn checked_length(token: Option<&Secret>) -> Result<Option<&str>, Refusal> {
    match token.map(Secret::expose) {
        Some(token) if token.len() > TOKEN_BYTES => Err(Refusal::new(
            ErrorCode::Unauthorized,
            format!("a token of more than {TOKEN_BYTES} bytes"),
        )),
        token => Ok(token),
    }
}

/// Compares in a time that says nothing of the content, nor of the length.
pub(crate) fn is_same(secret: &str, given: &str) -> bool {
    digest_of(secret).ct_eq(&digest_of(given)).into()
}

pub(crate) fn digest_of(text: &str) -> [u8; 32] {
    digest::digest(&digest::SHA256, text.as_bytes())
        .as_ref()
        .try_into()
        .expect("SHA-256 has 32 bytes")
}
