//! Descriptions and candidates on their way to and from the peer: over the connection itself where that is up, and else
//! sealed over the server.

use super::ways::Way;
use super::{Driver, Input, Manners, Side};
use crate::pairing::{Engine as EngineKind, SealedMessage};
use crate::session::SessionError;
use crate::session::control::ControlMessage;
use crate::session::descriptions::{Negotiated, Outgoing};
use crate::session::engine::EngineState;
use crate::session::negotiation::Numbered;
use crate::session::watchdog::Wait;
use signaling_protocol::IceCandidate;
use std::time::{Duration, Instant};

/// How long tracks of ours wait for the peer to apply our answer: a lost packet's repetition on a long path.
const APPLY_LIMIT: Duration = Duration::from_secs(1);

/// How long the answer to an offer may take while there is a path. What was given to a server that lost it is not asked
/// for otherwise, and an impolite side would listen to no offer of the peer's for ever.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A ping of the peer's that is not answered before our offer is.
pub(super) struct Owed {
    ping: u64,
    pub(super) until: Instant,
}

/// Tracks of ours wait.
pub(super) struct Held {
    /// The answer to this ends it.
    ping: u64,
    pub(super) until: Instant,
}

impl Driver {
    /// The peer said what it is: a browser cannot roll back as well as we can, so we are polite to it.
    pub(super) fn meet(&mut self, engine: EngineKind) {
        if engine == EngineKind::Browser {
            self.engine.peer_is_browser();
        }
        let polite = engine == EngineKind::Browser || self.side == Side::Answerer;
        self.watchdog.set_polite(polite);
        self.descriptions.set_manners(if polite {
            Manners::Polite
        } else {
            Manners::Impolite
        });
    }

    /// The peer offers, or answers. What belongs to an offer that was given up says nothing about ways either.
    pub(super) async fn described(&mut self, input: Input, way: Way) -> Result<(), SessionError> {
        if self.descriptions.is_stale(&input) {
            return Ok(());
        }
        match input {
            Input::Offer(_) => self.ways.offered(way),
            _ => self.ways.answered(),
        }
        self.negotiate(input).await
    }

    pub(super) async fn negotiate(&mut self, input: Input) -> Result<(), SessionError> {
        let is_offered = matches!(input, Input::Offer(_));
        let holds = is_offered && self.in_band() && self.board.waits();
        self.board.hold(holds || self.held.is_some());
        let Negotiated {
            outgoing,
            described,
            restarts,
        } = self
            .descriptions
            .negotiate(input, &self.engine, &mut self.board)
            .await?;
        if described {
            self.watchdog.reached(Instant::now(), Wait::Ice);
        }
        if restarts {
            self.watchdog.restarting(Instant::now());
        }
        let is_answered = outgoing
            .iter()
            .any(|description| matches!(description, Outgoing::Answer(_)));
        for description in outgoing {
            self.send_description(description).await?;
        }
        self.pong_in_its_turn()?;
        match (holds, is_answered) {
            (true, true) => self.ask_whether_applied()?,
            (true, false) => self.release().await,
            (false, _) => {}
        }
        Ok(())
    }

    /// Whoever offered drops our packets until it has applied our answer, and with them a first key frame. It takes our
    /// messages in their order, so its answer to a ping says that it has.
    fn ask_whether_applied(&mut self) -> Result<(), SessionError> {
        self.next_ping += 1;
        let ping = self.next_ping;
        self.held = Some(Held {
            ping,
            until: Instant::now() + APPLY_LIMIT,
        });
        self.control.send(&ControlMessage::Ping { id: ping })
    }

    /// The peer wants to know that we are there, or that its answer was applied. That went over the server if our offer
    /// did, where the ping may have overtaken it.
    pub(super) fn pinged(&mut self, id: u64) -> Result<(), SessionError> {
        self.pong()?;
        self.owed = Some(Owed {
            ping: id,
            until: Instant::now() + APPLY_LIMIT,
        });
        self.pong_in_its_turn()
    }

