//! A call in an open room, without a code: with a page of anybody's that speaks the few messages of every
//! WebRTC tutorial (protocol 1.4), or with another program like this one.
//!
//! Nothing is sealed here: the server is trusted, and says who the other side is. There is no control channel
//! either, so every negotiation goes through the server, which must stay. One task owns it all; it ends when
//! either side hangs up, leaves the room or cannot be reached any more.
//!
//! Whoever joined later offers (protocol 3.1), but never to a plain peer: such a page calls by itself. If there is a
//! [forwarder](is_forwarder) in the room, it is the only one who is called.

use super::candidates::Candidates;
use super::descriptions::{Descriptions, Negotiated, Outgoing};
use super::driver::Command;
use super::engine::{Engine, EngineEvent, EngineState};
use super::negotiation::{Input, Manners, Negotiation};
use super::{IncomingTracks, Path, SessionConfig, SessionError, Tracks};
use crate::media::track::{Board, Form, IncomingPackets, MAX_TRACKS, Outlet};
use crate::media::{Codec, IncomingTrack, Kind, OutgoingTrack};
use crate::net::packet::Packets;
use crate::pairing::Phrase;
use crate::signaling::{SendError, Signaling, SignalingError};
use signaling_protocol::{ClientMessage, IceCandidate, Joined, PeerId, PeerInfo, ServerMessage};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot, watch};

/// Candidates of a peer that come before its description. More of them is a flood.
const EARLY: usize = 64;

/// What a member of an open room calls itself that forwards everybody's tracks to everybody else.
pub const FORWARDER: &str = "peerline-forwarder";

/// Whether a member says that it forwards.
pub fn is_forwarder(peer: &PeerInfo) -> bool {
    let name = peer.name.as_ref().map(|name| name.as_str());
    name == Some(FORWARDER) && !peer.plain
}

/// A call that is connected. Dropping it hangs up.
#[derive(Debug)]
pub struct PlainSession {
    commands: mpsc::Sender<Command>,
    tracks: mpsc::Receiver<IncomingTrack>,
    packets: mpsc::Receiver<IncomingPackets>,
    forwarding: watch::Receiver<Forwarding>,
    phrase: Phrase,
    ended: watch::Receiver<Option<Arc<SessionError>>>,
}

/// What there is of forwarders in the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forwarding {
    /// None.
    No,
    /// One that is not the other side of this call.
    Elsewhere,
    /// The other side of this call is one.
    Here,
}

impl PlainSession {
    /// Waits in a room until somebody calls or answers, and connects. `sent` are the tracks that are sent from
    /// the beginning.
    ///
    /// # Errors
    /// Anything of [`SessionError`]; the room has then been left.
    pub async fn meet(
        signaling: Signaling,
        joined: &Joined,
        config: SessionConfig,
        sent: &[Codec],
    ) -> Result<(Self, Vec<OutgoingTrack>), SessionError> {
        config.check_relay(&joined.ice_servers)?;
        let servers = config.usable_ice_servers(&joined.ice_servers);
        let (commands, queue) = mpsc::channel(super::connect::COMMAND_QUEUE);
        let (tracks_tx, tracks) = mpsc::channel(MAX_TRACKS);
        let (packets_tx, packets) = mpsc::channel(MAX_TRACKS);
        let outlet = match config.form {
            Form::Frames => Outlet::Frames(tracks_tx),
            Form::Packets => Outlet::Packets(packets_tx),
        };
        let forwarders = joined.peers.iter().filter(|peer| is_forwarder(peer));
        let forwarders: Vec<_> = forwarders.map(|peer| peer.id.clone()).collect();
        let (forwarding_tx, forwarding) = watch::channel(Forwarding::No);
        let (ended_tx, ended) = watch::channel(None);
        let (ready, connected) = oneshot::channel();
        let engine = Engine::new(&config, &servers, Packets::EVERYWHERE).await?;
        let mut actor = Actor {
            descriptions: Descriptions::new(
                Negotiation::new(Manners::Polite),
                Candidates::new(config.candidate_rules()),
            ),
            engine,
            signaling,
            server_is_there: true,
            board: Board::new(&config.codecs, outlet),
            config,
            partner: None,
            forwarders,
            forwarding: forwarding_tx,
            early: Vec::new(),
            offered_first: false,
            commands: queue,
            ready: Some(ready),
            connected: false,
            lost: None,
        };
        let mut outgoing = Vec::new();
        for codec in sent {
            outgoing.push(actor.board.add(actor.engine.connection(), *codec).await?);
        }
        let forwarder = joined.peers.iter().find(|peer| is_forwarder(peer));
        let callee = forwarder.or_else(|| joined.peers.iter().find(|peer| !peer.plain));
        // Owned by its command queue.
        tokio::spawn(actor.run(callee.map(|peer| peer.id.clone()), ended_tx));
        let phrase = connected.await.map_err(|_| SessionError::Closed)??;
        let session = Self {
            commands,
            tracks,
            packets,
            forwarding,
            phrase,
            ended,
        };
        Ok((session, outgoing))
    }

