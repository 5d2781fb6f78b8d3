//! The task that owns one session.
//!
//! One `select!` over commands, the engine, the control channel, signaling and the clock; every
//! decision is made by the pure parts ([`negotiation`](super::negotiation),
//! [`candidates`](super::candidates), [`watchdog`](super::watchdog)) and performed here; `heal` is what it
//! does about a path that was lost. It ends when
//! the session is closed by either side, by a watchdog, or because its [`Session`](super::Session) was
//! dropped, and it always closes the engine and leaves the room.

mod commands;
mod descriptions;
mod goodbye;
mod heal;
mod hello;
mod messages;
mod tracks;
mod ways;

use super::candidates::Candidates;
use super::control::{self, ControlMessage};
use super::control_line::ControlLine;
use super::descriptions::Descriptions;
use super::engine::{Engine, EngineEvent, EngineState};
use super::lane::FromLane;
use super::lanes::Lanes;
use super::link::{Link, LinkEvent};
use super::negotiation::{Input, Manners, Negotiation};
use super::ports::Ports;
use super::watchdog::{Due, Wait, Watchdog};
use super::{Connectivity, Hello, IncomingChannel, Path, SessionConfig, SessionError};
use crate::channel::Message;
use crate::channel::port::Activity;
use crate::device::Known;
use crate::media::IncomingTrack;
use crate::media::track::{Board, Outlet};
use crate::net::packet::Packets;
use crate::pairing::{AbortReason, Binding, CertificateKeys};
use signaling_protocol::IceServer;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot, watch};
use webrtc::data_channel::DataChannel;
use webrtc::media_stream::track_remote::TrackRemote;

use self::descriptions::{Held, Owed};
use self::ways::Ways;

pub(crate) use self::commands::Command;

/// The peer as it introduced itself, and the way to it.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) hello: Hello,
    pub(crate) path: Option<Path>,
    pub(crate) binding: Binding,
    pub(crate) packets: watch::Receiver<Option<Packets>>,
}

/// The other ends of what the driver tells its session.
#[derive(Debug)]
pub(crate) struct Outlets {
    pub(crate) channels: mpsc::Sender<IncomingChannel>,
    pub(crate) tracks: mpsc::Sender<IncomingTrack>,
    pub(crate) connectivity: watch::Sender<Connectivity>,
    pub(crate) ended: watch::Sender<Option<Arc<SessionError>>>,
}

/// Which side sent the first offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Offerer,
    Answerer,
}

pub(crate) struct Driver {
    side: Side,
    config: SessionConfig,
    servers: Vec<IceServer>,
    engine: Engine,
    lanes: Lanes,
    board: Board,
    /// Tracks that came before the peer was verified; nobody reads them yet.
    early_tracks: Vec<Arc<dyn TrackRemote>>,
    link: Link,
    certificates: CertificateKeys,
    /// Who must be there, if it is a device that is known.
    known: Option<Known>,
    descriptions: Descriptions,
    watchdog: Watchdog,
    activity: Activity,
    control: ControlLine,
    ports: Ports,
    /// Channels to open as soon as no number rests.
    delayed: VecDeque<Command>,
    delayed_until: Option<Instant>,
    /// Lanes to open once the peer can be reached again. Bounded like `delayed`.
    parked: Vec<Command>,
    commands: mpsc::Receiver<Command>,
    outlets: Outlets,
    ready: Option<oneshot::Sender<Result<Ready, SessionError>>>,
    greeted: bool,
    state: EngineState,
    next_ping: u64,
    /// Tracks of ours wait until the peer has applied our answer.
    held: Option<Held>,
    /// A ping of the peer's waits for its answer to our offer.
    owed: Option<Owed>,
    /// When our last offer was sent.
    offered: Option<Instant>,
    /// Our last offer went over the server.
    sealed_offer: Option<Instant>,
    /// By which ways descriptions went.
    ways: Ways,
}

enum Event {
    Command(Option<Command>),
    Delayed,
    Engine(EngineEvent),
    Control(Option<Message>),
    Lane(FromLane),
    Link(LinkEvent),
    /// Tracks have waited for long enough.
    Release,
    /// The peer's ping has waited for long enough.
    Pong,
    /// Our offer has waited for long enough.
    Unanswered,
    Clock,
}

/// What a driver is made of.
pub(crate) struct Parts {
    pub(crate) side: Side,
    pub(crate) config: SessionConfig,
    /// STUN and TURN servers that may be used.
    pub(crate) servers: Vec<IceServer>,
    pub(crate) engine: Engine,
    /// The control channel, if we are the offerer, who opens it.
    pub(crate) control: Option<Arc<dyn DataChannel>>,
    pub(crate) link: Link,
    pub(crate) certificates: CertificateKeys,
    /// Who must be there, if it is a device that is known.
    pub(crate) known: Option<Known>,
    pub(crate) negotiation: Negotiation,
    /// Our first offer, if we are the offerer.
    pub(crate) offer: Option<String>,
}

