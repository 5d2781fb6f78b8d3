//! One lane: a connection of its own for one channel of bulk, from its offer to its end.
//!
//! Its descriptions and candidates travel over the verified control channel of the session, so the
//! fingerprints in them are as good as the session's own; after DTLS the certificate is compared with
//! them all the same. A lane fails alone: its task says so, and the session goes on.

use super::candidates::Candidates;
use super::control::ControlMessage;
use super::description::Description;
use super::engine::{Engine, EngineEvent, EngineState};
use super::ports::name_of;
use super::trial::Trial;
use super::{IncomingChannel, PathKind, SessionConfig, SessionError};
use crate::channel::port::{Activity, Port};
use crate::channel::window::Window;
use crate::channel::{Channel, Delivery, Endpoint};
use crate::net::packet::{self, Packets, ProbeKey, Watched};
use crate::net::repair::{RepairKey, Way};
use crate::pairing::Fingerprint;
use signaling_protocol::{IceCandidate, IceServer};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use webrtc::data_channel::DataChannel;

/// From the offer of a lane until it can be used. The session has a path, so this is generous: ICE, DTLS and
/// SCTP take five round trips, and each may lose a packet and wait a second for its repetition.
const SET_UP_LIMIT: Duration = Duration::from_secs(15);

/// How long a lane that is over waits for the application to take what came on it. One that reads takes
/// megabytes in that time.
const DELIVERY_LIMIT: Duration = Duration::from_secs(5);

/// What the session has for a lane.
#[derive(Debug)]
pub(super) enum ToLane {
    Answer {
        repair: bool,
        sdp: String,
    },
    Candidate(Option<IceCandidate>),
    /// The peer has closed it.
    Close,
}

/// What a lane has for the session.
#[derive(Debug)]
pub(super) enum FromLane {
    /// For the control channel.
    Say(ControlMessage),
    /// The peer's channel.
    Accepted(IncomingChannel),
    /// Datagrams of this size and above do not get through (any more), or may not be tried.
    Swallowed(u16),
    /// It wants to know whether small packets get through: a ping, on the session's own connection.
    Ping,
    /// Nothing follows from this lane.
    Ended(u32),
}

/// What every lane of a session needs.
#[derive(Debug, Clone)]
pub(super) struct Common {
    pub(super) config: SessionConfig,
    pub(super) servers: Vec<IceServer>,
    /// The peer is a browser.
    pub(super) browser: bool,
    pub(super) key: Option<ProbeKey>,
    /// The packets that a lane to a browser tries.
    pub(super) trial: watch::Receiver<Option<u16>>,
    /// Counts the peer's answers to pings.
    pub(super) pongs: watch::Receiver<u64>,
    pub(super) activity: Activity,
    pub(super) outbox: mpsc::Sender<FromLane>,
}

/// A lane, and its connection.
pub(super) struct Lane {
    id: u32,
    packets: Packets,
    common: Common,
    inbox: mpsc::Receiver<ToLane>,
    engine: Engine,
    candidates: Candidates,
    announced: Option<Fingerprint>,
    up: bool,
}

enum Step {
    Nothing,
    /// The peer has closed the lane, or its connection.
    Closed,
    /// DTLS is done, with the announced certificate.
    Up,
    Channel(Arc<dyn DataChannel>),
}

/// Opens a lane with a channel on it. `reply` gets the channel once it can be used.
pub(super) async fn open(
    id: u32,
    packets: Packets,
    common: Common,
    inbox: mpsc::Receiver<ToLane>,
    (label, protocol): (String, String),
    reply: oneshot::Sender<Result<Channel, SessionError>>,
) {
    let outbox = common.outbox.clone();
    match Lane::new(id, packets, common, inbox).await {
        Err(error) => drop(reply.send(Err(error))),
        Ok(mut lane) => {
            let ready = timeout(SET_UP_LIMIT, lane.offer(&label, &protocol)).await;
            match ready.unwrap_or(Err(SessionError::Lost)) {
                Err(error) => drop(reply.send(Err(error))),
                Ok((channel, port)) => {
                    tracing::info!(lane = id, ?packets, "a lane is up");
                    let _ = reply.send(Ok(channel));
                    let end = lane.carry(port, true).await;
                    tracing::info!(lane = id, ?end, "a lane ended");
                }
            }
            lane.end().await;
        }
    }
    let _ = outbox.send(FromLane::Ended(id)).await;
}

