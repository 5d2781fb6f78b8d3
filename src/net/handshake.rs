//! Repeats the flights of a DTLS handshake that may have been lost.
//!
//! RFC 6347 section 4.2.4 has each side repeat its last flight when the timer expires, or when the other side
//! repeats the flight before it. The engine (rtc-dtls 0.21.1) drops its timer at the first datagram that does
//! not complete the next flight, and repeats nothing once it has finished: one lost datagram of the last two
//! flights ended three in a hundred sessions at 3 % loss. So the datagrams of the last flight are kept here and
//! sent again, sooner than the second after which the engine would: what arrives twice is dropped as a replay.

use super::packet::Outlet;
use super::turn::is_stream;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use tokio::time::sleep_until;
use tokio_util::task::AbortOnDropHandle;
use webrtc::runtime::{AsyncUdpSocket, Transmit};

/// When a flight is repeated first; each time after that it takes twice as long. Browsers begin at 50 ms.
const FIRST: Duration = Duration::from_millis(100);

/// How often a flight is repeated: for 6 s in all. The engine gives up after 8 s, and a session after 15 s.
const REPEATS: u32 = 6;

/// Datagrams of a flight. The largest, with a certificate of a few kilobytes, has four.
const MOST_DATAGRAMS: usize = 8;

/// Datagrams of one flight leave together; what leaves later is the engine's own repetition.
const TOGETHER: Duration = Duration::from_millis(50);

/// Content types (RFC 5246 section 6.2.1) and the header of a record (RFC 6347 section 4.1).
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const RECORD_HEADER: usize = 13;
const CLIENT_HELLO: u8 = 1;

/// ChannelData, Send and Data indications and their attribute (RFC 8656 sections 12.4, 17 and 18).
const CHANNELS: std::ops::Range<u8> = 0x40..0x50;
const INDICATIONS: [[u8; 2]; 2] = [[0x00, 0x16], [0x00, 0x17]];
const DATA: u16 = 0x0013;

/// The handshake of one connection, whose sockets share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Handshake(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// So that bulk traffic pays one comparison and no lock.
    over: AtomicBool,
    flights: Mutex<Flights<Way>>,
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// Out of a socket to an address.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) outlet: Arc<Outlet>,
    pub(super) wire: Arc<dyn AsyncUdpSocket>,
    pub(super) destination: SocketAddr,
}

impl Way {
    fn send(&self, contents: &[u8]) {
        if !is_stream(self.destination) {
            return self.outlet.send(contents, self.destination);
        }
        // A stream's queue takes it or drops it, and never makes anyone wait.
        let transmit = Transmit {
            destination: self.destination,
            ecn: None,
            contents,
            segment_size: None,
            src_ip: None,
        };
        let mut cx = Context::from_waker(Waker::noop());
        let _ = self.wire.poll_send(&mut cx, &transmit);
    }
}

impl Handshake {
    /// Sees a datagram leave.
    pub(super) fn sending(&self, datagram: &[u8], way: impl FnOnce() -> Way) {
        if self.0.over.load(Ordering::Relaxed)
            || !self.flights().sending(Instant::now(), datagram, way)
        {
            return;
        }
        let mut task = self.0.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(|task| task.is_finished()) {
            // It holds no reference while it sleeps, so it does not outlive the connection.
            let shared = Arc::downgrade(&self.0);
            *task = Some(AbortOnDropHandle::new(tokio::spawn(async move {
                while let Some(due) = shared.upgrade().and_then(|shared| Self(shared).repeat()) {
                    sleep_until(due.into()).await;
                }
            })));
        }
    }

    /// Sees a datagram arrive from an address that may send more than STUN.
    pub(super) fn received(&self, datagram: &[u8]) {
        if !self.0.over.load(Ordering::Relaxed) && self.flights().received(datagram) {
            self.0.over.store(true, Ordering::Relaxed);
        }
    }

    /// Repeats what is due, and says when to come again.
    fn repeat(&self) -> Option<Instant> {
        let mut flights = self.flights();
        for (way, datagram) in flights.due(Instant::now()) {
            way.send(datagram);
        }
        flights.next
    }