    /// Words that are the same on both sides unless the server is in the middle.
    pub fn phrase(&self) -> &Phrase {
        &self.phrase
    }

    /// The path in use now.
    pub async fn path(&self) -> Option<Path> {
        let (reply, path) = oneshot::channel();
        self.commands.send(Command::Path(reply)).await.ok()?;
        path.await.ok()?
    }

    /// Adds and removes tracks of ours, as long as the call lives.
    pub fn tracks(&self) -> Tracks {
        Tracks::new(self.commands.downgrade())
    }

    /// Takes over the tracks that the other side sends. The second time there are none.
    pub fn incoming_tracks(&mut self) -> IncomingTracks {
        let (_, empty) = mpsc::channel(1);
        IncomingTracks::new(std::mem::replace(&mut self.tracks, empty))
    }

    /// As [`incoming_tracks`](Self::incoming_tracks), if [`SessionConfig::form`] is packets.
    pub(crate) fn incoming_packets(&mut self) -> mpsc::Receiver<IncomingPackets> {
        let (_, empty) = mpsc::channel(1);
        std::mem::replace(&mut self.packets, empty)
    }

    /// Whether the other side forwards, so that its tracks are those of several.
    pub fn is_forwarded(&self) -> bool {
        *self.forwarding.borrow() == Forwarding::Here
    }

    /// Whether the room has a forwarder, here or elsewhere: if the other side leaves, others are still to be met.
    pub fn room_goes_on(&self) -> bool {
        *self.forwarding.borrow() != Forwarding::No
    }

    /// Waits until there is a forwarder in the room that is not the other side. The room should then be met
    /// anew, as its other members do.
    pub async fn forwarder_came(&self) {
        let mut forwarding = self.forwarding.clone();
        let came = forwarding.wait_for(|forwarding| *forwarding == Forwarding::Elsewhere);
        if came.await.is_err() {
            std::future::pending().await
        }
    }

    /// Waits for the end and says why.
    pub async fn ended(&self) -> Arc<SessionError> {
        let mut ended = self.ended.clone();
        let end = ended.wait_for(Option::is_some).await;
        let end = end.ok().and_then(|end| end.clone());
        end.unwrap_or_else(|| Arc::new(SessionError::Closed))
    }

    /// Hangs up and leaves the room.
    pub async fn close(self) {
        let Self {
            commands,
            mut ended,
            ..
        } = self;
        drop(commands);
        let _ = ended.wait_for(Option::is_some).await;
    }
}

struct Actor {
    config: SessionConfig,
    engine: Engine,
    signaling: Signaling,
    /// A call that is connected goes on without it.
    server_is_there: bool,
    board: Board,
    descriptions: Descriptions,
    partner: Option<PeerId>,
    /// Members that forward.
    forwarders: Vec<PeerId>,
    forwarding: watch::Sender<Forwarding>,
    /// Candidates of somebody who has not described anything yet.
    early: Vec<(PeerId, IceCandidate)>,
    offered_first: bool,
    commands: mpsc::Receiver<Command>,
    ready: Option<oneshot::Sender<Result<Phrase, SessionError>>>,
    connected: bool,
    /// Since when the other side cannot be reached, or is being connected to.
    lost: Option<Instant>,
}

enum Event {
    Command(Option<Command>),
    Engine(EngineEvent),
    Server(Result<ServerMessage, SignalingError>),
    Clock,
}

impl Actor {
    async fn run(
        mut self,
        callee: Option<PeerId>,
        ended: watch::Sender<Option<Arc<SessionError>>>,
    ) {
        let end = match self.run_inner(callee).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        tracing::info!(reason = %end, "the call ended");
        self.engine.close().await;
        self.signaling.leave().await;
        match self.ready.take() {
            Some(ready) => drop(ready.send(Err(end))),
            None => drop(ended.send_replace(Some(Arc::new(end)))),
        }
    }

    async fn run_inner(&mut self, callee: Option<PeerId>) -> Result<Infallible, SessionError> {
        if let Some(callee) = callee {
            self.call(callee).await?;
        }
        loop {
            let event = self.next_event().await;
            self.handle(event).await?;
        }
    }