/// Answers the offer of a lane, and hands its channel over.
pub(super) async fn answer(
    id: u32,
    packets: Packets,
    common: Common,
    inbox: mpsc::Receiver<ToLane>,
    offer: String,
) {
    let outbox = common.outbox.clone();
    // What we send on it are acknowledgements: a larger packet is the opener's affair.
    match Lane::new(id, packets, common, inbox).await {
        Err(error) => tracing::debug!(%error, lane = id, "a lane could not be made"),
        Ok(mut lane) => {
            let accepted = timeout(SET_UP_LIMIT, lane.accept(&offer)).await;
            match accepted.unwrap_or(Err(SessionError::Lost)) {
                Err(error) => tracing::debug!(%error, lane = id, "a lane did not come up"),
                Ok(port) => {
                    tracing::info!(lane = id, ?packets, "a lane is up");
                    let end = lane.carry(port, false).await;
                    tracing::info!(lane = id, ?end, "a lane ended");
                }
            }
            lane.end().await;
        }
    }
    let _ = outbox.send(FromLane::Ended(id)).await;
}

impl Lane {
    async fn new(
        id: u32,
        packets: Packets,
        common: Common,
        inbox: mpsc::Receiver<ToLane>,
    ) -> Result<Self, SessionError> {
        let engine = Engine::new(&common.config, &common.servers, packets).await?;
        if common.browser {
            engine.peer_is_browser();
        }
        if let Some(key) = &common.key {
            engine.prober().start(key.clone());
        }
        Ok(Self {
            id,
            packets,
            candidates: Candidates::new(common.config.candidate_rules()),
            common,
            inbox,
            engine,
            announced: None,
            up: false,
        })
    }

    /// The key for repairs, if there may be any.
    fn repair_key(&self) -> Option<RepairKey> {
        let key = self.common.key.as_ref().filter(|_| self.packets.repaired)?;
        Some(key.repair(Way::Lane(self.id)))
    }

    async fn offer(
        &mut self,
        label: &str,
        protocol: &str,
    ) -> Result<(Channel, Port), SessionError> {
        let data_channel = self
            .engine
            .open_channel(label, protocol, Delivery::Reliable)
            .await?;
        let sdp = self.engine.make_offer(false).await?;
        self.say(ControlMessage::LaneOffer {
            lane: self.id,
            packet: self.packets.size,
            repair: self.packets.repaired,
            sdp,
        })
        .await?;
        while !matches!(self.step_up().await?, Step::Up) {}
        self.prove().await?;
        let (channel, endpoint) = Channel::with_endpoint(label);
        let port = self.port(data_channel, endpoint).await;
        loop {
            tokio::select! {
                open = port.is_open() => match open {
                    true => break,
                    false => return Err(SessionError::Lost),
                },
                step = self.step_up() => drop(step?),
            }
        }
        self.engine.set_up_finished();
        Ok((channel.in_packets_of(self.packets.size), port))
    }

    async fn is_direct(&self) -> bool {
        let path = self.engine.path().await;
        path.is_some_and(|path| path.kind == PathKind::Direct)
    }

    async fn port(&self, data_channel: Arc<dyn DataChannel>, endpoint: Endpoint) -> Port {
        let window = Window::towards(self.common.browser && self.is_direct().await);
        Port::accepted(data_channel, endpoint, &self.common.activity, window)
    }

