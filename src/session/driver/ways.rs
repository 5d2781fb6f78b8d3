//! By which way descriptions and candidates go: over the connection that they are about, or sealed over the signaling
//! server (docs/protocol.md 3.6, "By which way").
//!
//! Nothing keeps the two in order with each other, so that what belongs together takes one way: an answer and candidates
//! that of their offer, and an offer that of the answer in front of it, for as long as that may still be on its way. An offer
//! that overtakes our answer meets a peer that waits for it, which takes the two for colliding.

use std::time::{Duration, Instant};

/// By then an answer that went over the server is there, or will not come in time.
const TRAVEL_LIMIT: Duration = Duration::from_secs(5);

/// A way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Way {
    /// Over the connection.
    InBand,
    /// Over the signaling server.
    #[default]
    Server,
}

/// Which way was taken last.
#[derive(Debug, Default)]
pub(super) struct Ways {
    /// That of the last offer, of either side.
    offer: Way,
    /// Our last answer went over the server then, and nothing shows yet that it arrived.
    answered: Option<Instant>,
}

impl Ways {
    /// The peer offers.
    pub(super) fn offered(&mut self, way: Way) {
        self.offer = way;
        self.answered = None;
    }

    /// The peer answers: it has done with what it offered before.
    pub(super) fn answered(&mut self) {
        self.answered = None;
    }

    /// That of an offer of ours; `usual` is the one that would do if nothing had been said before.
    pub(super) fn of_offer(&mut self, now: Instant, usual: Way) -> Way {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < TRAVEL_LIMIT;
        self.offer = match self.answered.is_some_and(is_recent) {
            true => Way::Server,
            false => usual,
        };
        self.offer
    }

    /// That of an answer of ours.
    pub(super) fn of_answer(&mut self, now: Instant, usual: Way) -> Way {
        let way = self.of_candidate(usual);
        self.answered = (way == Way::Server).then_some(now);
        way
    }

    /// That of a candidate of ours.
    pub(super) fn of_candidate(&self, usual: Way) -> Way {
        match self.offer {
            Way::InBand => usual,
            Way::Server => Way::Server,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_and_its_candidates_take_the_way_of_the_offer() {
        let (mut ways, now) = (Ways::default(), Instant::now());
        ways.offered(Way::Server);
        assert_eq!(ways.of_answer(now, Way::InBand), Way::Server);
        assert_eq!(ways.of_candidate(Way::InBand), Way::Server);
        ways.offered(Way::InBand);
        assert_eq!(ways.of_answer(now, Way::InBand), Way::InBand);
        assert_eq!(ways.of_candidate(Way::InBand), Way::InBand);
    }

    #[test]
    fn what_cannot_go_in_band_goes_over_the_server() {
        let (mut ways, now) = (Ways::default(), Instant::now());
        ways.offered(Way::InBand);
        assert_eq!(ways.of_answer(now, Way::Server), Way::Server);
        assert_eq!(ways.of_offer(now, Way::Server), Way::Server);
    }

    #[test]
    fn an_offer_does_not_overtake_an_answer() {
        let (mut ways, now) = (Ways::default(), Instant::now());
        ways.offered(Way::Server);
        ways.of_answer(now, Way::InBand);
        assert_eq!(ways.of_offer(now, Way::InBand), Way::Server);
        // It answers, so it has ours.
        ways.answered();
        assert_eq!(ways.of_offer(now, Way::InBand), Way::InBand);
    }

    #[test]
    fn an_answer_that_was_lost_keeps_nothing_from_the_path() {
        let (mut ways, now) = (Ways::default(), Instant::now());
        ways.offered(Way::Server);
        ways.of_answer(now, Way::InBand);
        assert_eq!(ways.of_offer(now + TRAVEL_LIMIT, Way::InBand), Way::InBand);
    }
}
