//! Repeats what sets up a connection and may have been lost: the flights of the DTLS handshake, and the first data
//! after it.
//!
//! RFC 6347 section 4.2.4 has each side repeat its last flight when the timer expires, or when the other side
//! repeats the flight before it. The engine (rtc-dtls 0.21.1) drops its timer at the first datagram that does
//! not complete the next flight, and repeats nothing once it has finished: one lost datagram of the last two
//! flights ended three in a hundred sessions at 3 % loss. So the datagrams of the last flight are kept here and
//! sent again, sooner than the second after which the engine would, and when the other side repeats its own: what arrives twice is
//! dropped as a replay. They leave where they left before, and to where the peer was heard from last: its address may have changed.
//!
//! What comes next is SCTP's own handshake, the first channel and what the sides say of themselves on it, each of which waits for the
//! one before. SCTP repeats its handshake after 1 s, 2 s and so on (RFC 9260 section 16) and single messages after at least 1 s: one in
//! twelve sessions with two peers did not come up within 15 s at 5 % loss. So each of these datagrams leaves three times, and more often
//! while the other side has not said who it is.

mod flights;
#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
mod opening;
mod record;

use self::flights::{Arrived, Flights};
use self::opening::Opening;
use self::record::{Seen, unwrapped};

use super::packet::Outlet;
use super::set_up::SetUp;
use super::turn::is_stream;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Instant;
use tokio::time::sleep_until;
use tokio_util::task::AbortOnDropHandle;
use webrtc::runtime::{AsyncUdpSocket, Transmit};

/// The handshake of one connection, whose sockets share it.
#[derive(Debug, Clone)]
pub(super) struct Handshake(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    set_up: SetUp,
    /// So that bulk traffic pays one comparison and no lock.
    over: AtomicBool,
    repeats: Mutex<Repeats>,
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

#[derive(Debug, Default)]
struct Repeats {
    flights: Flights<Way>,
    opening: Opening<Way>,
    /// On which the peer was heard from last.
    heard: Option<Way>,
    /// The handshake is over.
    opened: bool,
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

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.outlet, &other.outlet) && self.destination == other.destination
    }
}

impl Handshake {
    pub(super) fn new(set_up: SetUp) -> Self {
        Self(Arc::new(Shared {
            set_up,
            over: AtomicBool::default(),
            repeats: Mutex::default(),
            task: Mutex::default(),
        }))
    }

    /// We answer a check of the peer's, which was there to ask.
    pub(super) fn heard(&self, way: impl FnOnce() -> Way) {
        if !self.0.over.load(Ordering::Relaxed) {
            self.repeats().heard = Some(way());
        }
    }

    /// Sees a datagram leave.
    pub(super) fn sending(&self, datagram: &[u8], way: impl FnOnce() -> Way) {
        if self.0.over.load(Ordering::Relaxed) || !self.repeats().sending(datagram, way) {
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
        if !self.0.over.load(Ordering::Relaxed) && self.repeats().received(datagram) {
            self.0.over.store(true, Ordering::Relaxed);
        }
    }

    /// Repeats what is due, and says when to come again.
    fn repeat(&self) -> Option<Instant> {
        self.repeats()
            .repeat(Instant::now(), self.0.set_up.is_finished())
    }

    fn repeats(&self) -> MutexGuard<'_, Repeats> {
        self.0
            .repeats
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn send_again(datagrams: &[(Way, Vec<u8>)], heard: Option<&Way>) {
    for (way, datagram) in datagrams {
        way.send(datagram);
        if let Some(other) = heard.filter(|heard| !heard.is(way)) {
            other.send(unwrapped(datagram));
        }
    }
}

impl Repeats {
    /// Whether this has to be repeated.
    fn sending(&mut self, datagram: &[u8], way: impl FnOnce() -> Way) -> bool {
        let seen = Seen::of(datagram);
        if seen.handshake {
            self.flights.sending(Instant::now(), seen, datagram, way);
            return true;
        }
        seen.application_data && self.opening.sending(Instant::now(), datagram, way)
    }

    /// Whether nothing that comes later matters here.
    fn received(&mut self, datagram: &[u8]) -> bool {
        match self.flights.received(Instant::now(), Seen::of(datagram)) {
            Arrived::Over => self.opened = true,
            Arrived::Repeated(datagrams) => send_again(datagrams, self.heard.as_ref()),
            Arrived::Seen => {}
        }
        let over = self.opened && self.opening.is_over();
        if over {
            self.heard = None;
        }
        over
    }

    fn repeat(&mut self, now: Instant, is_set_up: bool) -> Option<Instant> {
        send_again(self.flights.due(now), self.heard.as_ref());
        self.opening.due(now, is_set_up, Way::send);
        self.flights
            .next
            .into_iter()
            .chain(self.opening.next())
            .min()
    }
}
