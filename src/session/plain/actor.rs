//! The task that owns a call in an open room.

use super::Forwarding;
use super::forwarders::Forwarders;
use crate::media::Kind;
use crate::media::track::{Board, Form};
use crate::pairing::Phrase;
use crate::session::descriptions::{Descriptions, Negotiated, Outgoing};
use crate::session::driver::Command;
use crate::session::engine::{Engine, EngineEvent, EngineState};
use crate::session::negotiation::{Input, Manners, Numbered};
use crate::session::watchdog::{DTLS_LIMIT, ICE_LIMIT};
use crate::session::{Path, SessionConfig, SessionError, Wait};
use crate::signaling::{SendError, Signaling, SignalingError};
use signaling_protocol::{ClientMessage, IceCandidate, PeerId, ServerMessage};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot, watch};

/// Candidates of a peer that come before its description. More of them is a flood.
const EARLY: usize = 64;

/// The task of one call.
pub(super) struct Actor {
    pub(super) config: SessionConfig,
    pub(super) engine: Engine,
    pub(super) signaling: Signaling,
    /// A call that is connected goes on without it.
    pub(super) server_is_there: bool,
    pub(super) board: Board,
    pub(super) descriptions: Descriptions,
    pub(super) partner: Option<PeerId>,
    /// Members that forward.
    pub(super) forwarders: Forwarders,
    pub(super) forwarding: watch::Sender<Forwarding>,
    /// Candidates of somebody who has not described anything yet.
    pub(super) early: Vec<(PeerId, IceCandidate)>,
    pub(super) offered_first: bool,
    pub(super) sends_only: bool,
    pub(super) tells_end: bool,
    pub(super) restarts: bool,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) ready: Option<oneshot::Sender<Result<Phrase, SessionError>>>,
    pub(super) connected: bool,
    /// Since when the other side cannot be reached, or is being connected to.
    pub(super) lost: Option<Instant>,
}

enum Event {
    Command(Option<Command>),
    Engine(EngineEvent),
    Server(Result<ServerMessage, SignalingError>),
    Clock,
}

impl Actor {
    pub(super) async fn run(
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
            false => ICE_LIMIT + DTLS_LIMIT,
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
            Event::Engine(EngineEvent::Candidate(candidate)) => self.tell(Some(candidate)).await,
            // Tutorial pages would not know what to do with it.
            Event::Engine(EngineEvent::Gathered) if !self.tells_end => Ok(()),
            Event::Engine(EngineEvent::Gathered) => self.tell(None).await,
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
            Event::Clock => Err(SessionError::Timeout(Wait::Ice)),
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
            if !self.board.sends(kind) && !self.sends_only {
                let _ = self.engine.receive(kind).await?;
            }
        }
        self.negotiate(Input::Negotiate { restart: false }).await
    }

    /// The other side is known from now on, and with it who yields when both offer at once: a forwarder to everybody, we
    /// to whoever called us, and to pages that know nothing of it.
    fn meet_with(&mut self, partner: PeerId) {
        let is_forwarder = self.forwarders.has(&partner);
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
        let forwarding = self.forwarders.seen_by(self.partner.as_ref());
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
                self.negotiate(Input::Offer(Numbered { id: None, sdp }))
                    .await
            }
            ServerMessage::Answer { from, sdp } if self.partner.as_ref() == Some(&from) => {
                // Tutorial pages answer twice, or to everybody.
                match self.descriptions.awaits_answer() {
                    true => {
                        self.negotiate(Input::Answer(Numbered { id: None, sdp }))
                            .await
                    }
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
                self.forwarders.left(&peer);
                self.forwarders_changed();
                Ok(())
            }
            ServerMessage::PeerJoined { peer, .. } => {
                self.forwarders.came(&peer);
                self.forwarders_changed();
                Ok(())
            }
            // One that did not answer before may never do so; the others are met then.
            ServerMessage::PeerAway { peer }
                if !self.connected
                    && self.partner.as_ref() == Some(&peer)
                    && self.forwarders.has(&peer) =>
            {
                Err(SessionError::Gone)
            }
            ServerMessage::PeerAway { peer } => {
                self.forwarders.went(&peer);
                self.forwarders_changed();
                Ok(())
            }
            ServerMessage::PeerBack { peer } => {
                self.forwarders.back(&peer);
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
                let is_news = self.lost.is_none();
                self.lost.get_or_insert_with(Instant::now);
                if is_news && self.restarts {
                    self.negotiate(Input::Negotiate { restart: true }).await?;
                }
            }
            EngineState::Failed | EngineState::Closed if self.connected => {
                return Err(SessionError::Lost);
            }
            EngineState::Failed | EngineState::Closed => {
                return Err(SessionError::Timeout(Wait::Ice));
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
            ..
        } = self
            .descriptions
            .negotiate(input, &self.engine, &mut self.board)
            .await?;
        for description in outgoing {
            let to = self.partner.clone();
            self.say(match description {
                Outgoing::Offer(Numbered { sdp, .. }) => ClientMessage::Offer { to, sdp },
                Outgoing::Answer(Numbered { sdp, .. }) => ClientMessage::Answer { to, sdp },
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

    async fn tell(&mut self, candidate: Option<IceCandidate>) -> Result<(), SessionError> {
        let to = self.partner.clone();
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