    fn flights(&self) -> MutexGuard<'_, Flights<Way>> {
        self.0
            .flights
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was sent last, and whether it was answered.
#[derive(Debug)]
struct Flights<W> {
    datagrams: Vec<(W, Vec<u8>)>,
    sent: Option<Instant>,
    /// Something of the handshake came since then: what is sent next is another flight.
    answered: bool,
    is_client: bool,
    repeats: u32,
    next: Option<Instant>,
}

impl<W> Default for Flights<W> {
    fn default() -> Self {
        Self {
            datagrams: Vec::new(),
            sent: None,
            answered: false,
            is_client: false,
            repeats: 0,
            next: None,
        }
    }
}

impl<W> Flights<W> {
    /// Whether this begins a wait.
    fn sending(&mut self, now: Instant, datagram: &[u8], way: impl FnOnce() -> W) -> bool {
        let seen = Seen::of(datagram);
        if !seen.handshake {
            return false;
        }
        let repeated = self.sent.is_some_and(|sent| now - sent > TOGETHER);
        if self.answered || repeated {
            self.datagrams.clear();
            // The engine's own repetition does not begin the wait anew.
            self.repeats = if self.answered { 0 } else { self.repeats };
        }
        self.answered = false;
        self.is_client |= seen.client_hello;
        self.sent = Some(now);
        // overflow: not repeated here; the engine repeats it.
        if self.datagrams.len() < MOST_DATAGRAMS {
            self.datagrams.push((way(), datagram.to_vec()));
        }
        self.wait(now);
        true
    }

    /// Whether that was the end.
    fn received(&mut self, datagram: &[u8]) -> bool {
        let seen = Seen::of(datagram);
        self.answered |= seen.handshake;
        // The server's last flight ends it for the client, whose data end it for the server.
        let over = seen.other || seen.encrypted_handshake && self.is_client;
        if over {
            *self = Self::default();
        }
        over
    }

    /// What must be sent again now.
    fn due(&mut self, now: Instant) -> &[(W, Vec<u8>)] {
        if self.next.is_none_or(|next| now < next) {
            return &[];
        }
        self.repeats += 1;
        self.wait(now);
        &self.datagrams
    }

    fn wait(&mut self, now: Instant) {
        self.next = (self.repeats < REPEATS).then(|| now + FIRST * (1 << self.repeats));
    }
}

/// What is in a datagram.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    handshake: bool,
    client_hello: bool,
    encrypted_handshake: bool,
    /// Application data, or an alert.
    other: bool,
}

impl Seen {
    fn of(datagram: &[u8]) -> Self {
        let mut seen = Self::default();
        let mut rest = unwrapped(datagram);
        while let Some((header, body)) = rest.split_at_checked(RECORD_HEADER) {
            let encrypted = header[3..5] != [0, 0];
            match header[0] {
                CHANGE_CIPHER_SPEC => seen.handshake = true,
                HANDSHAKE => {
                    seen.handshake = true;
                    seen.encrypted_handshake |= encrypted;
                    seen.client_hello |= !encrypted && body.first() == Some(&CLIENT_HELLO);
                }
                ALERT | APPLICATION_DATA => seen.other = true,
                _ => break,
            }
            let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
            rest = body.get(length..).unwrap_or_default();
        }
        seen
    }
}

