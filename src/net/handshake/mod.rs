//! Repeats what sets up a connection and may have been lost: the flights of the DTLS handshake, and the first data
//! after it.
//!
//! RFC 6347 section 4.2.4 has each side repeat its last flight when the timer expires, or when the other side
//! repeats the flight before it. The engine (rtc-dtls 0.21.1) drops its timer at the first datagram that does
//! not complete the next flight, and answers what is repeated only once it has finished: one lost datagram of the last two
//! flights ended three in a hundred sessions at 3 % loss. So the datagrams of the last flight are kept here and
//! sent again, sooner than the second after which the engine would, and when the other side repeats its own: what arrives twice is
//! dropped as a replay. They leave where they left before, and to where the peer was met last, which may be elsewhere after an ICE restart (but no relay of ours).
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
use super::turn::{Servers, is_stream};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
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
    servers: Arc<Servers>,
    /// So that bulk traffic pays one comparison and no lock.
    over: AtomicBool,
    repeats: Mutex<Repeats>,
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

#[derive(Debug, Default)]
struct Repeats {
    flights: Flights<Way>,
    opening: Opening<Way>,
    /// On which the peer was met last.
    met: Option<Way>,
    /// The handshake is over.
    opened: bool,
    /// A task waits for what is due next.
    is_awaited: bool,
}

/// Out of a socket to an address. It keeps no socket that the engine has given up, as those have streams to TURN servers.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) outlet: Weak<Outlet>,
    pub(super) wire: Weak<dyn AsyncUdpSocket>,
    pub(super) destination: SocketAddr,
}

impl Way {
    fn send(&self, contents: &[u8]) {
        let (Some(outlet), Some(wire)) = (self.outlet.upgrade(), self.wire.upgrade()) else {
            return;
        };
        if !is_stream(self.destination) {
            return outlet.send(contents, self.destination);
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
        let _ = wire.poll_send(&mut cx, &transmit);
    }

    fn is(&self, other: &Self) -> bool {
        Weak::ptr_eq(&self.outlet, &other.outlet) && self.destination == other.destination
    }
}

impl Handshake {
    pub(super) fn new(set_up: SetUp, servers: Arc<Servers>) -> Self {
        Self(Arc::new(Shared {
            set_up,
            servers,
            over: AtomicBool::default(),
            repeats: Mutex::default(),
            task: Mutex::default(),
        }))
    }

    /// The peer answered a check of ours there, and we one of its own.
    pub(super) fn met(&self, way: impl FnOnce() -> Way) {
        if !self.0.over.load(Ordering::Relaxed) {
            self.repeats().met = Some(way());
        }
    }

    /// Sees a datagram leave.
    pub(super) fn sending(&self, datagram: &[u8], way: impl FnOnce() -> Way) {
        if self.0.over.load(Ordering::Relaxed) || !self.repeats().sending(datagram, way) {
            return;
        }
        // It holds no reference while it sleeps, so it does not outlive the connection.
        let shared = Arc::downgrade(&self.0);
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            while let Some(due) = shared.upgrade().and_then(|shared| Self(shared).repeat()) {
                sleep_until(due.into()).await;
            }
        }));
        *self.0.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    /// Sees a datagram arrive from an address that may send more than STUN.
    pub(super) fn received(&self, datagram: &[u8]) {
        if !self.0.over.load(Ordering::Relaxed)
            && self.repeats().received(datagram, &self.0.servers)
        {
            self.0.over.store(true, Ordering::Relaxed);
        }
    }

    /// Repeats what is due, and says when to come again.
    fn repeat(&self) -> Option<Instant> {
        let is_set_up = self.0.set_up.is_finished();
        self.repeats()
            .repeat(Instant::now(), is_set_up, &self.0.servers)
    }

    fn repeats(&self) -> MutexGuard<'_, Repeats> {
        self.0
            .repeats
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Repeats {
    /// Whether somebody has to begin to wait for what is due.
    fn sending(&mut self, datagram: &[u8], way: impl FnOnce() -> Way) -> bool {
        let seen = Seen::of(datagram);
        if seen.handshake {
            self.flights.sending(Instant::now(), seen, datagram, way);
        } else if seen.application_data {
            self.opening.sending(Instant::now(), datagram, way);
        }
        self.next().is_some() && !std::mem::replace(&mut self.is_awaited, true)
    }

    /// Whether nothing that comes later matters here.
    fn received(&mut self, datagram: &[u8], servers: &Servers) -> bool {
        let seen = Seen::of(datagram);
        match self.flights.received(Instant::now(), seen) {
            Arrived::Over => self.opened = true,
            Arrived::Repeated(datagrams) => send_again(datagrams, self.met.as_ref(), servers),
            Arrived::Seen => {}
        }
        // A connection for nothing but media never sends data.
        let is_open = self.opening.is_over() || seen.media && self.opening.next().is_none();
        let over = self.opened && is_open;
        if over {
            self.met = None;
        }
        over
    }

    fn repeat(&mut self, now: Instant, is_set_up: bool, servers: &Servers) -> Option<Instant> {
        send_again(self.flights.due(now), self.met.as_ref(), servers);
        self.opening.due(now, is_set_up, Way::send);
        let next = self.next();
        self.is_awaited = next.is_some();
        next
    }

    fn next(&self) -> Option<Instant> {
        let (flights, opening) = (self.flights.next, self.opening.next());
        flights.into_iter().chain(opening).min()
    }
}

fn send_again(datagrams: &[(Way, Vec<u8>)], met: Option<&Way>, servers: &Servers) {
    // It may be the peer's relay, of which we were told only after we had met it there.
    let met = met.filter(|met| servers.allows(met.destination));
    for (way, datagram) in datagrams {
        way.send(datagram);
        if let Some(other) = met.filter(|met| !met.is(way)) {
            other.send(unwrapped(datagram));
        }
    }
}
