//! Descriptions and candidates of both sides: the pure [`Negotiation`] and [`Candidates`] decide, this performs with the
//! engine. What has to be told to the peer is for the caller to send, by whatever way there is.

use super::SessionError;
use super::candidates::Candidates;
use super::description::{Description, wishes};
use super::engine::Engine;
use super::negotiation::{Action, Input, Manners, Negotiation, Numbered};
use super::sections::Sections;
use crate::media::track::Board;
use crate::pairing::Fingerprint;
use signaling_protocol::IceCandidate;
use std::collections::VecDeque;

/// How far two sides have described themselves.
pub(super) struct Descriptions {
    negotiation: Negotiation,
    candidates: Candidates,
    local: Option<Fingerprint>,
    remote: Option<Fingerprint>,
    sections: Sections,
}

/// A description for the peer.
#[derive(Debug)]
pub(super) enum Outgoing {
    Offer(Numbered),
    Answer(Numbered),
}

/// What came of an input.
#[derive(Debug, Default)]
pub(super) struct Negotiated {
    /// To be sent in this order.
    pub(super) outgoing: Vec<Outgoing>,
    /// A description of the peer was applied.
    pub(super) described: bool,
    /// It restarts ICE, and was answered.
    pub(super) restarts: bool,
}

impl Descriptions {
    pub(super) fn new(negotiation: Negotiation, candidates: Candidates) -> Self {
        Self {
            negotiation,
            candidates,
            local: None,
            remote: None,
            sections: Sections::default(),
        }
    }

    pub(super) fn set_manners(&mut self, manners: Manners) {
        self.negotiation.set_manners(manners);
    }

    pub(super) fn is_stale(&self, input: &Input) -> bool {
        self.negotiation.is_stale(input)
    }

    pub(super) fn awaits_answer(&self) -> bool {
        self.negotiation.awaits_answer()
    }

    /// The certificates of both sides as they are described: ours, and the peer's.
    pub(super) fn fingerprints(&self) -> (Option<Fingerprint>, Option<Fingerprint>) {
        (self.local, self.remote)
    }

    /// We described ourselves.
    pub(super) fn described_ourselves(&mut self, sdp: &str) -> Result<(), SessionError> {
        if self.local.is_none() {
            self.local = Some(Description::parse(sdp)?.fingerprint);
        }
        Ok(())
    }

    pub(super) async fn negotiate(
        &mut self,
        input: Input,
        engine: &Engine,
        board: &mut Board,
    ) -> Result<Negotiated, SessionError> {
        let mut inputs = VecDeque::from([input]);
        let mut negotiated = Negotiated::default();
        while let Some(input) = inputs.pop_front() {
            let actions = self
                .negotiation
                .handle(input)
                .map_err(|_| SessionError::Protocol("it answered an offer that was never made"))?;
            for action in actions {
                let next = self.perform(action, engine, board, &mut negotiated).await?;
                inputs.extend(next);
            }
        }
        Ok(negotiated)
    }

    async fn perform(
        &mut self,
        action: Action,
        engine: &Engine,
        board: &mut Board,
        negotiated: &mut Negotiated,
    ) -> Result<Option<Input>, SessionError> {
        Ok(match action {
            Action::MakeOffer { restart } => {
                let offer = engine.make_offer(restart).await?;
                board.told();
                self.described_ourselves(&offer)?;
                Some(Input::OfferMade(offer))
            }
            Action::Rollback => {
                engine.rollback().await?;
                None
            }
            Action::MakeAnswer(sdp) => {
                let offer = self.check(&sdp)?;
                negotiated.restarts = self.candidates.is_restart(&offer.ufrag);
                engine.apply_offer(offer.sdp.clone()).await?;
                self.described(offer, engine, board).await;
                let answer = engine.make_answer().await?;
                board.told();
                self.described_ourselves(&answer)?;
                board.settle(engine.connection()).await;
                negotiated.described = true;
                Some(Input::AnswerMade(answer))
            }
            Action::ApplyAnswer(sdp) => {
                let answer = self.check(&sdp)?;
                engine.apply_answer(answer.sdp.clone()).await?;
                self.described(answer, engine, board).await;
                board.settle(engine.connection()).await;
                negotiated.described = true;
                Some(Input::AnswerApplied)
            }
            Action::SendOffer(offer) => {
                negotiated.outgoing.push(Outgoing::Offer(offer));
                None
            }
            Action::SendAnswer(answer) => {
                negotiated.outgoing.push(Outgoing::Answer(answer));
                None
            }
        })
    }

    /// A peer keeps its certificate for the whole session.
    fn check(&mut self, sdp: &str) -> Result<Description, SessionError> {
        let description = Description::parse(sdp)?;
        if *self.remote.get_or_insert(description.fingerprint) != description.fingerprint {
            return Err(SessionError::Tampered(
                "the other side changed its certificate",
            ));
        }
        self.sections.described(&description.sdp)?;
        Ok(description)
    }

    async fn described(&mut self, description: Description, engine: &Engine, board: &mut Board) {
        board.described(wishes(&description.sdp));
        for candidate in &description.candidates {
            engine.heard_of(candidate);
        }
        let usable = self
            .candidates
            .described(&description.ufrag, description.candidates);
        for candidate in usable {
            add(engine, candidate).await;
        }
    }

    /// The peer has another candidate.
    pub(super) async fn trickled(&mut self, candidate: IceCandidate, engine: &Engine) {
        if self.negotiation.ignores_candidates() {
            return;
        }
        engine.heard_of(&candidate.candidate);
        match self.candidates.trickled(candidate) {
            Ok(Some(candidate)) => add(engine, candidate).await,
            Ok(None) => {}
            Err(reason) => tracing::debug!(%reason, "dropped a remote candidate"),
        }
    }
}

/// One bad candidate does not spoil the others.
async fn add(engine: &Engine, candidate: IceCandidate) {
    if let Err(error) = engine.add_candidate(candidate).await {
        tracing::debug!(%error, "the engine refused a remote candidate");
    }
}
