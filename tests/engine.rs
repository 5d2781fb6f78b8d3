//! Pins the behaviours of the `webrtc` crate that the library relies on or works around. A test that
//! fails after an update says which of our assumptions no longer holds.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelInit};
use webrtc::peer_connection::crypto::providers::RingProvider;
use webrtc::peer_connection::crypto::{CryptoError, RTCCrypto, RTCCryptoProvider, RTCRandom};
use webrtc::peer_connection::{
    CipherSuiteId, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
    RTCIceCandidateInit, RTCPeerConnectionIceEvent, RTCPeerConnectionState, RTCSessionDescription,
    RTCStatsReportEntry, SettingEngineBuilder, StatsSelector,
};

const LIMIT: Duration = Duration::from_secs(20);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future)
        .await
        .unwrap_or_else(|_| panic!("{what} took too long"))
}

struct Peer {
    connection: Arc<dyn PeerConnection>,
    candidates: mpsc::Receiver<RTCIceCandidateInit>,
    channels: mpsc::Receiver<Arc<dyn DataChannel>>,
    state: watch::Receiver<RTCPeerConnectionState>,
}

struct Handler {
    candidates: mpsc::Sender<RTCIceCandidateInit>,
    channels: mpsc::Sender<Arc<dyn DataChannel>>,
    state: watch::Sender<RTCPeerConnectionState>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        self.candidates
            .try_send(event.candidate.to_json().unwrap())
            .unwrap();
    }
    async fn on_data_channel(&self, data_channel: Arc<dyn DataChannel>) {
        self.channels.try_send(data_channel).ok();
    }
    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.state.send_replace(state);
    }
}

async fn peer(crypto: Arc<dyn RTCCryptoProvider>) -> Peer {
    /// The engine's own: `INITIAL_MTU` of rtc-sctp.
    const DEFAULT_MTU: u32 = 1191;
    peer_with(crypto, DEFAULT_MTU).await
}

async fn peer_with(crypto: Arc<dyn RTCCryptoProvider>, sctp_mtu: u32) -> Peer {
    let (candidates_tx, candidates) = mpsc::channel(64);
    let (channels_tx, channels) = mpsc::channel(64);
    let (state_tx, state) = watch::channel(RTCPeerConnectionState::New);
    let settings = SettingEngineBuilder::new()
        .with_include_loopback_candidate(true)
        .with_sctp_mtu(sctp_mtu)
        .with_crypto_provider(crypto)
        .with_dtls_cipher_suites(vec![CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256])
        .with_multicast_dns_mode(rtc::ice::mdns::MulticastDnsMode::Disabled)
        .build();
    let handler = Handler {
        candidates: candidates_tx,
        channels: channels_tx,
        state: state_tx,
    };
    let connection = PeerConnectionBuilder::new()
        .with_setting_engine(settings)
        .with_handler(Arc::new(handler))
        .with_udp_addrs(vec!["127.0.0.1:0".to_owned()])
        .with_data_channel_send_buffer_limit(1 << 20)
        .build()
        .await
        .unwrap();
    Peer {
        connection: Arc::new(connection),
        candidates,
        channels,
        state,
    }
}

async fn plain_peer() -> Peer {
    peer(Arc::new(RingProvider::new())).await
}

fn control() -> Option<RTCDataChannelInit> {
    Some(RTCDataChannelInit {
        negotiated: Some(0),
        ..RTCDataChannelInit::default()
    })
}

/// Offer and answer, then candidates as they come, until both sides are connected.
async fn connect(left: &mut Peer, right: &mut Peer) {
    let offer = left.connection.create_offer(None).await.unwrap();
    left.connection
        .set_local_description(offer.clone())
        .await
        .unwrap();
    right
        .connection
        .set_remote_description(offer)
        .await
        .unwrap();
    let answer = right.connection.create_answer(None).await.unwrap();
    right
        .connection
        .set_local_description(answer.clone())
        .await
        .unwrap();
    left.connection
        .set_remote_description(answer)
        .await
        .unwrap();
    let connected = |state: &RTCPeerConnectionState| *state == RTCPeerConnectionState::Connected;
    let mut states = (left.state.clone(), right.state.clone());
    let both = async {
        states.0.wait_for(connected).await.unwrap();
        states.1.wait_for(connected).await.unwrap();
    };
    tokio::pin!(both);
    within("connecting", async {
        loop {
            tokio::select! {
                () = &mut both => return,
                Some(found) = left.candidates.recv() => right.connection.add_ice_candidate(found).await.unwrap(),
                Some(found) = right.candidates.recv() => left.connection.add_ice_candidate(found).await.unwrap(),
            }
        }
    })
    .await;
}