    async fn next_event(&mut self) -> Event {
        let limit = match self.connected {
            true => self.config.healing.path_failed,
            false => super::watchdog::ICE_LIMIT + super::watchdog::DTLS_LIMIT,
        };
        let given_up = async {
            match self.lost {
                Some(lost) => tokio::time::sleep_until((lost + limit).into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            command = self.commands.recv() => Event::Command(command),
            event = self.engine.next_event() => Event::Engine(event),
            message = self.signaling.next(), if self.server_is_there => {
                Event::Server(message.map_err(SignalingError::Lost))
            }
            () = given_up => Event::Clock,
        }
    }

    async fn handle(&mut self, event: Event) -> Result<(), SessionError> {
        match event {
            Event::Command(command) => self.command(command).await,
            Event::Engine(EngineEvent::Candidate(candidate)) => self.tell(candidate).await,
            // A page may open channels; nobody here speaks on them.
            Event::Engine(EngineEvent::Channel(_)) => Ok(()),
            Event::Engine(EngineEvent::Track(track)) => {
                self.board.arrived(self.engine.connection(), track).await;
                Ok(())
            }
            Event::Engine(EngineEvent::State(state)) => self.state_changed(state).await,
            Event::Server(Ok(message)) => self.heard(message).await,
            Event::Server(Err(error)) if self.connected => {
                tracing::info!(%error, "signaling was lost");
                self.server_is_there = false;
                Ok(())
            }
            Event::Server(Err(error)) => Err(error.into()),
            Event::Clock if self.connected => Err(SessionError::Lost),
            Event::Clock => Err(SessionError::Timeout(super::Wait::Ice)),
        }
    }

    async fn command(&mut self, command: Option<Command>) -> Result<(), SessionError> {
        match command {
            Some(Command::AddTrack { codec, reply }) => {
                let added = self.board.add(self.engine.connection(), codec).await;
                let is_new = added.is_ok();
                let _ = reply.send(added.map_err(SessionError::from));
                self.renegotiate(is_new).await
            }
            Some(Command::RelayTrack {
                codec,
                stream,
                feedback,
                reply,
            }) => {
                let connection = self.engine.connection();
                let added = self.board.relay(connection, codec, &stream, feedback).await;
                let is_new = added.is_ok();
                let _ = reply.send(added.map_err(SessionError::from));
                self.renegotiate(is_new).await
            }
            Some(Command::RemoveTrack { id, reply }) => {
                let removed = self.board.remove(self.engine.connection(), id).await;
                let is_gone = matches!(removed, Ok(true));
                let _ = reply.send(removed.map(drop).map_err(SessionError::from));
                self.renegotiate(is_gone).await
            }
            Some(Command::Path(reply)) => {
                let _ = reply.send(self.engine.path().await);
                Ok(())
            }
            // There are neither channels nor lanes; whoever asks sees the reply dropped.
            Some(Command::Open { .. } | Command::OpenLane { .. }) => Ok(()),
            Some(Command::Close(_)) | None => Err(SessionError::Closed),
        }
    }

    async fn renegotiate(&mut self, needed: bool) -> Result<(), SessionError> {
        // Before there is a call, the tracks are part of its first description.
        match needed && self.partner.is_some() {
            true => self.negotiate(Input::Negotiate { restart: false }).await,
            false => Ok(()),
        }
    }

    async fn call(&mut self, callee: PeerId) -> Result<(), SessionError> {
        self.offered_first = true;
        self.meet_with(callee);
        self.lost = Some(Instant::now());
        // What we do not send is received all the same.
        for kind in [Kind::Audio, Kind::Video] {
            if !self.board.sends(kind) {
                self.engine.receive(kind).await?;
            }
        }
        self.negotiate(Input::Negotiate { restart: false }).await
    }

    /// The other side is known from now on, and with it who yields when both offer at once: a forwarder to everybody, we
    /// to whoever called us, and to pages that know nothing of it.
    fn meet_with(&mut self, partner: PeerId) {
        let is_forwarder = self.forwarders.contains(&partner);
        let yields = match self.config.form {
            Form::Packets => true,
            Form::Frames => !is_forwarder && !self.offered_first,
        };
        let manners = match yields {
            true => Manners::Polite,
            false => Manners::Impolite,
        };
        self.descriptions.set_manners(manners);
        self.partner = Some(partner);
        self.forwarders_changed();
    }

    fn forwarders_changed(&self) {
        let here = self
            .partner
            .as_ref()
            .is_some_and(|id| self.forwarders.contains(id));
        let forwarding = match (here, self.forwarders.is_empty()) {
            (true, _) => Forwarding::Here,
            (false, false) if self.partner.is_some() => Forwarding::Elsewhere,
            (false, _) => Forwarding::No,
        };
        self.forwarding.send_replace(forwarding);
    }

    async fn heard(&mut self, message: ServerMessage) -> Result<(), SessionError> {
        match message {
            ServerMessage::Offer { from, sdp } => {
                if self.partner.is_none() {
                    self.meet_with(from.clone());
                }
                if self.partner.as_ref() != Some(&from) {
                    return Ok(());
                }
                // What is offered over a connection that is there connects nothing anew.
                if !self.connected {
                    self.lost.get_or_insert_with(Instant::now);
                }
                self.negotiate(Input::Offer(sdp)).await
            }
            ServerMessage::Answer { from, sdp } if self.partner.as_ref() == Some(&from) => {
                // Tutorial pages answer twice, or to everybody.
                match self.descriptions.awaits_answer() {
                    true => self.negotiate(Input::Answer(sdp)).await,
                    false => Ok(()),
                }
            }
            ServerMessage::IceCandidate {
                from,
                candidate: Some(candidate),
            } => self.remote_candidate(from, candidate).await,
            ServerMessage::PeerLeft { peer, .. } if self.partner.as_ref() == Some(&peer) => {
                Err(SessionError::Gone)
            }
            ServerMessage::PeerLeft { peer, .. } => {
                self.forwarders.retain(|forwarder| *forwarder != peer);
                self.forwarders_changed();
                Ok(())
            }
            ServerMessage::PeerJoined { peer, .. } if is_forwarder(&peer) => {
                self.forwarders.push(peer.id);
                self.forwarders_changed();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn remote_candidate(
        &mut self,
        from: PeerId,
        candidate: IceCandidate,
    ) -> Result<(), SessionError> {
        match &self.partner {
            None if self.early.len() < EARLY => self.early.push((from, candidate)),
            Some(partner) if *partner == from => {
                self.descriptions.trickled(candidate, &self.engine).await
            }
            _ => {}
        }
        Ok(())
    }

    async fn state_changed(&mut self, state: EngineState) -> Result<(), SessionError> {
        match state {
            EngineState::Checking => {}
            EngineState::IceConnected => self.lost = self.lost.filter(|_| !self.connected),
            EngineState::Connected => {
                self.lost = None;
                let is_new = !std::mem::replace(&mut self.connected, true);
                self.engine.set_up_finished();
                if let Some(Path { kind, .. }) = self.engine.path().await.filter(|_| is_new) {
                    self.say(ClientMessage::Path { kind }).await?;
                }
                if let Some(ready) = self.ready.take() {
                    let _ = ready.send(Ok(self.phrase()?));
                }
                self.board.settle(self.engine.connection()).await;
            }
            EngineState::Disconnected => {
                self.lost.get_or_insert_with(Instant::now);
            }
            EngineState::Failed | EngineState::Closed if self.connected => {
                return Err(SessionError::Lost);
            }
            EngineState::Failed | EngineState::Closed => {
                return Err(SessionError::Timeout(super::Wait::Ice));
            }
        }
        Ok(())
    }

    fn phrase(&self) -> Result<Phrase, SessionError> {
        let (Some(local), Some(remote)) = self.descriptions.fingerprints() else {
            return Err(SessionError::Protocol("it connected without a description"));
        };
        Ok(match self.offered_first {
            true => Phrase::of_certificates(&local, &remote),
            false => Phrase::of_certificates(&remote, &local),
        })
    }

    async fn negotiate(&mut self, input: Input) -> Result<(), SessionError> {
        let Negotiated {
            outgoing,
            described,
        } = self
            .descriptions
            .negotiate(input, &self.engine, &mut self.board)
            .await?;
        for description in outgoing {
            let to = self.partner.clone();
            self.say(match description {
                Outgoing::Offer(sdp) => ClientMessage::Offer { to, sdp },
                Outgoing::Answer(sdp) => ClientMessage::Answer { to, sdp },
            })
            .await?;
        }
        if described {
            let early = std::mem::take(&mut self.early).into_iter();
            for (_, candidate) in early.filter(|(from, _)| Some(from) == self.partner.as_ref()) {
                self.descriptions.trickled(candidate, &self.engine).await;
            }
        }
        Ok(())
    }

    async fn tell(&mut self, candidate: IceCandidate) -> Result<(), SessionError> {
        let to = self.partner.clone();
        let candidate = Some(candidate);
        self.say(ClientMessage::IceCandidate { to, candidate })
            .await
    }

    async fn say(&mut self, message: ClientMessage) -> Result<(), SessionError> {
        match self.signaling.send(message).await {
            // The next event says so, if that matters.
            Ok(()) | Err(SendError::Lost) => Ok(()),
            Err(error) => Err(SessionError::Engine(error.to_string())),
        }
    }
}
