//! Who offers, who answers, and what happens when both offer at once.
//!
//! Pure: inputs in, actions out, no engine and no clock. The driver performs the actions one at a time
//! and reports what the engine produced as the next input, so two negotiation steps never overlap.
//! This is perfect negotiation (W3C WebRTC section 10.7) with one difference: our engine has no
//! implicit rollback, so the polite side rolls back explicitly before it applies a colliding offer.
//!
//! Offers are numbered by their side, and answers with them (docs/protocol.md 3.3): what a lost path held back and brings when
//! it is over may belong to an offer that was given up for another one.

/// Whether this side yields when both sides offer at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manners {
    /// Drops its own offer, answers the other's, then offers again.
    Polite,
    /// Ignores the other's offer and waits for its answer.
    Impolite,
}

/// An offer, or the answer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Numbered {
    /// Of the offer, counted from 1 by its side. Absent from a session's first one, and where nothing is numbered.
    pub(crate) id: Option<u32>,
    pub(crate) sdp: String,
}

/// What happens to the negotiation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// This side wants to offer: first contact, new tracks, or an ICE restart.
    Negotiate { restart: bool },
    /// The engine made and applied our offer.
    OfferMade(String),
    /// The engine applied the peer's offer and made and applied our answer.
    AnswerMade(String),
    /// The engine applied the peer's answer.
    AnswerApplied,
    /// The peer's offer arrived.
    Offer(Numbered),
    /// The peer's answer arrived.
    Answer(Numbered),
    /// Our offer, or its answer, was lost on its way, and with it the path.
    Forgotten,
    /// Our offer, or its answer, was lost on its way, although there is a path.
    Unanswered,
}

/// What the driver must do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Create an offer and apply it; answered by [`Input::OfferMade`].
    MakeOffer { restart: bool },
    /// Roll our own offer back.
    Rollback,
    /// Apply this offer, create an answer and apply it; answered by [`Input::AnswerMade`].
    MakeAnswer(String),
    /// Apply this answer; answered by [`Input::AnswerApplied`].
    ApplyAnswer(String),
    /// Send our offer to the peer.
    SendOffer(Numbered),
    /// Send our answer to the peer.
    SendAnswer(Numbered),
}

/// The peer broke the rules of offer and answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    /// An answer arrived that nobody had asked for.
    #[error("the peer answered an offer that was never made")]
    UnexpectedAnswer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is under way.
    Stable,
    /// The engine is making our offer.
    Offering,
    /// Our offer was sent.
    AwaitingAnswer,
    /// The engine is answering the peer's offer of this number.
    Answering(Option<u32>),
    /// The engine is applying the peer's answer.
    Finishing,
}

/// The negotiation of one peer connection.
#[derive(Debug)]
pub(crate) struct Negotiation {
    manners: Manners,
    state: State,
    /// An offer that must follow when the state is stable again; whether it restarts ICE.
    wanted: Option<bool>,
    /// The peer's offer that was ignored, so that what it trickles afterwards is ignored too.
    ignoring: bool,
    /// The number of our newest offer.
    made: u32,
    /// That of the peer's newest one.
    seen: u32,
}

impl Negotiation {
    pub(crate) fn new(manners: Manners) -> Self {
        Self {
            manners,
            state: State::Stable,
            wanted: None,
            ignoring: false,
            made: 0,
            seen: 0,
        }
    }

    /// A negotiation whose first offer has already been made and sent.
    pub(crate) fn offered() -> Self {
        Self {
            state: State::AwaitingAnswer,
            ..Self::new(Manners::Impolite)
        }
    }

    /// Manners may change once: when the first message of the peer says what it is.
    pub(crate) fn set_manners(&mut self, manners: Manners) {
        self.manners = manners;
    }

    /// Whether candidates that arrive now belong to an offer that was ignored.
    pub(crate) fn ignores_candidates(&self) -> bool {
        self.ignoring
    }

    /// Whether our offer is not answered yet.
    pub(crate) fn awaits_answer(&self) -> bool {
        self.state == State::AwaitingAnswer
    }

    /// Whether this belongs to an offer that was given up.
    pub(crate) fn is_stale(&self, input: &Input) -> bool {
        match input {
            Input::Offer(Numbered { id: Some(id), .. }) => *id <= self.seen,
            Input::Answer(Numbered { id: Some(id), .. }) => {
                *id < self.made || (*id == self.made && !self.awaits_answer())
            }
            _ => false,
        }
    }

