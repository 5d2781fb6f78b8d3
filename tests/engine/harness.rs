//! Two peer connections of the crate on loopback.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelInit};
use webrtc::peer_connection::crypto::RTCCryptoProvider;
use webrtc::peer_connection::crypto::providers::RingProvider;
use webrtc::peer_connection::{
    CipherSuiteId, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
    RTCIceCandidateInit, RTCPeerConnectionIceEvent, RTCPeerConnectionState, RTCSessionDescription,
    SettingEngineBuilder,
};
use webrtc::runtime::{Runtime, TokioRuntime};

pub(super) const LIMIT: Duration = Duration::from_secs(20);

pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future)
        .await
        .unwrap_or_else(|_| panic!("{what} took too long"))
}

pub(super) struct Peer {
    pub(super) connection: Arc<dyn PeerConnection>,
    pub(super) candidates: mpsc::Receiver<RTCIceCandidateInit>,
    pub(super) channels: mpsc::Receiver<Arc<dyn DataChannel>>,
    pub(super) state: watch::Receiver<RTCPeerConnectionState>,
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

pub(super) async fn peer(crypto: Arc<dyn RTCCryptoProvider>) -> Peer {
    /// The engine's own: `INITIAL_MTU` of rtc-sctp.
    const DEFAULT_MTU: u32 = 1191;
    peer_with(crypto, DEFAULT_MTU).await
}

pub(super) async fn peer_with(crypto: Arc<dyn RTCCryptoProvider>, sctp_mtu: u32) -> Peer {
    peer_on(Arc::new(TokioRuntime), crypto, sctp_mtu).await
}

pub(super) async fn peer_on(
    runtime: Arc<dyn Runtime>,
    crypto: Arc<dyn RTCCryptoProvider>,
    sctp_mtu: u32,
) -> Peer {
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
        .with_runtime(runtime)
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

pub(super) async fn plain_peer() -> Peer {
    peer(Arc::new(RingProvider::new())).await
}

pub(super) fn control() -> Option<RTCDataChannelInit> {
    Some(RTCDataChannelInit {
        negotiated: Some(0),
        ..RTCDataChannelInit::default()
    })
}

/// Offer and answer; `change` is what becomes of the offer on its way.
pub(super) async fn describe(
    left: &Peer,
    right: &Peer,
    change: impl FnOnce(&mut RTCSessionDescription),
) {
    let mut offer = left.connection.create_offer(None).await.unwrap();
    left.connection
        .set_local_description(offer.clone())
        .await
        .unwrap();
    change(&mut offer);
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
}

/// Offer and answer, then candidates as they come, until both sides are connected.
pub(super) async fn connect(left: &mut Peer, right: &mut Peer) {
    describe(left, right, |_| ()).await;
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

/// Connects both, with a channel of the left one's.
pub(super) async fn joined(
    left: &mut Peer,
    right: &mut Peer,
) -> (Arc<dyn DataChannel>, Arc<dyn DataChannel>) {
    let ours = left
        .connection
        .create_data_channel("bulk", None)
        .await
        .unwrap();
    connect(left, right).await;
    opened(&ours).await;
    let theirs = within("the other side", right.channels.recv())
        .await
        .unwrap();
    (ours, theirs)
}

pub(super) async fn opened(channel: &Arc<dyn DataChannel>) {
    within("opening", async {
        while !matches!(channel.poll().await.unwrap(), DataChannelEvent::OnOpen) {}
    })
    .await;
}

pub(super) async fn message(channel: &Arc<dyn DataChannel>) -> Vec<u8> {
    within("a message", async {
        loop {
            if let DataChannelEvent::OnMessage(message) = channel.poll().await.unwrap() {
                return message.data.to_vec();
            }
        }
    })
    .await
}
