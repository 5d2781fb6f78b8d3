//! The last flight of a handshake, until it is answered.

use super::record::Seen;
use std::time::{Duration, Instant};

/// When a flight is repeated first, and how long it takes at most: each time after the first it takes twice as long. Browsers begin
/// at 50 ms. The engine gives up after 8 s, and bursts of loss may take most of them.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_millis(400);

/// How often a flight is repeated: for 15.5 s in all. A session gives the handshake up after 15 s.
const REPEATS: u32 = 40;

/// How often a flight of the other side that comes again is answered: anybody can send what looks like one from the peer's address. The other
/// side repeats its flight as often within three seconds, and after that our own repeats go on.
const ANSWERS: u32 = 16;

/// Datagrams of a flight. The largest, with a certificate of a few kilobytes, has four.
const MOST_DATAGRAMS: usize = 8;

/// Datagrams of one flight leave and come together; what leaves later is the engine's own repetition.
const TOGETHER: Duration = Duration::from_millis(50);

/// What was sent last, and whether it was answered.
#[derive(Debug)]
pub(super) struct Flights<W> {
    datagrams: Vec<(W, Vec<u8>)>,
    /// When the engine sent the last of them, and when they left last.
    sent: Option<Instant>,
    left: Option<Instant>,
    /// Something of the handshake came since then: what is sent next is another flight.
    answered: bool,
    is_client: bool,
    /// It is the last that this side has to send.
    is_last: bool,
    /// The other side has it: what the engine sends after that, it repeats by itself.
    over: bool,
    repeats: u32,
    answers: u32,
    pub(super) next: Option<Instant>,
}

impl<W> Default for Flights<W> {
    fn default() -> Self {
        Self {
            datagrams: Vec::new(),
            sent: None,
            left: None,
            answered: false,
            is_client: false,
            is_last: false,
            over: false,
            repeats: 0,
            answers: 0,
            next: None,
        }
    }
}

impl<W> Flights<W> {
    /// Sees a datagram of the handshake leave.
    pub(super) fn sending(
        &mut self,
        now: Instant,
        seen: Seen,
        datagram: &[u8],
        way: impl FnOnce() -> W,
    ) {
        if self.over {
            return;
        }
        let repeated = self.sent.is_some_and(|sent| now - sent > TOGETHER);
        if self.answered || repeated {
            self.datagrams.clear();
            // The engine's own repetition does not begin the wait anew.
            self.repeats = if self.answered { 0 } else { self.repeats };
        }
        self.answered = false;
        self.is_client |= seen.client_hello;
        self.is_last |= seen.encrypted_handshake;
        self.sent = Some(now);
        self.left = Some(now);
        // overflow: not repeated here; the engine repeats it.
        if self.datagrams.len() < MOST_DATAGRAMS {
            self.datagrams.push((way(), datagram.to_vec()));
        }
        self.wait(now);
    }

    /// Sees a datagram arrive.
    pub(super) fn received(&mut self, now: Instant, seen: Seen) -> Arrived<'_, W> {
        // The server's last flight ends it for the client, and for the server what only a client sends that has it. The server's data prove
        // nothing to the client, as they may overtake that flight.
        self.over |= match self.is_client {
            true => seen.encrypted_handshake,
            false => self.is_last && (seen.application_data || seen.media),
        };
        if self.over {
            (self.datagrams, self.next) = (Vec::new(), None);
            return Arrived::Over;
        }
        if self.is_last && self.is_the_one_before(seen) {
            if self.rested(now) && self.answers < ANSWERS {
                self.answers += 1;
                return Arrived::Repeated(self.leave(now));
            }
        } else {
            self.answered |= seen.handshake;
        }
        Arrived::Seen
    }

    /// Whether that belongs to the flight that our last one answers. What belongs to the client's last flight is known by its end.
    fn is_the_one_before(&self, seen: Seen) -> bool {
        seen.handshake && (self.is_client || seen.encrypted_handshake)
    }

    fn rested(&self, now: Instant) -> bool {
        self.left.is_some_and(|left| now - left > TOGETHER)
    }

    fn leave(&mut self, now: Instant) -> &[(W, Vec<u8>)] {
        self.left = Some(now);
        self.wait(now);
        &self.datagrams
    }

    /// What must be sent again now.
    pub(super) fn due(&mut self, now: Instant) -> &[(W, Vec<u8>)] {
        if self.next.is_none_or(|next| now < next) {
            return &[];
        }
        self.repeats += 1;
        self.leave(now)
    }

    fn wait(&mut self, now: Instant) {
        let wait = FIRST * 2u32.saturating_pow(self.repeats);
        self.next = (self.repeats < REPEATS).then(|| now + wait.min(LONGEST));
    }
}

