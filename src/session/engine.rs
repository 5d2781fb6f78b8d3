//! The only file that builds and drives the `webrtc` crate's peer connection.
//!
//! It decides nothing. Its handler runs on the engine's driver task, which must never wait, so each
//! event is put into a queue or a watched value and the handler returns. Whoever owns an [`Engine`]
//! must [`close`](Engine::close) it: dropping a connection does not stop its driver.

use super::candidates::relay_address;
use super::path::{Path, PathKind, RelayTransport};
use super::{PathPolicy, SessionConfig, privacy};
use crate::channel::Delivery;
use crate::media::{Kind, engine as media};
use crate::net::packet::{self, Prober};
use crate::net::turn::{Servers, Transport};
use crate::net::{Clock, LineRuntime, NonceCountingProvider, Pacing, SetUp};
use crate::pairing::Fingerprint;
use rtc::peer_connection::configuration::RTCOfferOptions;
use signaling_protocol::{IceCandidate, IceServer};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use webrtc::data_channel::{DataChannel, RTCDataChannelInit};
use webrtc::error::Error;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    CipherSuiteId, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
    RTCConfigurationBuilder, RTCIceCandidateInit, RTCIceCandidateType, RTCIceConnectionState,
    RTCIceServer, RTCIceTransportPolicy, RTCPeerConnectionIceEvent, RTCPeerConnectionState,
    RTCSessionDescription, RTCStatsReportEntry, SettingEngineBuilder, StatsSelector,
};
use webrtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use webrtc::runtime::{Runtime, TokioRuntime};

/// SCTP's receive window. 1.5 MiB is 120 Mbit/s at 100 ms, and lanes multiply that; 8 MiB measured half as fast on
/// loopback, and 2 MiB took the sender's memory from 55 to 73 MiB at times.
const RECEIVE_WINDOW: u32 = 1536 << 10;

/// Bytes that one channel may have queued and unacknowledged before the engine makes it wait. Channels
/// wait by themselves earlier (`channel/port.rs`); without a limit the engine would take everything.
const SEND_BUFFER: usize = 8 << 20;

/// Connectivity checks: an interval short enough not to be felt, and attempts that span 5 s of loss.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
const CHECK_ATTEMPTS: u16 = 100;

/// Local candidates that wait for the session; it takes them at once, and a machine has about 30.
const CANDIDATE_QUEUE: usize = 256;

/// Tracks that the peer began to send and that wait for the session; it takes them at once.
const TRACK_QUEUE: usize = 64;

/// Threads for the drivers of all connections. One is fastest on two cores, and what relies on sharing
/// a driver's thread needs no more than one.
const REACTORS: usize = 1;

/// Data channels the peer may have open at a time. Beyond that it is abusing us.
pub(crate) const MAX_CHANNELS: usize = 64;

/// One peer connection.
pub(crate) struct Engine {
    connection: Arc<dyn PeerConnection>,
    events: Events,
    set_up: SetUp,
    pacing: Pacing,
    servers: Arc<Servers>,
    prober: Prober,
    clock: Clock,
    policy: PathPolicy,
}

/// What the engine tells.
pub(crate) enum EngineEvent {
    /// A local candidate was found.
    Candidate(IceCandidate),
    /// The peer opened a data channel.
    Channel(Arc<dyn DataChannel>),
    /// The peer began to send a track.
    Track(Arc<dyn TrackRemote>),
    /// ICE or the whole connection changed state.
    State(EngineState),
}

/// How far the connection is, in the order of a connection's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EngineState {
    /// Looking for a pair of candidates.
    Checking,
    /// A pair works; DTLS is next.
    IceConnected,
    /// DTLS is done.
    Connected,
    /// The pair stopped working.
    Disconnected,
    /// ICE gave up; a restart helps.
    Failed,
    /// The connection is over, and with it everything on it.
    Closed,
}

struct Events {
    candidates: mpsc::Receiver<IceCandidate>,
    channels: mpsc::Receiver<Arc<dyn DataChannel>>,
    tracks: mpsc::Receiver<Arc<dyn TrackRemote>>,
    state: watch::Receiver<EngineState>,
}