    /// Takes one input.
    pub(crate) fn handle(&mut self, input: Input) -> Result<Vec<Action>, Violation> {
        if self.is_stale(&input) {
            return Ok(Vec::new());
        }
        if let Input::Offer(Numbered { id: Some(id), .. }) = input {
            self.seen = id;
        }
        let actions = match (self.state, input) {
            (_, Input::Negotiate { restart }) => {
                self.wanted = Some(self.wanted.unwrap_or(false) || restart);
                Vec::new()
            }
            (_, Input::OfferMade(sdp)) => {
                self.state = State::AwaitingAnswer;
                self.made += 1;
                let id = Some(self.made);
                vec![Action::SendOffer(Numbered { id, sdp })]
            }
            (State::Answering(id), Input::AnswerMade(sdp)) => {
                self.state = State::Stable;
                vec![Action::SendAnswer(Numbered { id, sdp })]
            }
            // Nothing was asked for.
            (_, Input::AnswerMade(_)) => Vec::new(),
            (_, Input::AnswerApplied) => {
                self.state = State::Stable;
                Vec::new()
            }
            (State::AwaitingAnswer, Input::Offer(_)) if self.manners == Manners::Impolite => {
                self.ignoring = true;
                Vec::new()
            }
            (State::AwaitingAnswer, Input::Offer(Numbered { id, sdp })) => {
                self.wanted.get_or_insert(false);
                self.state = State::Answering(id);
                vec![Action::Rollback, Action::MakeAnswer(sdp)]
            }
            (_, Input::Offer(Numbered { id, sdp })) => {
                self.ignoring = false;
                self.state = State::Answering(id);
                vec![Action::MakeAnswer(sdp)]
            }
            (State::AwaitingAnswer, Input::Answer(Numbered { id, sdp }))
                if id.is_none_or(|id| id == self.made) =>
            {
                self.ignoring = false;
                self.state = State::Finishing;
                vec![Action::ApplyAnswer(sdp)]
            }
            (State::AwaitingAnswer, given_up @ (Input::Forgotten | Input::Unanswered)) => {
                let restart = given_up == Input::Forgotten || self.wanted == Some(true);
                self.wanted = Some(restart);
                self.ignoring = false;
                self.state = State::Stable;
                vec![Action::Rollback]
            }
            (_, Input::Forgotten | Input::Unanswered) => Vec::new(),
            (_, Input::Answer(_)) => return Err(Violation::UnexpectedAnswer),
        };
        if self.state == State::Stable
            && let Some(restart) = self.wanted.take()
        {
            self.state = State::Offering;
            return Ok([actions, vec![Action::MakeOffer { restart }]].concat());
        }
        Ok(actions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A side whose engine always succeeds. Returns what it sends.
    struct Side {
        negotiation: Negotiation,
        name: &'static str,
        offers: u32,
        rollbacks: u32,
        settled: Vec<String>,
    }

    impl Side {
        fn new(manners: Manners, name: &'static str) -> Self {
            let negotiation = Negotiation::new(manners);
            Self {
                negotiation,
                name,
                offers: 0,
                rollbacks: 0,
                settled: Vec::new(),
            }
        }

        fn handle(&mut self, input: Input) -> Vec<Input> {
            let mut sent = Vec::new();
            let mut inputs = std::collections::VecDeque::from([input]);
            while let Some(input) = inputs.pop_front() {
                for action in self.negotiation.handle(input).unwrap() {
                    match action {
                        Action::MakeOffer { .. } => {
                            self.offers += 1;
                            inputs.push_back(Input::OfferMade(format!(
                                "{}{}",
                                self.name, self.offers
                            )));
                        }
                        Action::Rollback => self.rollbacks += 1,
                        Action::MakeAnswer(offer) => {
                            self.settled.push(offer.clone());
                            inputs.push_back(Input::AnswerMade(offer));
                        }
                        Action::ApplyAnswer(offer) => {
                            self.settled.push(offer);
                            inputs.push_back(Input::AnswerApplied);
                        }
                        Action::SendOffer(offer) => sent.push(Input::Offer(offer)),
                        Action::SendAnswer(answer) => sent.push(Input::Answer(answer)),
                    }
                }
            }
            sent
        }
    }

    fn unnumbered(sdp: &str) -> Numbered {
        numbered(None, sdp)
    }

    fn numbered(id: Option<u32>, sdp: &str) -> Numbered {
        let sdp = sdp.into();
        Numbered { id, sdp }
    }

    const NEGOTIATE: Input = Input::Negotiate { restart: false };

    #[test]
    fn an_offer_that_is_not_answered_is_made_anew_without_a_restart() {
        let mut negotiation = Negotiation::new(Manners::Impolite);
        negotiation
            .handle(Input::Negotiate { restart: false })
            .unwrap();
        negotiation.handle(Input::OfferMade("1".into())).unwrap();
        // It does not listen to the peer's meanwhile.
        let theirs = |id| {
            Input::Offer(Numbered {
                id: Some(id),
                sdp: "theirs".into(),
            })
        };
        assert_eq!(negotiation.handle(theirs(1)).unwrap(), []);
        let given_up = negotiation.handle(Input::Unanswered).unwrap();
        assert_eq!(
            given_up,
            [Action::Rollback, Action::MakeOffer { restart: false }]
        );
        let made = negotiation.handle(Input::OfferMade("2".into())).unwrap();
        let offer = Numbered {
            id: Some(2),
            sdp: "2".into(),
        };
        assert_eq!(made, [Action::SendOffer(offer)]);
        let answer = |id| {
            Input::Answer(Numbered {
                id: Some(id),
                sdp: "answer".into(),
            })
        };
        assert_eq!(negotiation.handle(answer(1)).unwrap(), []);
        let applied = negotiation.handle(answer(2)).unwrap();
        assert_eq!(applied, [Action::ApplyAnswer("answer".into())]);
        negotiation.handle(Input::AnswerApplied).unwrap();
        assert_eq!(negotiation.handle(Input::Unanswered).unwrap(), []);
        assert_eq!(
            negotiation.handle(theirs(2)).unwrap(),
            [Action::MakeAnswer("theirs".into())]
        );
    }

    #[test]
    fn every_interleaving_of_two_offers_settles_the_same_on_both_sides() {
        // Each bit decides which side's next message is delivered, or which side begins to offer.
        for order in 0u32..1 << 10 {
            let mut sides = [
                Side::new(Manners::Impolite, "i"),
                Side::new(Manners::Polite, "p"),
            ];
            let mut wires = [
                std::collections::VecDeque::new(),
                std::collections::VecDeque::new(),
            ];
            let mut unstarted = [true, true];
            for step in 0..40 {
                let choice = if step < 10 {
                    (order >> step & 1) as usize
                } else {
                    step % 2
                };
                let input = if std::mem::take(&mut unstarted[choice]) {
                    Some(NEGOTIATE)
                } else {
                    wires[choice].pop_front()
                };
                if let Some(input) = input {
                    let sent = sides[choice].handle(input);
                    wires[1 - choice].extend(sent);
                }
            }
            assert!(wires.iter().all(|wire| wire.is_empty()), "order {order:b}");
            let [impolite, polite] = &sides;
            assert_eq!(impolite.settled, polite.settled, "order {order:b}");
            assert!(impolite.settled.contains(&"i1".into()), "order {order:b}");
            assert!(
                impolite.settled.iter().any(|sdp| sdp.starts_with('p')),
                "order {order:b}"
            );
            assert_eq!(impolite.rollbacks, 0);
        }
    }

    #[test]
    fn wishes_that_come_while_busy_are_one_offer_afterwards() {
        let mut negotiation = Negotiation::new(Manners::Polite);
        assert_eq!(
            negotiation.handle(NEGOTIATE).unwrap(),
            [Action::MakeOffer { restart: false }]
        );
        negotiation.handle(Input::OfferMade("1".into())).unwrap();
        assert_eq!(negotiation.handle(NEGOTIATE).unwrap(), []);
        assert_eq!(
            negotiation
                .handle(Input::Negotiate { restart: true })
                .unwrap(),
            []
        );
        assert_eq!(negotiation.handle(NEGOTIATE).unwrap(), []);
        negotiation.handle(Input::Answer(unnumbered("1"))).unwrap();
        assert_eq!(
            negotiation.handle(Input::AnswerApplied).unwrap(),
            [Action::MakeOffer { restart: true }]
        );
    }

    #[test]
    fn an_offer_that_was_lost_is_made_anew() {
        let mut negotiation = Negotiation::new(Manners::Impolite);
        assert_eq!(negotiation.handle(Input::Forgotten).unwrap(), []);
        negotiation.handle(NEGOTIATE).unwrap();
        negotiation.handle(Input::OfferMade("1".into())).unwrap();
        assert!(negotiation.awaits_answer());
        assert_eq!(
            negotiation.handle(Input::Forgotten).unwrap(),
            [Action::Rollback, Action::MakeOffer { restart: true }]
        );
        negotiation.handle(Input::OfferMade("2".into())).unwrap();
        negotiation.handle(Input::Answer(unnumbered("2"))).unwrap();
        assert_eq!(negotiation.handle(Input::AnswerApplied).unwrap(), []);
    }

    #[test]
    fn an_answer_to_nothing_is_a_violation() {
        for manners in [Manners::Polite, Manners::Impolite] {
            let mut negotiation = Negotiation::new(manners);
            assert_eq!(
                negotiation.handle(Input::Answer(unnumbered("x"))),
                Err(Violation::UnexpectedAnswer)
            );
        }
    }

    #[test]
    fn an_ignored_offer_takes_its_candidates_with_it_until_the_answer() {
        let mut negotiation = Negotiation::new(Manners::Impolite);
        negotiation.handle(NEGOTIATE).unwrap();
        negotiation.handle(Input::OfferMade("1".into())).unwrap();
        assert_eq!(
            negotiation.handle(Input::Offer(unnumbered("2"))).unwrap(),
            []
        );
        assert!(negotiation.ignores_candidates());
        negotiation.handle(Input::Answer(unnumbered("1"))).unwrap();
        assert!(!negotiation.ignores_candidates());
    }

    #[test]
    fn an_offer_that_was_given_up_is_not_answered_when_it_comes() {
        let mut negotiation = Negotiation::new(Manners::Polite);
        let newer = Input::Offer(numbered(Some(3), "3"));
        assert_eq!(
            negotiation.handle(newer.clone()).unwrap(),
            [Action::MakeAnswer("3".into())]
        );
        assert_eq!(
            negotiation.handle(Input::AnswerMade("a".into())).unwrap(),
            [Action::SendAnswer(numbered(Some(3), "a"))]
        );
        for old in [newer, Input::Offer(numbered(Some(2), "2"))] {
            assert_eq!(negotiation.handle(old).unwrap(), []);
        }
    }

    #[test]
    fn an_answer_to_an_offer_that_was_given_up_changes_nothing() {
        let mut negotiation = Negotiation::new(Manners::Impolite);
        negotiation.handle(NEGOTIATE).unwrap();
        negotiation.handle(Input::OfferMade("1".into())).unwrap();
        negotiation.handle(Input::Forgotten).unwrap();
        assert_eq!(
            negotiation.handle(Input::OfferMade("2".into())).unwrap(),
            [Action::SendOffer(numbered(Some(2), "2"))]
        );
        let [old, current] = [1, 2].map(|id| Input::Answer(numbered(Some(id), "a")));
        assert_eq!(negotiation.handle(old.clone()).unwrap(), []);
        assert!(negotiation.awaits_answer());
        assert_eq!(
            negotiation.handle(current.clone()).unwrap(),
            [Action::ApplyAnswer("a".into())]
        );
        negotiation.handle(Input::AnswerApplied).unwrap();
        for late in [old, current] {
            assert_eq!(negotiation.handle(late).unwrap(), []);
        }
    }

    #[test]
    fn an_answer_to_an_offer_that_was_never_made_is_a_violation() {
        let mut negotiation = Negotiation::new(Manners::Impolite);
        let early = || Input::Answer(numbered(Some(2), "a"));
        assert_eq!(
            negotiation.handle(early()),
            Err(Violation::UnexpectedAnswer)
        );
        negotiation.handle(NEGOTIATE).unwrap();
        negotiation.handle(Input::OfferMade("1".into())).unwrap();
        assert_eq!(
            negotiation.handle(early()),
            Err(Violation::UnexpectedAnswer)
        );
    }
}