    /// The lane may go another way than the connection on which its packet size was found.
    async fn prove(&mut self) -> Result<(), SessionError> {
        if self.packets.size <= packet::BASE {
            return Ok(());
        }
        if self.common.browser {
            // It answers no probes: what it acknowledges will be the proof, on a direct path only.
            // Another lane may have found meanwhile that they do not get through.
            let is_good = *self.common.trial.borrow() >= Some(self.packets.size);
            let is_direct = self.is_direct().await;
            if is_good && is_direct {
                return Ok(());
            }
            if !is_direct {
                self.tell(FromLane::Swallowed(packet::BASE + 1)).await;
            }
            return Err(SessionError::Lost);
        }
        let prober = self.engine.prober().clone();
        let proof = prober.prove(self.packets.size);
        tokio::pin!(proof);
        loop {
            tokio::select! {
                watched = &mut proof => return match watched {
                    Watched::Carried => Ok(()),
                    Watched::Swallowed => {
                        self.tell(FromLane::Swallowed(self.packets.size)).await;
                        Err(SessionError::Lost)
                    }
                },
                step = self.step_up() => drop(step?),
            }
        }
    }

    async fn accept(&mut self, offer: &str) -> Result<Port, SessionError> {
        self.describe(offer, true).await?;
        let sdp = self.engine.make_answer().await?;
        if let Some(key) = self.repair_key() {
            self.engine.repair().receive(key);
        }
        self.say(ControlMessage::LaneAnswer {
            lane: self.id,
            repair: self.packets.repaired,
            sdp,
        })
        .await?;
        let mut opened = None;
        let data_channel = loop {
            if let Step::Channel(data_channel) = self.step_up().await? {
                opened = Some(data_channel);
            }
            if let Some(data_channel) = opened.take_if(|_| self.up) {
                break data_channel;
            }
        };
        self.engine.set_up_finished();
        let (label, protocol) = name_of(&data_channel).await?;
        let (channel, endpoint) = Channel::with_endpoint(&label);
        let channel = channel.in_packets_of(self.packets.size);
        let port = self.port(data_channel, endpoint).await;
        self.tell(FromLane::Accepted(IncomingChannel { channel, protocol }))
            .await;
        Ok(port)
    }

    /// Until the channel or the connection ends. Whoever `sends` large packets watches whether they get
    /// through.
    async fn carry(&mut self, port: Port, sends: bool) -> Result<(), SessionError> {
        let (packet, browser) = (self.packets.size, self.common.browser);
        let watched = sends && packet > packet::BASE;
        let prober = self.engine.prober().clone();
        let (pongs, outbox) = (self.common.pongs.clone(), self.common.outbox.clone());
        let mut trial = Trial::new(port.progress(), pongs, outbox);
        let stuck = match (watched, browser) {
            (false, _) => self.run(port, std::future::pending()).await,
            (true, false) => self.run(port, prober.fails(packet)).await,
            (true, true) => self.run(port, trial.stuck()).await,
        };
        let swallowed = match browser {
            true => trial.failed().await,
            false => matches!(stuck, Ok(true)),
        };
        if watched && swallowed {
            self.tell(FromLane::Swallowed(packet)).await;
        }
        match stuck? {
            true => Err(SessionError::Lost),
            false => Ok(()),
        }
    }

    /// Until the channel or the connection ends, or it is `stuck`. Whether it is.
    async fn run(
        &mut self,
        mut port: Port,
        stuck: impl Future<Output = ()>,
    ) -> Result<bool, SessionError> {
        let ended = port.ended();
        tokio::pin!(stuck, ended);
        loop {
            tokio::select! {
                step = self.step() => match step? {
                    Step::Nothing | Step::Up => {}
                    Step::Channel(_) => return Err(SessionError::Protocol("two channels on a lane")),
                    Step::Closed => break,
                },
                () = &mut ended => return Ok(false),
                () = &mut stuck => return Ok(true),
            }
        }
        // The word of the end went another way than what the lane brought, and may have overtaken it.
        tokio::select! {
            _ = timeout(DELIVERY_LIMIT, ended) => Ok(false),
            () = stuck => Ok(true),
        }
    }

