//! The only place that builds and drives the `webrtc` crate's peer connection. It decides nothing.
//!
//! Whoever owns an [`Engine`] must [`close`](Engine::close) it: dropping a connection does not stop its driver.

mod events;
mod layered;
mod negotiation;
mod selected;
mod settings;

use self::events::Events;
use self::layered::Layered;
use self::settings::{bind_addresses, configuration, settings};
use super::candidates::relay_address;
use super::description::Part;
use super::{PathPolicy, SessionConfig, privacy};
use crate::channel::Delivery;
use crate::channel::port::Number;
use crate::media::estimate::Estimate;
use crate::media::{Kind, engine as media};
use crate::net::packet::{Packets, Prober};
use crate::net::repair::Repair;
use crate::net::turn::Servers;
use crate::net::{Clock, LineRuntime, Pacing, SetUp};
use crate::pairing::Fingerprint;
use signaling_protocol::IceServer;
use std::sync::{Arc, Mutex, OnceLock};
use tokio::sync::oneshot;
use webrtc::data_channel::{DataChannel, RTCDataChannelInit};
use webrtc::error::Error;
use webrtc::peer_connection::{PeerConnection, PeerConnectionBuilder};
use webrtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit, RtpTransceiver};
use webrtc::runtime::{Runtime, TokioRuntime};

pub(crate) use self::events::{EngineEvent, EngineState, MAX_CHANNELS};

/// Bytes that one channel may have queued and unacknowledged before the engine makes it wait. Channels
/// wait by themselves earlier (`channel/port.rs`); without a limit the engine would take everything.
const SEND_BUFFER: usize = 8 << 20;

/// Threads for the drivers of all connections. One is fastest on two cores, and what relies on sharing
/// a driver's thread needs no more than one.
const REACTORS: usize = 1;

/// One peer connection.
pub(crate) struct Engine {
    connection: Arc<dyn PeerConnection>,
    events: Events,
    set_up: SetUp,
    pacing: Pacing,
    servers: Arc<Servers>,
    prober: Prober,
    repair: Repair,
    clock: Clock,
    policy: PathPolicy,
    /// Our part in DTLS, once it is settled.
    part: OnceLock<Part>,
    /// The peer's tracks in layers that the connection knows.
    layered: Mutex<Layered>,
    /// What the path carries, if tracks are sent on it.
    estimate: Option<Estimate>,
}

impl Engine {
    /// Builds a connection and binds its sockets. Candidates are gathered once there is a local
    /// description. Bulk leaves in `packets`.
    pub(crate) async fn new(
        config: &SessionConfig,
        ice_servers: &[IceServer],
        packets: Packets,
    ) -> Result<Self, Error> {
        let (handler, events) = Events::channel();
        let runtime = LineRuntime::new(config.network.clone());
        let servers = runtime.servers();
        if config.policy == PathPolicy::RelayOnly {
            servers.relay_only();
        }
        let (set_up, pacing, prober) = (runtime.set_up(), runtime.pacing(), runtime.prober());
        let (repair, clock) = (runtime.repair(), runtime.clock());
        let mut builder = PeerConnectionBuilder::new();
        let mut estimate = None;
        if !config.codecs.is_empty() {
            let (engine, registry, path) = media::configure(&config.codecs, config.form)?;
            estimate = Some(path);
            builder = builder
                .with_media_engine(engine)
                .with_interceptor_registry(registry);
        }
        let connection = builder
            .with_configuration(configuration(config.policy, ice_servers, &servers))
            .with_setting_engine(settings(config, packets))
            .with_runtime(Arc::new(runtime))
            .with_handler(Arc::new(handler))
            .with_udp_addrs(bind_addresses(config.loopback))
            .with_dedicated_reactor_pool_size(REACTORS)
            .with_data_channel_send_buffer_limit(SEND_BUFFER)
            .build()
            .await?;
        Ok(Self {
            connection: Arc::new(connection),
            events,
            set_up,
            pacing,
            servers,
            prober,
            repair,
            clock,
            policy: config.policy,
            part: OnceLock::new(),
            layered: Mutex::default(),
            estimate,
        })
    }

    /// Finds out what datagrams the path carries.
    pub(crate) fn prober(&self) -> &Prober {
        &self.prober
    }

    /// Repairs what the path loses.
    pub(crate) fn repair(&self) -> &Repair {
        &self.repair
    }

    /// The next event. Cancelled, it has lost none.
    pub(crate) async fn next_event(&mut self) -> EngineEvent {
        let mut event = self.events.next().await;
        if let EngineEvent::Candidate(candidate) = &mut event
            && self.policy == PathPolicy::RelayOnly
        {
            candidate.candidate = privacy::without_related(&candidate.candidate);
        }
        event
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

    /// Opens the first data channel.
    pub(crate) async fn open_channel(
        &self,
        label: &str,
        protocol: &str,
        delivery: Delivery,
    ) -> Result<Arc<dyn DataChannel>, Error> {
        let opened = self.open_unless_resting((label, protocol), delivery, Vec::new());
        opened.await?.ok_or(Error::ErrDataChannelClosed)
    }

    /// Opens a data channel, unless one of the numbers must rest, which it might get.
    pub(crate) async fn open_unless_resting(
        &self,
        (label, protocol): (&str, &str),
        delivery: Delivery,
        numbers: Vec<Number>,
    ) -> Result<Option<Arc<dyn DataChannel>>, Error> {
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
        // our own channel for one of the peer's. And it frees
        // no number there after it was asked for them, but where others hold its lock in between.
        let create = async move {
            for number in numbers {
                if number.must_rest().await {
                    let _ = reply.send(Ok(None));
                    return;
                }
            }
            let created = connection.create_data_channel(&label, Some(init)).await;
            let _ = reply.send(created.map(Some));
        };
        TokioRuntime
            .spawn_reactor(REACTORS, Box::pin(create))
            .detach();
        opened.await.map_err(|_| Error::ErrDataChannelClosed)?
    }

    /// What the path carries, as its tracks are told.
    pub(crate) fn estimate(&self) -> Option<Estimate> {
        self.estimate.clone()
    }

    /// The connection itself, for its tracks.
    pub(crate) fn connection(&self) -> &Arc<dyn PeerConnection> {
        &self.connection
    }

    /// Offers to receive one more track.
    pub(crate) async fn receive(&self, kind: Kind) -> Result<Arc<dyn RtpTransceiver>, Error> {
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Recvonly,
            ..Default::default()
        };
        let kind = media::rtp_kind(kind);
        self.connection
            .add_transceiver_from_kind(kind, Some(init))
            .await
    }

    /// The certificate that DTLS really got from the peer.
    pub(crate) async fn remote_fingerprint(&self) -> Option<Fingerprint> {
        let sctp = self.connection.sctp().await?;
        let certificates = sctp.transport().get_remote_certificates().await.ok()?;
        certificates
            .first()
            .map(|der| Fingerprint::of_certificate(der))
    }

    /// The peer named a candidate. A relay takes in less at once than we can send; and a session that must not be
    /// relayed does not hear one, even if that asks first.
    pub(crate) fn heard_of(&self, candidate: &str) {
        let Some(address) = relay_address(candidate) else {
            return;
        };
        self.pacing.relay(address);
        if self.policy == PathPolicy::DirectOnly {
            self.servers.block(address);
        }
    }

    /// Stops the driver and closes the sockets. What was not acknowledged is lost.
    pub(crate) async fn close(&self) {
        if let Err(error) = self.connection.close().await {
            tracing::debug!(%error, "closing the peer connection failed");
        }
    }
}