/// What a TURN server passes on, or has to; anything else is as it is.
fn unwrapped(datagram: &[u8]) -> &[u8] {
    match datagram {
        [first, _, _, _, data @ ..] if CHANNELS.contains(first) => data,
        [a, b, ..] if INDICATIONS.contains(&[*a, *b]) => {
            let mut rest = datagram.get(20..).unwrap_or_default();
            while let Some((header, value)) = rest.split_at_checked(4) {
                let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
                if u16::from_be_bytes([header[0], header[1]]) == DATA {
                    return value.get(..length).unwrap_or_default();
                }
                rest = value.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
            &[]
        }
        _ => datagram,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(content_type: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
        let mut record = vec![content_type, 254, 253, 0, epoch, 0, 0, 0, 0, 0, 7, 0];
        record.push(body.len() as u8);
        record.extend(body);
        record
    }

    fn hello() -> Vec<u8> {
        record(HANDSHAKE, 0, &[CLIENT_HELLO, 0, 0])
    }

    /// A key exchange, the change of ciphers and the encrypted end.
    fn last_flight() -> Vec<u8> {
        let parts = [
            record(HANDSHAKE, 0, &[16, 0]),
            record(CHANGE_CIPHER_SPEC, 0, &[1]),
            record(HANDSHAKE, 1, &[9; 30]),
        ];
        parts.concat()
    }

    fn repeated(flights: &mut Flights<()>, now: Instant) -> Vec<Vec<u8>> {
        let due = flights.due(now).iter();
        due.map(|(_, datagram)| datagram.clone()).collect()
    }

    #[test]
    fn a_flight_is_repeated_less_and_less_often_until_it_is_given_up() {
        let begin = Instant::now();
        let mut flights = Flights::default();
        assert!(flights.sending(begin, &hello(), || ()));
        let mut times = Vec::new();
        for ms in 0..10_000 {
            let now = begin + Duration::from_millis(ms);
            if !repeated(&mut flights, now).is_empty() {
                times.push(ms);
            }
        }
        assert_eq!(times, [100, 300, 700, 1500, 3100, 6300]);
    }

    #[test]
    fn what_leaves_after_an_answer_is_another_flight() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut flights = Flights::default();
        flights.sending(at(0), &hello(), || ());
        flights.received(&record(HANDSHAKE, 0, &[3]));
        let second = [&hello()[..], b""].concat();
        flights.sending(at(10), &second, || ());
        flights.sending(at(10), &last_flight(), || ());
        assert_eq!(repeated(&mut flights, at(110)), [second, last_flight()]);
    }

    #[test]
    fn the_engines_own_repetition_takes_the_place_of_what_it_repeats() {
        let begin = Instant::now();
        let mut flights = Flights::default();
        flights.sending(begin, &hello(), || ());
        let now = begin + Duration::from_secs(1);
        flights.due(now);
        let again = record(HANDSHAKE, 0, &[CLIENT_HELLO, 1]);
        flights.sending(now, &again, || ());
        assert_eq!(repeated(&mut flights, now + FIRST), Vec::<Vec<u8>>::new());
        assert_eq!(repeated(&mut flights, now + 2 * FIRST), [again]);
    }

    #[test]
    fn a_client_is_done_with_the_servers_last_flight_and_a_server_with_the_first_data() {
        let now = Instant::now();
        for (first, ends) in [
            (hello(), [true, true, true]),
            (record(HANDSHAKE, 0, &[2]), [false, true, true]),
        ] {
            let got = [
                last_flight(),
                record(APPLICATION_DATA, 1, &[0]),
                record(ALERT, 0, &[0]),
            ];
            for (datagram, ends) in got.iter().zip(ends) {
                let mut flights = Flights::default();
                flights.sending(now, &first, || ());
                assert_eq!(
                    flights.received(datagram),
                    ends,
                    "{datagram:?} after {first:?}"
                );
                assert_eq!(repeated(&mut flights, now + FIRST).is_empty(), ends);
            }
        }
    }

    #[test]
    fn what_a_turn_server_carries_is_seen_too() {
        let inner = last_flight();
        let length = (inner.len() as u16).to_be_bytes();
        let channel = [&[0x40, 1], &length[..], &inner].concat();
        let mut indication = vec![0; 20];
        indication[..2].copy_from_slice(&INDICATIONS[0]);
        indication.extend([0, 0x12, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0x13]);
        indication.extend(length);
        indication.extend(&inner);
        for datagram in [&inner, &channel, &indication] {
            assert!(Seen::of(datagram).encrypted_handshake, "{datagram:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn anything_may_arrive(datagrams in proptest::collection::vec(proptest::collection::vec(0u8.., 0..80), 0..20)) {
            let now = Instant::now();
            let mut flights = Flights::default();
            for datagram in &datagrams {
                flights.sending(now, datagram, || ());
                proptest::prop_assert!(flights.datagrams.len() <= MOST_DATAGRAMS);
                flights.received(datagram);
            }
        }
    }
}
