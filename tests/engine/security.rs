//! Certificates, fingerprints and nonces.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use webrtc::peer_connection::RTCPeerConnectionState;
use webrtc::peer_connection::crypto::providers::RingProvider;
use webrtc::peer_connection::crypto::{CryptoError, RTCCrypto, RTCCryptoProvider, RTCRandom};

use crate::harness::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_peers_certificate_can_be_compared_with_its_description() {
    use sha2::{Digest, Sha256};
    let (mut left, mut right) = (plain_peer().await, plain_peer().await);
    left.connection
        .create_data_channel("control", control())
        .await
        .unwrap();
    right
        .connection
        .create_data_channel("control", control())
        .await
        .unwrap();
    connect(&mut left, &mut right).await;
    let sctp = left.connection.sctp().await.unwrap();
    let der = sctp
        .transport()
        .get_remote_certificates()
        .await
        .unwrap()
        .remove(0);
    let digits: Vec<String> = Sha256::digest(&der)
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    let sdp = right.connection.local_description().await.unwrap().sdp;
    assert!(sdp.to_uppercase().contains(&digits.join(":")), "{sdp}");
    left.connection.close().await.unwrap();
    right.connection.close().await.unwrap();
}

/// A provider that counts the draws of 8 bytes and the bytes sealed under a key.
struct Recording {
    ring: RingProvider,
    random: RecordingRandom,
}

#[derive(Default)]
struct RecordingRandom {
    eight_byte_draws: AtomicUsize,
    other_lengths: Mutex<Vec<usize>>,
}

impl RTCCryptoProvider for Recording {
    fn name(&self) -> &'static str {
        "recording"
    }
    fn crypto(&self) -> &dyn RTCCrypto {
        self.ring.crypto()
    }
    fn random(&self) -> &dyn RTCRandom {
        &self.random
    }
}

impl RTCRandom for RecordingRandom {
    fn fill(&self, output: &mut [u8]) -> Result<(), CryptoError> {
        if output.len() == 8 {
            self.eight_byte_draws.fetch_add(1, Ordering::Relaxed);
        } else {
            self.other_lengths.lock().unwrap().push(output.len());
        }
        RingProvider::new().random().fill(output)
    }
}

/// `net/nonces.rs` answers 8-byte draws with a counter. That is sound only while such draws are GCM
/// nonces and the ICE tie-breaker, and nothing else that must be unpredictable.
#[tokio::test(flavor = "multi_thread")]
async fn eight_bytes_are_drawn_for_record_nonces_and_the_tie_breaker_only() {
    let recording = Arc::new(Recording {
        ring: RingProvider::new(),
        random: RecordingRandom::default(),
    });
    let draws = || recording.random.eight_byte_draws.load(Ordering::Relaxed);
    let (mut left, mut right) = (peer(recording.clone()).await, plain_peer().await);
    let ours = left
        .connection
        .create_data_channel("bulk", None)
        .await
        .unwrap();
    let before_connecting = draws();
    assert!(
        before_connecting <= 1,
        "more than the tie-breaker: {before_connecting}"
    );
    connect(&mut left, &mut right).await;
    opened(&ours).await;
    let theirs = within("the other side", right.channels.recv())
        .await
        .unwrap();
    let handshake = draws();
    assert!(
        handshake > before_connecting,
        "the last handshake record is encrypted"
    );
    assert!(handshake < 30, "{handshake} draws in one handshake");
    for _ in 0..50 {
        ours.send(vec![7; 1000].as_slice().into()).await.unwrap();
        message(&theirs).await;
    }
    assert!(draws() >= handshake + 50, "one nonce for each record");
    let lengths = recording.random.other_lengths.lock().unwrap().clone();
    assert!(
        lengths.iter().all(|length| *length > 8 || *length <= 4),
        "{lengths:?}"
    );
    left.connection.close().await.unwrap();
    right.connection.close().await.unwrap();
}

/// `session/watchdog.rs` exists because of this: the engine never says that DTLS failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_fingerprint_never_connects() {
    let (mut left, right) = (plain_peer().await, plain_peer().await);
    left.connection
        .create_data_channel("control", control())
        .await
        .unwrap();
    describe(&left, &right, |offer| {
        let start = offer.sdp.find("sha-256 ").unwrap() + 8;
        let wrong = if &offer.sdp[start..=start] == "0" {
            "1"
        } else {
            "0"
        };
        offer.sdp.replace_range(start..=start, wrong);
    })
    .await;
    let mut states = (left.state.clone(), right.state.clone());
    let mut right_candidates = right.candidates;
    let connecting = async {
        loop {
            tokio::select! {
                Ok(()) = states.1.changed() => {
                    if *states.1.borrow() == RTCPeerConnectionState::Connected { return }
                }
                Ok(()) = states.0.changed() => {}
                Some(found) = left.candidates.recv() => right.connection.add_ice_candidate(found).await.unwrap(),
                Some(found) = right_candidates.recv() => left.connection.add_ice_candidate(found).await.unwrap(),
                else => std::future::pending().await,
            }
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(4), connecting)
            .await
            .is_err()
    );
    left.connection.close().await.unwrap();
    right.connection.close().await.unwrap();
}