struct Handler {
    candidates: mpsc::Sender<IceCandidate>,
    channels: mpsc::Sender<Arc<dyn DataChannel>>,
    tracks: mpsc::Sender<Arc<dyn TrackRemote>>,
    state: watch::Sender<EngineState>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        let Ok(init) = event.candidate.to_json() else {
            return;
        };
        let candidate = IceCandidate {
            candidate: init.candidate,
            sdp_mid: Some("0".into()),
            sdp_m_line_index: Some(0),
            username_fragment: None,
        };
        // overflow: dropped; the peer has more than enough addresses by then.
        let _ = self.candidates.try_send(candidate);
    }

    async fn on_data_channel(&self, data_channel: Arc<dyn DataChannel>) {
        // overflow: dropped, and the session ends a peer that opens so many at once.
        if self.channels.try_send(data_channel).is_err() {
            self.state.send_replace(EngineState::Closed);
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        // overflow: dropped; nobody follows a call of so many.
        let _ = self.tracks.try_send(track);
    }

    async fn on_ice_connection_state_change(&self, state: RTCIceConnectionState) {
        if state == RTCIceConnectionState::Connected {
            // The connection's own state follows once DTLS is done, and may already have.
            self.state.send_if_modified(|known| {
                let news = matches!(known, EngineState::Checking);
                if news {
                    *known = EngineState::IceConnected;
                }
                news
            });
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let state = match state {
            RTCPeerConnectionState::Connected => EngineState::Connected,
            RTCPeerConnectionState::Disconnected => EngineState::Disconnected,
            RTCPeerConnectionState::Failed => EngineState::Failed,
            RTCPeerConnectionState::Closed => EngineState::Closed,
            _ => return,
        };
        self.state.send_replace(state);
    }
}

impl Engine {
    /// Builds a connection and binds its sockets. Candidates are gathered once there is a local
    /// description. Bulk leaves in datagrams of up to `packet` bytes.
    pub(crate) async fn new(
        config: &SessionConfig,
        ice_servers: &[IceServer],
        packet: u16,
    ) -> Result<Self, Error> {
        let (candidates_tx, candidates) = mpsc::channel(CANDIDATE_QUEUE);
        let (channels_tx, channels) = mpsc::channel(MAX_CHANNELS);
        let (tracks_tx, tracks) = mpsc::channel(TRACK_QUEUE);
        let (state_tx, state) = watch::channel(EngineState::Checking);
        let no_wait = Some(Duration::ZERO);
        let settings = SettingEngineBuilder::new()
            .with_crypto_provider(Arc::new(NonceCountingProvider::new()))
            // Our certificates are ECDSA: a peer that picked an RSA suite would stall.
            .with_dtls_cipher_suites(vec![
                CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
                CipherSuiteId::Tls_Ecdhe_Ecdsa_With_ChaCha20_Poly1305_Sha256,
            ])
            .with_multicast_dns_mode(rtc::ice::mdns::MulticastDnsMode::Disabled)
            .with_host_acceptance_min_wait(no_wait)
            .with_srflx_acceptance_min_wait(no_wait)
            // Against a browser that hides its addresses every pair is peer-reflexive.
            .with_prflx_acceptance_min_wait(no_wait)
            // A direct path deserves a head start over a relayed one, if there may be any.
            .with_relay_acceptance_min_wait(match config.policy {
                PathPolicy::RelayOnly => no_wait,
                _ => Some(Duration::from_millis(500)),
            })
            .with_ice_timeouts(
                Some(config.healing.path_lost),
                Some(config.healing.path_failed),
                Some(config.healing.keepalive),
            )
            .with_ice_connection_attempts(Some(CHECK_INTERVAL), Some(CHECK_ATTEMPTS))
            .with_discard_local_candidates_during_ice_restart(true)
            .with_include_loopback_candidate(config.loopback)
            .with_sctp_max_receive_buffer_size(RECEIVE_WINDOW)
            .with_sctp_mtu(packet::sctp_packet(packet))
            .build();
        let runtime = LineRuntime::new(config.network.clone());
        let servers = runtime.servers();
        if config.policy == PathPolicy::RelayOnly {
            servers.relay_only();
        }
        let engine_servers = ice_servers
            .iter()
            .filter_map(|server| engine_server(server, &servers));
        let configuration = RTCConfigurationBuilder::new()
            .with_ice_servers(engine_servers.collect())
            .with_ice_transport_policy(match config.policy {
                PathPolicy::RelayOnly => RTCIceTransportPolicy::Relay,
                _ => RTCIceTransportPolicy::All,
            })
            .build();
        let (set_up, pacing, prober) = (runtime.set_up(), runtime.pacing(), runtime.prober());
        let clock = runtime.clock();
        let mut builder = PeerConnectionBuilder::new();
        if !config.codecs.is_empty() {
            let (engine, registry) = media::configure(&config.codecs)?;
            builder = builder
                .with_media_engine(engine)
                .with_interceptor_registry(registry);
        }
        let connection = builder
            .with_configuration(configuration)
            .with_setting_engine(settings)
            .with_runtime(Arc::new(runtime))
            .with_handler(Arc::new(Handler {
                candidates: candidates_tx,
                channels: channels_tx,
                tracks: tracks_tx,
                state: state_tx,
            }))
            .with_udp_addrs(bind_addresses(config.loopback))
            .with_dedicated_reactor_pool_size(REACTORS)
            .with_data_channel_send_buffer_limit(SEND_BUFFER)
            .build()
            .await?;
        Ok(Self {
            connection: Arc::new(connection),
            events: Events {
                candidates,
                channels,
                tracks,
                state,
            },
            set_up,
            pacing,
            servers,
            prober,
            clock,
            policy: config.policy,
        })
    }

    /// What the peer is told of us in a description.
    fn told(&self, sdp: &str) -> String {
        match self.policy {
            PathPolicy::RelayOnly => privacy::description(sdp),
            _ => sdp.to_owned(),
        }
    }

    /// Finds out what datagrams the path carries.
    pub(crate) fn prober(&self) -> &Prober {
        &self.prober
    }

    /// The next event. Cancelled, it has lost none.
    pub(crate) async fn next_event(&mut self) -> EngineEvent {
        let Events {
            candidates,
            channels,
            tracks,
            state,
        } = &mut self.events;
        tokio::select! {
            biased;
            Ok(()) = state.changed() => EngineEvent::State(*state.borrow_and_update()),
            Some(mut candidate) = candidates.recv() => {
                if self.policy == PathPolicy::RelayOnly {
                    candidate.candidate = privacy::without_related(&candidate.candidate);
                }
                EngineEvent::Candidate(candidate)
            }
            Some(channel) = channels.recv() => EngineEvent::Channel(channel),
            Some(track) = tracks.recv() => EngineEvent::Track(track),
            // The handler is gone, and with it the driver.
            else => EngineEvent::State(EngineState::Closed),
        }
    }

    /// The connection is in use: the engine may rest between packets.
    pub(crate) fn set_up_finished(&self) {
        self.set_up.finish();
    }

    /// The path is lost: what is repeated in vain is repeated less often.
    pub(crate) fn slow_down(&self) {
        self.clock.dawdle();
    }

    /// A path that was lost is back: what waits for its repetition leaves soon.
    pub(crate) fn catch_up(&self) {
        self.clock.catch_up();
    }

    /// The peer is a browser, which takes in less at once than we can send.
    pub(crate) fn peer_is_browser(&self) {
        self.pacing.start();
    }

    /// Opens a data channel.
    pub(crate) async fn open_channel(
        &self,
        label: &str,
        protocol: &str,
        delivery: Delivery,
    ) -> Result<Arc<dyn DataChannel>, Error> {
        let init = RTCDataChannelInit {
            ordered: delivery == Delivery::Reliable,
            max_retransmits: (delivery == Delivery::Datagram).then_some(0),
            protocol: protocol.into(),
            ..RTCDataChannelInit::default()
        };
        let (connection, label) = (self.connection.clone(), label.to_owned());
        let (reply, opened) = oneshot::channel();
        // On the driver's own thread: between making the channel and listening to its events the
        // engine lets go of its lock, and a driver that sees the peer's answer in that moment takes
        // our own channel for one of the peer's.
        let create = async move {
            let _ = reply.send(connection.create_data_channel(&label, Some(init)).await);
        };
        TokioRuntime
            .spawn_reactor(REACTORS, Box::pin(create))
            .detach();
        opened.await.map_err(|_| Error::ErrDataChannelClosed)?
    }

    /// The connection itself, for its tracks.
    pub(crate) fn connection(&self) -> &Arc<dyn PeerConnection> {
        &self.connection
    }

    /// Offers to receive one more track.
    pub(crate) async fn receive(&self, kind: Kind) -> Result<(), Error> {
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Recvonly,
            ..Default::default()
        };
        let kind = media::rtp_kind(kind);
        let added = self.connection.add_transceiver_from_kind(kind, Some(init));
        added.await.map(drop)
    }

    /// Creates an offer and applies it.
    pub(crate) async fn make_offer(&self, restart: bool) -> Result<String, Error> {
        self.clock.check();
        // Always ready to receive. Otherwise a peer that wants to send could not in its answer, and need not offer
        // (RFC 9429 section 5.3.1); and an engine that is offered `inactive` stops the section for good.
        for transceiver in self.connection.get_transceivers().await {
            let willing = match transceiver.direction().await? {
                RTCRtpTransceiverDirection::Sendonly => RTCRtpTransceiverDirection::Sendrecv,
                RTCRtpTransceiverDirection::Inactive => RTCRtpTransceiverDirection::Recvonly,
                _ => continue,
            };
            transceiver.set_direction(willing).await?;
        }
        let options = restart.then_some(RTCOfferOptions { ice_restart: true });
        let offer = self.connection.create_offer(options).await?;
        let sdp = self.told(&offer.sdp);
        self.connection.set_local_description(offer).await?;
        Ok(sdp)
    }

    /// Rolls our offer back.
    pub(crate) async fn rollback(&self) -> Result<(), Error> {
        self.connection
            .set_local_description(RTCSessionDescription::rollback(None)?)
            .await
    }

    /// Applies the peer's offer.
    pub(crate) async fn apply_offer(&self, sdp: String) -> Result<(), Error> {
        self.clock.check();
        let idle = super::description::idle_sections(&sdp);
        self.connection
            .set_remote_description(RTCSessionDescription::offer(sdp)?)
            .await?;
        if idle.is_empty() {
            return Ok(());
        }
        // The second time that a section is `inactive` the engine would answer `recvonly`, which browsers
        // refuse.
        for transceiver in self.connection.get_transceivers().await {
            let mid = transceiver.mid().await?;
            if mid.is_some_and(|mid| idle.contains(&mid)) {
                transceiver
                    .set_direction(RTCRtpTransceiverDirection::Inactive)
                    .await?;
            }
        }
        Ok(())
    }

    /// Creates an answer and applies it.
    pub(crate) async fn make_answer(&self) -> Result<String, Error> {
        let answer = self.connection.create_answer(None).await?;
        let sdp = self.told(&answer.sdp);
        self.connection.set_local_description(answer).await?;
        Ok(sdp)
    }

    /// Applies the peer's answer.
    pub(crate) async fn apply_answer(&self, sdp: String) -> Result<(), Error> {
        self.clock.check();
        self.connection
            .set_remote_description(RTCSessionDescription::answer(sdp)?)
            .await
    }

    /// Adds a remote candidate of the current generation.
    pub(crate) async fn add_candidate(&self, candidate: IceCandidate) -> Result<(), Error> {
        let init = RTCIceCandidateInit {
            candidate: candidate.candidate,
            sdp_mid: candidate.sdp_mid,
            sdp_mline_index: candidate.sdp_m_line_index,
            username_fragment: candidate.username_fragment,
            url: None,
        };
        self.connection.add_ice_candidate(init).await
    }

    /// The certificate that DTLS really got from the peer.
    pub(crate) async fn remote_fingerprint(&self) -> Option<Fingerprint> {
        let sctp = self.connection.sctp().await?;
        let certificates = sctp.transport().get_remote_certificates().await.ok()?;
        certificates
            .first()
            .map(|der| Fingerprint::of_certificate(der))
    }

    /// The peer named a candidate. A session that must not be relayed does not hear a relay, even if that asks
    /// first.
    pub(crate) fn heard_of(&self, candidate: &str) {
        if self.policy == PathPolicy::DirectOnly
            && let Some(address) = relay_address(candidate)
        {
            self.servers.block(address);
        }
    }

    /// The path in use, once ICE has one.
    pub(crate) async fn path(&self) -> Option<Path> {
        let report = self
            .connection
            .get_stats(Instant::now(), StatsSelector::None)
            .await;
        let entries = || report.iter();
        let selected = entries().find_map(|entry| match entry {
            RTCStatsReportEntry::Transport(transport) => {
                Some(&transport.selected_candidate_pair_id)
            }
            _ => None,
        })?;
        let pair = entries().find_map(|entry| match entry {
            RTCStatsReportEntry::IceCandidatePair(pair) if pair.stats.id == *selected => Some(pair),
            _ => None,
        })?;
        let candidate = |id: &str| {
            entries().find_map(|entry| match entry {
                RTCStatsReportEntry::LocalCandidate(candidate)
                | RTCStatsReportEntry::RemoteCandidate(candidate)
                    // The pair names `candidate:x`, the entry is `RTCLocalIceCandidate_candidate:x`.
                    if candidate.stats.id.ends_with(id) =>
                {
                    let address = candidate.address.as_deref().unwrap_or("?");
                    Some((
                        candidate.candidate_type,
                        super::path::endpoint(address, candidate.port),
                        candidate.url.clone(),
                    ))
                }
                _ => None,
            })
        };
        // Peer-reflexive candidates, which ICE learned from a check, have no entry.
        let unlisted = || {
            (
                RTCIceCandidateType::Prflx,
                "a learned address".to_owned(),
                String::new(),
            )
        };
        let (local_type, local, url) = candidate(&pair.local_candidate_id).unwrap_or_else(unlisted);
        let (remote_type, remote, _) =
            candidate(&pair.remote_candidate_id).unwrap_or_else(unlisted);
        let relayed = [local_type, remote_type].contains(&RTCIceCandidateType::Relay);
        Some(Path {
            kind: if relayed {
                PathKind::Relayed
            } else {
                PathKind::Direct
            },
            round_trip: Duration::try_from_secs_f64(pair.current_round_trip_time)
                .unwrap_or_default(),
            local,
            remote,
            relay: (local_type == RTCIceCandidateType::Relay).then(|| {
                match self.servers.transport(&url) {
                    Transport::Udp => RelayTransport::Udp,
                    Transport::Tcp => RelayTransport::Tcp,
                    Transport::Tls => RelayTransport::Tls,
                }
            }),
        })
    }

    /// Stops the driver and closes the sockets. What was not acknowledged is lost.
    pub(crate) async fn close(&self) {
        if let Err(error) = self.connection.close().await {
            tracing::debug!(%error, "closing the peer connection failed");
        }
    }
}