/// What a datagram that arrived means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrived<'a, W> {
    /// Nothing is repeated any more.
    Over,
    /// The other side repeats its flight because ours was lost: these must be sent again (RFC 6347 section 4.2.4).
    Repeated(&'a [(W, Vec<u8>)]),
    Seen,
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::{hello, last_flight, record};
    use super::super::record::{ALERT, APPLICATION_DATA, CLIENT_HELLO, HANDSHAKE};
    use super::*;

    fn send(flights: &mut Flights<()>, now: Instant, datagram: &[u8]) {
        flights.sending(now, Seen::of(datagram), datagram, || ());
    }

    /// A client that has sent everything.
    fn client(now: Instant) -> Flights<()> {
        let mut flights = Flights::default();
        send(&mut flights, now, &hello());
        send(&mut flights, now, &last_flight());
        flights
    }

    fn receive(flights: &mut Flights<()>, datagram: &[u8]) -> bool {
        flights.received(Instant::now(), Seen::of(datagram)) == Arrived::Over
    }

    fn repeated(flights: &mut Flights<()>, now: Instant) -> Vec<Vec<u8>> {
        let due = flights.due(now).iter();
        due.map(|(_, datagram)| datagram.clone()).collect()
    }

    #[test]
    fn a_flight_is_repeated_less_and_less_often_until_it_is_given_up() {
        let begin = Instant::now();
        let mut flights = Flights::default();
        send(&mut flights, begin, &hello());
        let mut times = Vec::new();
        for ms in 0..20_000 {
            let now = begin + Duration::from_millis(ms);
            if !repeated(&mut flights, now).is_empty() {
                times.push(ms);
            }
        }
        assert_eq!(times[..5], [100, 300, 700, 1100, 1500]);
        assert_eq!((times.len(), times[39]), (40, 15_500));
    }

    #[test]
    fn what_leaves_after_an_answer_is_another_flight() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut flights = Flights::default();
        send(&mut flights, at(0), &hello());
        receive(&mut flights, &record(HANDSHAKE, 0, &[3]));
        let second = [&hello()[..], b""].concat();
        send(&mut flights, at(10), &second);
        send(&mut flights, at(10), &last_flight());
        assert_eq!(repeated(&mut flights, at(110)), [second, last_flight()]);
    }

    #[test]
    fn the_engines_own_repetition_takes_the_place_of_what_it_repeats() {
        let begin = Instant::now();
        let mut flights = Flights::default();
        send(&mut flights, begin, &hello());
        let now = begin + Duration::from_secs(1);
        flights.due(now);
        let again = record(HANDSHAKE, 0, &[CLIENT_HELLO, 1]);
        send(&mut flights, now, &again);
        assert_eq!(repeated(&mut flights, now + FIRST), Vec::<Vec<u8>>::new());
        assert_eq!(repeated(&mut flights, now + 2 * FIRST), [again]);
    }

    #[test]
    fn a_client_is_done_with_the_servers_last_flight_and_a_server_with_the_first_data() {
        let now = Instant::now();
        let got = [
            last_flight(),
            record(APPLICATION_DATA, 1, &[0]),
            vec![0x80, 96, 0, 1],
            record(ALERT, 0, &[0]),
        ];
        for (first, ends) in [
            (hello(), [true, false, false, false]),
            (record(HANDSHAKE, 0, &[2]), [false, true, true, false]),
        ] {
            for (datagram, ends) in got.iter().zip(ends) {
                let mut flights = Flights::default();
                send(&mut flights, now, &first);
                receive(&mut flights, &record(HANDSHAKE, 0, &[2]));
                send(&mut flights, now, &last_flight());
                assert_eq!(
                    receive(&mut flights, datagram),
                    ends,
                    "{datagram:?} after {first:?}"
                );
                assert_eq!(repeated(&mut flights, now + FIRST).is_empty(), ends);
            }
        }
    }

    #[test]
    fn a_client_that_is_done_repeats_nothing_that_its_engine_sends_after_that() {
        let begin = Instant::now();
        let mut flights = client(begin);
        assert!(receive(&mut flights, &last_flight()));
        let later = begin + Duration::from_secs(1);
        send(&mut flights, later, &last_flight());
        assert!(receive(&mut flights, &last_flight()));
        assert_eq!(flights.next, None);
    }

    #[test]
    fn a_flight_that_comes_again_and_again_is_not_answered_for_ever() {
        let begin = Instant::now();
        let mut flights = client(begin);
        let mut answers = 0;
        for ms in 1..100_000 {
            let seen = Seen::of(&record(HANDSHAKE, 0, &[2]));
            let arrived = flights.received(begin + Duration::from_millis(ms), seen);
            answers += u32::from(matches!(arrived, Arrived::Repeated(_)));
        }
        assert_eq!(answers, ANSWERS);
    }

    #[test]
    fn a_repeated_flight_is_answered_with_our_last_one_but_never_with_an_earlier_one() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let servers = record(HANDSHAKE, 0, &[2]);
        for (first, theirs, early) in [
            (hello(), &servers, last_flight()),
            (servers.clone(), &last_flight(), record(HANDSHAKE, 0, &[16])),
        ] {
            let mut flights = Flights::default();
            let arrives = |flights: &mut Flights<()>, ms, datagram: &[u8]| match flights
                .received(at(ms), Seen::of(datagram))
            {
                Arrived::Repeated(datagrams) => datagrams.len(),
                _ => 0,
            };
            send(&mut flights, begin, &first);
            assert_eq!(arrives(&mut flights, 90, theirs), 0, "it is the answer");
            send(&mut flights, at(100), &last_flight());
            assert_eq!(arrives(&mut flights, 140, theirs), 0, "it was under way");
            if first == servers {
                assert_eq!(arrives(&mut flights, 160, &early), 0, "more of it follows");
            }
            assert_eq!(arrives(&mut flights, 160, theirs), 1);
            assert_eq!(arrives(&mut flights, 180, theirs), 0, "it was just sent");
            assert_eq!(arrives(&mut flights, 220, theirs), 1);
        }
    }

    proptest::proptest! {
        #[test]
        fn anything_may_arrive(datagrams in proptest::collection::vec(proptest::collection::vec(0u8.., 0..80), 0..20)) {
            let now = Instant::now();
            let mut flights = Flights::default();
            for datagram in &datagrams {
                send(&mut flights, now, datagram);
                proptest::prop_assert!(flights.datagrams.len() <= MOST_DATAGRAMS);
                receive(&mut flights, datagram);
            }
        }
    }
}
