//! Descriptions and candidates: the pure [`Negotiation`](super::Negotiation) decides, this performs with the
//! engine and tells the peer, over the connection itself where that is up.

use super::{Action, Driver, Input, Manners, Side};
use crate::pairing::{Engine as EngineKind, SealedMessage};
use crate::session::SessionError;
use crate::session::control::ControlMessage;
use crate::session::description::{Description, wishes};
use crate::session::engine::EngineState;
use crate::session::watchdog::Wait;
use signaling_protocol::IceCandidate;
use std::collections::VecDeque;
use std::time::Instant;

impl Driver {
    /// The peer said what it is: a browser cannot roll back as well as we can, so we are polite to it.
    pub(super) fn meet(&mut self, engine: EngineKind) {
        if engine == EngineKind::Browser {
            self.engine.peer_is_browser();
        }
        let polite = engine == EngineKind::Browser || self.side == Side::Answerer;
        self.watchdog.set_polite(polite);
        self.negotiation.set_manners(if polite {
            Manners::Polite
        } else {
            Manners::Impolite
        });
    }

    pub(super) async fn negotiate(&mut self, input: Input) -> Result<(), SessionError> {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let actions = self
                .negotiation
                .handle(input)
                .map_err(|_| SessionError::Protocol("it answered an offer that was never made"))?;
            for action in actions {
                inputs.extend(self.perform(action).await?);
            }
        }
        Ok(())
    }

    async fn perform(&mut self, action: Action) -> Result<Option<Input>, SessionError> {
        Ok(match action {
            Action::MakeOffer { restart } => {
                Some(Input::OfferMade(self.engine.make_offer(restart).await?))
            }
            Action::Rollback => {
                self.engine.rollback().await?;
                None
            }
            Action::MakeAnswer(sdp) => {
                let offer = self.check_description(&sdp)?;
                self.engine.apply_offer(offer.sdp.clone()).await?;
                self.described(offer).await;
                let answer = self.engine.make_answer().await?;
                if self.local_fingerprint.is_none() {
                    self.local_fingerprint = Some(Description::parse(&answer)?.fingerprint);
                }
                self.board.settle(self.engine.connection()).await;
                Some(Input::AnswerMade(answer))
            }
            Action::ApplyAnswer(sdp) => {
                let answer = self.check_description(&sdp)?;
                self.engine.apply_answer(answer.sdp.clone()).await?;
                self.described(answer).await;
                self.board.settle(self.engine.connection()).await;
                Some(Input::AnswerApplied)
            }
            Action::SendOffer(sdp) => {
                self.send_description(sdp, true).await?;
                None
            }
            Action::SendAnswer(sdp) => {
                self.send_description(sdp, false).await?;
                None
            }
        })
    }

    /// A peer keeps its certificate for the whole session.
    fn check_description(&mut self, sdp: &str) -> Result<Description, SessionError> {
        let description = Description::parse(sdp)?;
        if *self
            .announced_fingerprint
            .get_or_insert(description.fingerprint)
            != description.fingerprint
        {
            return Err(SessionError::Tampered(
                "the other side changed its certificate",
            ));
        }
        Ok(description)
    }

    async fn described(&mut self, description: Description) {
        self.board.described(wishes(&description.sdp));
        self.watchdog.reached(Instant::now(), Wait::Ice);
        for candidate in &description.candidates {
            self.engine.heard_of(candidate);
        }
        for candidate in self
            .candidates
            .described(&description.ufrag, description.candidates)
        {
            self.add_candidate(candidate).await;
        }
    }

    pub(super) async fn remote_candidate(
        &mut self,
        candidate: Option<IceCandidate>,
    ) -> Result<(), SessionError> {
        let Some(candidate) = candidate else {
            return Ok(());
        };
        if self.negotiation.ignores_candidates() {
            return Ok(());
        }
        self.engine.heard_of(&candidate.candidate);
        match self.candidates.trickled(candidate) {
            Ok(Some(candidate)) => self.add_candidate(candidate).await,
            Ok(None) => {}
            Err(reason) => tracing::debug!(%reason, "dropped a remote candidate"),
        }
        Ok(())
    }

    async fn add_candidate(&mut self, candidate: IceCandidate) {
        // One bad candidate does not spoil the others.
        if let Err(error) = self.engine.add_candidate(candidate).await {
            tracing::debug!(%error, "the engine refused a remote candidate");
        }
    }

    /// Whether the peer can be reached over the connection itself.
    pub(super) fn in_band(&self) -> bool {
        let interrupted = self.watchdog.interruption().is_some();
        self.is_verified() && self.state == EngineState::Connected && !interrupted
    }

    async fn send_description(&mut self, sdp: String, is_offer: bool) -> Result<(), SessionError> {
        let in_band = self.in_band();
        if is_offer {
            self.sealed_offer = (!in_band).then(Instant::now);
        }
        if in_band {
            return self.control.send(&if is_offer {
                ControlMessage::Offer { sdp }
            } else {
                ControlMessage::Answer { sdp }
            });
        }
        let (agent, engine) = (self.config.agent.clone(), EngineKind::Native);
        self.send_sealed(&if is_offer {
            SealedMessage::Offer { sdp, agent, engine }
        } else {
            SealedMessage::Answer { sdp, agent, engine }
        })
        .await
    }

    pub(super) async fn send_candidate(
        &mut self,
        candidate: IceCandidate,
    ) -> Result<(), SessionError> {
        let candidate = Some(candidate);
        if self.in_band() {
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