impl Driver {
    pub(crate) fn new(
        parts: Parts,
        commands: mpsc::Receiver<Command>,
        outlets: Outlets,
        ready: oneshot::Sender<Result<Ready, SessionError>>,
    ) -> Result<Self, SessionError> {
        let Parts {
            side,
            config,
            servers,
            engine,
            control,
            link,
            certificates,
            known,
            negotiation,
            offer,
        } = parts;
        let candidates = Candidates::new(config.candidate_rules());
        let mut descriptions = Descriptions::new(negotiation, candidates);
        if let Some(offer) = offer {
            descriptions.described_ourselves(&offer)?;
        }
        let activity = Activity::default();
        let healing = config.healing;
        let mut driver = Self {
            side,
            servers,
            lanes: Lanes::new(side, engine.prober().clone(), engine.repair().clone()),
            board: Board::new(
                &config.codecs,
                Outlet::Frames(outlets.tracks.clone()),
                engine.estimate(),
            ),
            engine,
            early_tracks: Vec::new(),
            link,
            certificates,
            known,
            descriptions,
            config,
            watchdog: Watchdog::new(Instant::now(), healing),
            control: ControlLine::new(),
            ports: Ports::new(activity.clone()),
            activity,
            delayed: VecDeque::new(),
            delayed_until: None,
            parked: Vec::new(),
            commands,
            outlets,
            ready: Some(ready),
            greeted: false,
            state: EngineState::Checking,
            next_ping: 0,
            held: None,
            owed: None,
            offered: None,
            sealed_offer: None,
            ways: Ways::default(),
        };
        if let Some(control) = control {
            driver.control.start(control, side, &driver.activity);
        }
        Ok(driver)
    }

    /// Runs the session to its end.
    pub(crate) async fn run(mut self) {
        let end = loop {
            let event = self.next_event().await;
            if let Err(end) = self.handle(event).await {
                break self.explained(end);
            }
            self.settle_connectivity();
        };
        tracing::info!(reason = %end, "session ended");
        if let Some(bye) = end.last_words() {
            self.say_goodbye(bye).await;
        }
        self.lanes.close().await;
        self.engine.close().await;
        self.link.leave().await;
        match self.ready.take() {
            Some(ready) => drop(ready.send(Err(end))),
            None => drop(self.outlets.ended.send_replace(Some(Arc::new(end)))),
        }
    }

    /// The engine is gone when it has given a handshake up, after eight seconds without an answer: whatever is asked
    /// of it then fails. And whatever fails of the handshakes while the server misses the peer, fails because of that.
    fn explained(&self, end: SessionError) -> SessionError {
        let wait = self.watchdog.waiting_for();
        let missed = !self.is_verified() && self.watchdog.misses_peer() && self.link.is_usable();
        let end = match end {
            SessionError::Engine(error) if wait == Wait::Dtls => {
                tracing::info!(error, "the engine has given the handshake up");
                SessionError::Timeout(wait)
            }
            end => end,
        };
        match end {
            SessionError::Timeout(_) if missed => {
                tracing::info!(reason = %end, "the server misses the other side");
                SessionError::Gone
            }
            end => end,
        }
    }

    async fn next_event(&mut self) -> Event {
        let delayed = reached(self.delayed_until);
        let held = reached(self.held.as_ref().map(|held| held.until));
        let owed = reached(self.owed.as_ref().map(|owed| owed.until));
        let unanswered = reached(self.offer_limit());
        tokio::select! {
            biased;
            command = self.commands.recv() => Event::Command(command),
            () = delayed => Event::Delayed,
            event = self.engine.next_event() => Event::Engine(event),
            message = self.control.next() => Event::Control(message),
            event = self.lanes.next() => Event::Lane(event),
            event = self.link.next() => Event::Link(event),
            () = held => Event::Release,
            () = owed => Event::Pong,
            () = unanswered => Event::Unanswered,
            () = tokio::time::sleep_until(self.watchdog.deadline().into()) => Event::Clock,
        }
    }