    fn pong_in_its_turn(&mut self) -> Result<(), SessionError> {
        match self.descriptions.awaits_answer() {
            true => Ok(()),
            false => self.pong(),
        }
    }

    /// Answers the ping that waits.
    pub(super) fn pong(&mut self) -> Result<(), SessionError> {
        match self.owed.take() {
            Some(Owed { ping: id, .. }) => self.control.send(&ControlMessage::Pong { id }),
            None => Ok(()),
        }
    }

    /// The peer answered a ping.
    pub(super) async fn ponged(&mut self, id: u64) {
        self.lanes.ponged();
        if self.held.as_ref().is_some_and(|held| held.ping == id) {
            self.release().await;
        }
    }

    /// Tracks of ours begin.
    pub(super) async fn release(&mut self) {
        self.held = None;
        self.board.hold(false);
        self.board.settle(self.engine.connection()).await;
    }

    pub(super) async fn remote_candidate(&mut self, candidate: Option<IceCandidate>) {
        if let Some(candidate) = candidate {
            self.descriptions.trickled(candidate, &self.engine).await;
        }
    }

    /// Whether the peer can be reached over the connection itself.
    pub(super) fn in_band(&self) -> bool {
        let interrupted = self.watchdog.interruption().is_some();
        self.is_verified() && self.state == EngineState::Connected && !interrupted
    }

    /// When an offer of ours that is not answered is given up for another one. While the path is lost that is for
    /// whoever restores it.
    pub(super) fn offer_limit(&self) -> Option<Instant> {
        let waits = self.descriptions.awaits_answer() && self.in_band();
        self.offered
            .filter(|_| waits)
            .map(|offered| offered + ANSWER_LIMIT)
    }

    /// By which way something goes that has nothing in front of it.
    fn usual_way(&self) -> Way {
        match self.in_band() {
            true => Way::InBand,
            false => Way::Server,
        }
    }

    async fn send_description(&mut self, description: Outgoing) -> Result<(), SessionError> {
        let (now, usual) = (Instant::now(), self.usual_way());
        let way = match description {
            Outgoing::Offer(_) => self.ways.of_offer(now, usual),
            Outgoing::Answer(_) => self.ways.of_answer(now, usual),
        };
        if matches!(description, Outgoing::Offer(_)) {
            self.offered = Some(now);
            self.sealed_offer = (way == Way::Server).then_some(now);
        }
        if way == Way::InBand {
            return self.control.send(&match description {
                Outgoing::Offer(Numbered { id, sdp }) => ControlMessage::Offer { id, sdp },
                Outgoing::Answer(Numbered { id, sdp }) => ControlMessage::Answer { id, sdp },
            });
        }
        let (agent, engine) = (self.config.agent.clone(), EngineKind::Native);
        self.send_sealed(&match description {
            Outgoing::Offer(Numbered { id, sdp }) => SealedMessage::Offer {
                id,
                sdp,
                agent,
                engine,
            },
            Outgoing::Answer(Numbered { id, sdp }) => SealedMessage::Answer {
                id,
                sdp,
                agent,
                engine,
            },
        })
        .await
    }

    pub(super) async fn send_candidate(
        &mut self,
        candidate: IceCandidate,
    ) -> Result<(), SessionError> {
        let candidate = Some(candidate);
        if self.ways.of_candidate(self.usual_way()) == Way::InBand {
            return self
                .control
                .send(&ControlMessage::IceCandidate { candidate });
        }
        self.send_sealed(&SealedMessage::IceCandidate { candidate })
            .await
    }

    pub(super) async fn send_sealed(
        &mut self,
        message: &SealedMessage,
    ) -> Result<(), SessionError> {
        self.link
            .send(message)
            .await
            .map_err(|error| SessionError::Engine(error.to_string()))
    }
}