/// A server as the engine takes it, without the URLs that it would refuse everything for; `None` if
/// nothing is left.
fn engine_server(server: &IceServer, servers: &Servers) -> Option<RTCIceServer> {
    let anonymous = server.username.is_none() || server.credential.is_none();
    let url = |url: &String| match url.split_once(':') {
        Some(("stun", _)) => Some(url.clone()),
        _ if anonymous => None,
        _ => servers.register(url),
    };
    let urls: Vec<_> = server.urls.iter().filter_map(url).collect();
    if urls.len() < server.urls.len() {
        tracing::warn!(urls = ?server.urls, "not all of these servers can be used");
    }
    (!urls.is_empty()).then(|| RTCIceServer {
        urls,
        username: server.username.clone().unwrap_or_default(),
        credential: server
            .credential
            .as_ref()
            .map(|secret| secret.expose().to_owned())
            .unwrap_or_default(),
    })
}

/// Wildcards, which the engine expands to every interface at each ICE restart, so that a machine that
/// moved is reachable again; and loopback, which it leaves out, if the peer may be on this machine.
fn bind_addresses(loopback: bool) -> Vec<String> {
    let mut addresses = vec!["0.0.0.0:0".to_owned()];
    if std::net::UdpSocket::bind("[::]:0").is_ok() {
        addresses.push("[::]:0".into());
    }
    if loopback {
        addresses.push("127.0.0.1:0".into());
    }
    addresses
}
