//! Record nonces that never repeat.
//!
//! The engine's DTLS draws the 8-byte explicit nonce of AES-GCM from the random source for each
//! record. Drawn at random, two of 2^32 records collide with probability one half, and one collision
//! reveals the authentication key (the flaw of CVE-2026-26014). SP 800-38D section 8.2.1 wants a counter.
//! This provider answers 8-byte draws with a counter that starts at a random value and is private to
//! one connection, so no nonce can repeat before 2^64 records. All other draws stay random. In the
//! engine only the GCM nonce and the ICE tie-breaker draw 8 bytes; `tests/engine.rs` pins that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use webrtc::peer_connection::crypto::providers::RingProvider;
use webrtc::peer_connection::crypto::{CryptoError, RTCCrypto, RTCCryptoProvider, RTCRandom};

/// Bytes of an explicit GCM nonce (RFC 5288 section 3).
const EXPLICIT_NONCE: usize = 8;

/// The `ring` provider with counting nonces. Make one for each connection.
pub(crate) struct NonceCountingProvider {
    ring: RingProvider,
    random: CountingRandom,
}

struct CountingRandom {
    ring: Arc<dyn RTCCryptoProvider>,
    next: AtomicU64,
}

impl NonceCountingProvider {
    pub(crate) fn new() -> Self {
        Self {
            ring: RingProvider::new(),
            random: CountingRandom {
                ring: Arc::new(RingProvider::new()),
                next: AtomicU64::new(rand::random()),
            },
        }
    }
}

impl RTCCryptoProvider for NonceCountingProvider {
    fn name(&self) -> &'static str {
        "ring, counting nonces"
    }

    fn crypto(&self) -> &dyn RTCCrypto {
        self.ring.crypto()
    }

    fn random(&self) -> &dyn RTCRandom {
        &self.random
    }
}

impl RTCRandom for CountingRandom {
    fn fill(&self, output: &mut [u8]) -> Result<(), CryptoError> {
        if output.len() == EXPLICIT_NONCE {
            output.copy_from_slice(&self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes());
            return Ok(());
        }
        self.ring.random().fill(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn nonces_count_and_other_draws_stay_random() {
        let provider = NonceCountingProvider::new();
        let mut seen = HashSet::new();
        let mut draw = || {
            let mut nonce = [0; EXPLICIT_NONCE];
            provider.random().fill(&mut nonce).unwrap();
            assert!(seen.insert(nonce));
            u64::from_be_bytes(nonce)
        };
        let first = draw();
        for step in 1..1000 {
            assert_eq!(draw(), first.wrapping_add(step));
        }
        let mut keys = HashSet::new();
        for _ in 0..100 {
            let mut key = [0; 32];
            provider.random().fill(&mut key).unwrap();
            assert!(keys.insert(key));
        }
        assert_ne!(
            NonceCountingProvider::new().random.next.into_inner(),
            NonceCountingProvider::new().random.next.into_inner(),
            "two connections start apart"
        );
    }
}