    async fn handle(&mut self, event: Event) -> Result<(), SessionError> {
        match event {
            Event::Command(command) => self.command(command).await,
            Event::Delayed => self.open_delayed().await,
            Event::Engine(EngineEvent::Candidate(candidate)) => {
                self.send_candidate(candidate).await
            }
            Event::Engine(EngineEvent::Gathered) => Ok(()),
            Event::Engine(EngineEvent::Channel(channel)) => self.channel_opened(channel).await,
            Event::Engine(EngineEvent::Track(track)) => self.track_arrived(track).await,
            Event::Engine(EngineEvent::State(state)) => self.state_changed(state).await,
            Event::Control(Some(message)) => self.control_message(message).await,
            // The data channel ended, which nobody does to the control channel but a dead engine or
            // a peer that hung up without a word.
            Event::Control(None) => Err(SessionError::Lost),
            Event::Lane(event) => self.lane_event(event),
            Event::Link(event) => self.link_event(event).await,
            Event::Release => {
                self.release().await;
                Ok(())
            }
            Event::Pong => self.pong(),
            Event::Unanswered => self.negotiate(Input::Unanswered).await,
            Event::Clock => self.clock().await,
        }
    }

    fn is_verified(&self) -> bool {
        self.watchdog.waiting_for() == Wait::Heartbeat
    }

    async fn channel_opened(
        &mut self,
        data_channel: Arc<dyn DataChannel>,
    ) -> Result<(), SessionError> {
        if self.is_verified() {
            return self.accept_channel(data_channel).await;
        }
        if self.control.is_awaited() && data_channel.protocol().await? == control::PROTOCOL {
            self.control.start(data_channel, self.side, &self.activity);
            return Ok(());
        }
        self.ports.hold(data_channel)
    }

    async fn accept_channel(
        &mut self,
        data_channel: Arc<dyn DataChannel>,
    ) -> Result<(), SessionError> {
        let incoming = self.ports.accept(data_channel).await?;
        // overflow: the application does not accept what the peer opens; that peer goes too far.
        self.outlets
            .channels
            .try_send(incoming)
            .map_err(|_| SessionError::Protocol("it opened more channels than are accepted"))
    }

    async fn state_changed(&mut self, state: EngineState) -> Result<(), SessionError> {
        let now = Instant::now();
        self.state = state;
        match state {
            EngineState::Checking => {}
            EngineState::IceConnected => {
                tracing::info!("ICE found a path");
                self.watchdog.reached(now, Wait::Dtls);
                self.path_found(now);
            }
            EngineState::Connected => {
                self.watchdog.reached(now, Wait::Hello);
                self.path_found(now);
                self.greet().await?;
            }
            EngineState::Disconnected => self.path_lost(now)?,
            EngineState::Failed if self.is_verified() => self.path_lost(now)?,
            EngineState::Closed if self.is_verified() => return Err(SessionError::Lost),
            EngineState::Failed | EngineState::Closed => {
                return Err(SessionError::Timeout(self.watchdog.waiting_for()));
            }
        }
        Ok(())
    }

    fn lane_event(&mut self, event: FromLane) -> Result<(), SessionError> {
        self.lanes.heard(&event);
        match event {
            FromLane::Say(message) => self.control.send(&message),
            FromLane::Ping => self.ping(),
            // overflow: the application accepts no more channels; the lane ends with this one.
            FromLane::Accepted(incoming) => {
                let _ = self.outlets.channels.try_send(incoming);
                Ok(())
            }
            FromLane::Swallowed(_) | FromLane::Ended(_) => Ok(()),
        }
    }

    /// Asks for a sign of life.
    fn ping(&mut self) -> Result<(), SessionError> {
        self.next_ping += 1;
        self.control
            .send(&ControlMessage::Ping { id: self.next_ping })
    }

    async fn clock(&mut self) -> Result<(), SessionError> {
        let now = Instant::now();
        if self.activity.take() {
            self.watchdog.heard(now);
        }
        match self.watchdog.due(now) {
            Some(Due::Ping) => self.ping(),
            Some(Due::Restart) => self.restart(now).await,
            // Nobody could have said that it is back.
            Some(Due::Gone) if !self.is_verified() && !self.link.is_usable() => {
                self.watchdog.peer_present();
                Ok(())
            }
            Some(Due::Gone) => Err(SessionError::Gone),
            Some(Due::Expired(Wait::Heartbeat)) => Err(SessionError::Lost),
            // The sealed answer is all that is missing, and the server still talks to us.
            Some(Due::Expired(Wait::Description))
                if self.link.is_usable() && !self.watchdog.misses_peer() =>
            {
                self.link.abort(AbortReason::Tampered).await;
                Err(SessionError::Tampered(
                    "the server did not deliver the other side's messages",
                ))
            }
            Some(Due::Expired(wait)) => Err(SessionError::Timeout(wait)),
            None => Ok(()),
        }
    }
}

/// Waits for a moment, if there is one.
async fn reached(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