async fn opened(channel: &Arc<dyn DataChannel>) {
    within("opening", async {
        while !matches!(channel.poll().await.unwrap(), DataChannelEvent::OnOpen) {}
    })
    .await;
}

async fn message(channel: &Arc<dyn DataChannel>) -> Vec<u8> {
    within("a message", async {
        loop {
            if let DataChannelEvent::OnMessage(message) = channel.poll().await.unwrap() {
                return message.data.to_vec();
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_negotiated_channel_opens_on_both_sides_and_keeps_its_stream() {
    let (mut left, mut right) = (plain_peer().await, plain_peer().await);
    let controls = [
        left.connection
            .create_data_channel("control", control())
            .await
            .unwrap(),
        right
            .connection
            .create_data_channel("control", control())
            .await
            .unwrap(),
    ];
    connect(&mut left, &mut right).await;
    opened(&controls[0]).await;
    opened(&controls[1]).await;
    controls[1].send_text("hello").await.unwrap();
    assert_eq!(message(&controls[0]).await, b"hello");

    // Both sides open more, which must not land on stream 0, and the acceptor is told that it is open.
    for (opener, acceptor) in [
        (&left.connection, &mut right.channels),
        (&right.connection, &mut left.channels),
    ] {
        let ours = opener.create_data_channel("more", None).await.unwrap();
        let theirs = within("the other side", acceptor.recv()).await.unwrap();
        opened(&ours).await;
        opened(&theirs).await;
        let largest = vec![7; 65_535];
        ours.send(largest.as_slice().into()).await.unwrap();
        assert_eq!(message(&theirs).await, largest);
    }
    controls[0].send_text("still here").await.unwrap();
    assert_eq!(message(&controls[1]).await, b"still here");
    left.connection.close().await.unwrap();
    right.connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_every_poller_and_the_peer_notices() {
    let (mut left, mut right) = (plain_peer().await, plain_peer().await);
    let ours = left
        .connection
        .create_data_channel("control", control())
        .await
        .unwrap();
    let theirs = right
        .connection
        .create_data_channel("control", control())
        .await
        .unwrap();
    connect(&mut left, &mut right).await;
    opened(&ours).await;
    opened(&theirs).await;
    left.connection.close().await.unwrap();
    for channel in [ours, theirs] {
        within("the end", async {
            loop {
                match channel.poll().await {
                    None | Some(DataChannelEvent::OnClose) => break,
                    Some(_) => {}
                }
            }
        })
        .await;
    }
    right.connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_send_buffer_makes_senders_wait() {
    let (mut left, mut right) = (plain_peer().await, plain_peer().await);
    let ours = left
        .connection
        .create_data_channel("bulk", None)
        .await
        .unwrap();
    connect(&mut left, &mut right).await;
    opened(&ours).await;
    let theirs = within("the other side", right.channels.recv())
        .await
        .unwrap();
    // Nobody polls `theirs`: at most its window, the buffer and the delivery queue fill up.
    let mut sent = 0;
    while let Ok(result) = tokio::time::timeout(
        Duration::from_millis(500),
        ours.send(vec![7; 60_000].as_slice().into()),
    )
    .await
    {
        result.unwrap();
        sent += 60_000;
        assert!(sent < 64 << 20, "sending never waits");
    }
    let mut received = 0;
    while received < sent {
        received += message(&theirs).await.len();
    }
    left.connection.close().await.unwrap();
    right.connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn candidates_before_their_description_are_refused_and_the_mid_may_be_missing() {
    let (mut left, right) = (plain_peer().await, plain_peer().await);
    left.connection
        .create_data_channel("control", control())
        .await
        .unwrap();
    let offer = left.connection.create_offer(None).await.unwrap();
    left.connection
        .set_local_description(offer.clone())
        .await
        .unwrap();
    let mut candidate = within("a candidate", left.candidates.recv()).await.unwrap();
    candidate.sdp_mid = None;
    candidate.sdp_mline_index = Some(0);
    assert!(
        right
            .connection
            .add_ice_candidate(candidate.clone())
            .await
            .is_err()
    );
    right
        .connection
        .set_remote_description(offer)
        .await
        .unwrap();
    right.connection.add_ice_candidate(candidate).await.unwrap();
    left.connection.close().await.unwrap();
    right.connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_colliding_offer_needs_an_explicit_rollback() {
    let (left, right) = (plain_peer().await, plain_peer().await);
    let mut offers = Vec::new();
    for peer in [&left, &right] {
        peer.connection
            .create_data_channel("control", control())
            .await
            .unwrap();
        let offer = peer.connection.create_offer(None).await.unwrap();
        peer.connection
            .set_local_description(offer.clone())
            .await
            .unwrap();
        offers.push(offer);
    }
    let collision = offers.swap_remove(1);
    assert!(
        left.connection
            .set_remote_description(collision.clone())
            .await
            .is_err()
    );
    let rollback = RTCSessionDescription::rollback(None).unwrap();
    left.connection
        .set_local_description(rollback)
        .await
        .unwrap();
    left.connection
        .set_remote_description(collision)
        .await
        .unwrap();
    left.connection.create_answer(None).await.unwrap();
    left.connection.close().await.unwrap();
    right.connection.close().await.unwrap();
}

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
    let mut offer = left.connection.create_offer(None).await.unwrap();
    left.connection
        .set_local_description(offer.clone())
        .await
        .unwrap();
    let start = offer.sdp.find("sha-256 ").unwrap() + 8;
    let wrong = if &offer.sdp[start..=start] == "0" {
        "1"
    } else {
        "0"
    };
    offer.sdp.replace_range(start..=start, wrong);
    right
        .connection
        .set_remote_description(offer)
        .await
        .unwrap();
    let answer = right.connection.create_answer(None).await.unwrap();
    right
        .connection
        .set_local_description(answer.clone())
        .await
        .unwrap();
    left.connection
        .set_remote_description(answer)
        .await
        .unwrap();
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

/// Bytes in each datagram that a connection has sent, on average.
async fn datagram_size(peer: &Peer) -> u64 {
    let now = std::time::Instant::now();
    let report = peer.connection.get_stats(now, StatsSelector::None).await;
    let pairs = report.iter().filter_map(|entry| match entry {
        RTCStatsReportEntry::IceCandidatePair(pair) => Some((pair.bytes_sent, pair.packets_sent)),
        _ => None,
    });
    let (bytes, packets) = pairs.max().unwrap();
    bytes / packets
}

#[tokio::test(flavor = "multi_thread")]
async fn the_senders_packet_size_is_enough_for_large_datagrams() {
    let large = peer_with(Arc::new(RingProvider::new()), 16_384 - 37).await;
    let (mut left, mut right) = (large, plain_peer().await);
    let ours = left
        .connection
        .create_data_channel("bulk", None)
        .await
        .unwrap();
    connect(&mut left, &mut right).await;
    opened(&ours).await;
    let theirs = within("the other side", right.channels.recv())
        .await
        .unwrap();
    opened(&theirs).await;
    for channel in [&ours, &theirs] {
        let other = if Arc::ptr_eq(channel, &ours) {
            &theirs
        } else {
            &ours
        };
        for number in 0..64u8 {
            channel
                .send(vec![number; 65_000].as_slice().into())
                .await
                .unwrap();
            assert_eq!(message(other).await, vec![number; 65_000]);
        }
    }
    // Acknowledgements and checks bring the average down.
    assert!(
        datagram_size(&left).await > 6_000,
        "{}",
        datagram_size(&left).await
    );
    assert!(
        datagram_size(&right).await < 1_300,
        "{}",
        datagram_size(&right).await
    );
    left.connection.close().await.unwrap();
    right.connection.close().await.unwrap();
}