    /// As [`step`](Self::step) until the lane is up: it has nothing to give away yet.
    async fn step_up(&mut self) -> Result<Step, SessionError> {
        match self.step().await? {
            Step::Closed => Err(SessionError::Closed),
            step => Ok(step),
        }
    }

    /// Handles one event. Cancelled, it may have lost what it was about to say, nothing that it read.
    async fn step(&mut self) -> Result<Step, SessionError> {
        tokio::select! {
            event = self.engine.next_event() => match event {
                EngineEvent::Candidate(candidate) => {
                    let (lane, candidate) = (self.id, Some(candidate));
                    self.say(ControlMessage::LaneCandidate { lane, candidate }).await?;
                }
                EngineEvent::Channel(data_channel) => return Ok(Step::Channel(data_channel)),
                // It has no codecs, so nothing can be sent on it.
                EngineEvent::Track(_) => return Err(SessionError::Protocol("a track on a lane")),
                EngineEvent::State(EngineState::Connected) if !self.up => {
                    let used = self.engine.remote_fingerprint().await;
                    if used.is_none() || used != self.announced {
                        return Err(SessionError::Tampered("the certificate of a lane is not the announced one"));
                    }
                    self.up = true;
                    return Ok(Step::Up);
                }
                // A lane is replaced more quickly than it is repaired.
                EngineEvent::State(EngineState::Disconnected | EngineState::Failed) => {
                    return Err(SessionError::Lost);
                }
                EngineEvent::State(EngineState::Closed) => return Ok(Step::Closed),
                EngineEvent::Gathered | EngineEvent::State(_) => {}
            },
            message = self.inbox.recv() => match message {
                Some(ToLane::Answer { repair, sdp }) if self.announced.is_none() => {
                    if let Some(key) = self.repair_key().filter(|_| repair) {
                        self.engine.repair().send(key);
                    }
                    self.describe(&sdp, false).await?;
                }
                Some(ToLane::Answer { .. }) => return Err(SessionError::Protocol("it answered a lane twice")),
                Some(ToLane::Candidate(Some(candidate))) => self.trickled(candidate).await,
                Some(ToLane::Candidate(None)) => {}
                Some(ToLane::Close) => return Ok(Step::Closed),
                None => return Err(SessionError::Closed),
            },
        }
        Ok(Step::Nothing)
    }

    async fn describe(&mut self, sdp: &str, is_offer: bool) -> Result<(), SessionError> {
        let description = Description::parse(sdp)?;
        self.announced = Some(description.fingerprint);
        match is_offer {
            true => self.engine.apply_offer(description.sdp).await?,
            false => self.engine.apply_answer(description.sdp).await?,
        }
        for candidate in &description.candidates {
            self.engine.heard_of(candidate);
        }
        for candidate in self
            .candidates
            .described(&description.ufrag, description.candidates)
        {
            self.add_candidate(candidate).await;
        }
        Ok(())
    }

    async fn trickled(&mut self, candidate: IceCandidate) {
        self.engine.heard_of(&candidate.candidate);
        match self.candidates.trickled(candidate) {
            Ok(Some(candidate)) => self.add_candidate(candidate).await,
            Ok(None) => {}
            Err(reason) => tracing::debug!(%reason, "dropped a remote candidate of a lane"),
        }
    }

    async fn add_candidate(&self, candidate: IceCandidate) {
        if let Err(error) = self.engine.add_candidate(candidate).await {
            tracing::debug!(%error, "the engine refused a remote candidate of a lane");
        }
    }

    async fn say(&self, message: ControlMessage) -> Result<(), SessionError> {
        let said = self.common.outbox.send(FromLane::Say(message)).await;
        said.map_err(|_| SessionError::Closed)
    }

    async fn tell(&self, news: FromLane) {
        // A session that has ended wants to know nothing.
        let _ = self.common.outbox.send(news).await;
    }

    async fn end(self) {
        let _ = self.say(ControlMessage::LaneClose { lane: self.id }).await;
        self.engine.close().await;
    }
}
