//! From how many addresses one signed token is used: one that was published is soon used from many.

use crate::{refusal::Refusal, sources::Source};
use signaling_protocol::ErrorCode;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Addresses that may use one token within [`REMEMBERED`]: a person with a phone on the move has a few.
const MAX_SOURCES: usize = 16;

/// How long a use is remembered.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// Tokens that are remembered; with all their addresses that is less than 40 MB.
const MAX_TOKENS: usize = 65_536;

/// By the digest of the token.
#[derive(Debug, Default)]
pub(super) struct Holders(HashMap<[u8; 32], Vec<(Source, Instant)>>);

impl Holders {
    /// A token that holds was used; refuses if it was by too many.
    pub(super) fn used(
        &mut self,
        token: [u8; 32],
        source: Source,
        now: Instant,
    ) -> Result<(), Refusal> {
        if self.0.len() >= MAX_TOKENS && !self.0.contains_key(&token) {
            self.0.retain(|_, uses| {
                forget(uses, now);
                !uses.is_empty()
            });
            if self.0.len() >= MAX_TOKENS {
                let message = "too many tokens are in use";
                return Err(Refusal::new(ErrorCode::ServerFull, message));
            }
        }
        let uses = self.0.entry(token).or_default();
        forget(uses, now);
        if let Some((_, at)) = uses.iter_mut().find(|(known, _)| *known == source) {
            *at = now;
            return Ok(());
        }
        if uses.len() >= MAX_SOURCES {
            return Err(Refusal::new(
                ErrorCode::RateLimited,
                format!("this token was used from {MAX_SOURCES} addresses within an hour"),
            ));
        }
        uses.push((source, now));
        Ok(())
    }
}

fn forget(uses: &mut Vec<(Source, Instant)>, now: Instant) {
    uses.retain(|(_, at)| now.saturating_duration_since(*at) < REMEMBERED);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_is_for_a_few_addresses() {
        let mut holders = Holders::default();
        let now = Instant::now();
        let source = |last| Source::of([192, 0, 2, last].into());
        let token = [1; 32];
        let admitted = (0..100).filter(|last| holders.used(token, source(*last), now).is_ok());
        assert_eq!(admitted.count(), MAX_SOURCES);
        assert!(holders.used(token, source(3), now).is_ok(), "it is known");
        assert!(
            holders.used([2; 32], source(99), now).is_ok(),
            "another token"
        );
        let later = now + REMEMBERED;
        assert!(holders.used(token, source(99), later).is_ok());
    }

    #[test]
    fn the_table_does_not_grow_without_end() {
        let mut holders = Holders::default();
        let now = Instant::now();
        let token = |n: usize| {
            let mut token = [0; 32];
            token[..8].copy_from_slice(&n.to_be_bytes());
            token
        };
        let source = Source::of([192, 0, 2, 1].into());
        for n in 0..MAX_TOKENS {
            holders.used(token(n), source, now).unwrap();
        }
        let full = holders.used(token(MAX_TOKENS), source, now).unwrap_err();
        assert_eq!(full.code, ErrorCode::ServerFull);
        let later = now + REMEMBERED;
        holders.used(token(MAX_TOKENS), source, later).unwrap();
        assert_eq!(holders.0.len(), 1);
    }
}
