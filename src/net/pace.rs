//! How many datagrams leave at a time, and how fast, if it is for a browser or a relay.
//!
//! Chromium's sockets hold 56 of our packets. The engine's SCTP loses more than that in its first
//! seconds, because its slow start ends at the first loss only, and recovers badly: what fast
//! retransmission does not mend waits for a timeout of 1 s or more, after which it repeats its whole window
//! at once, whatever its congestion window says, and every further timeout is twice as long. 3 MiB to a
//! tab on the same machine took 1 s, sometimes 15 s, and take 0.25 s when they are spread over time. Native
//! peers have buffers of megabytes and need none of this.
//!
//! The sockets of TURN servers hold little too, unless it is ours: coturn leaves them as large as the system makes them, 90 of our
//! packets. 1 MiB through it took 3 to 28 s, whichever way it is reached, since it sends what comes in a stream to a socket of its own.

use super::fine_timer::FineTimer;
use super::socket::MAX_BATCH;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

/// Bytes a second to a browser. A tab on a machine with two cores takes in half of it.
const BROWSER_RATE: f64 = 64.0 * 1024.0 * 1024.0;

/// Bytes a second to a relay. 64 MiB through coturn took 3.7 to 3.9 s, on the same machine; at the rate for browsers 2.2
/// to 66 s, over TCP 16 to 38 s.
const RELAY_RATE: f64 = 16.0 * 1024.0 * 1024.0;

/// Bytes that may leave at once, and then one batch: 21 packets, less than half of what Chromium's socket
/// holds.
const BURST: f64 = 16.0 * 1024.0;

/// Bytes in one batch, and at least one datagram: several batches make a burst.
const BATCH: usize = 10 * 1024;

/// ChannelData on its way to a TURN server (RFC 8656 section 12.4).
const CHANNEL_DATA: std::ops::Range<u8> = 0x40..0x50;

/// Relayed addresses of the peer that are known; the engine tries no more candidates either.
const MOST_RELAYS: usize = 64;

/// Which datagrams of a connection's sockets keep the pace; its session knows the peer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pacing(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    browser: AtomicBool,
    /// So that those who have none of these relays pay one comparison and no lock.
    relays_known: AtomicBool,
    relays: Mutex<Vec<SocketAddr>>,
}

impl Pacing {
    /// The peer is a browser.
    pub(crate) fn start(&self) {
        self.0.browser.store(true, Ordering::Relaxed);
    }

    /// The peer can be reached at this address of a TURN server.
    pub(crate) fn relay(&self, address: SocketAddr) {
        let mut relays = self.relays();
        if !relays.contains(&address) && relays.len() < MOST_RELAYS {
            relays.push(address);
            self.0.relays_known.store(true, Ordering::Relaxed);
        }
    }

    fn is_to_browser(&self) -> bool {
        self.0.browser.load(Ordering::Relaxed)
    }

    /// For whom these datagrams have to keep the pace.
    fn taker(&self, transmit: &Transmit<'_>) -> Option<Taker> {
        let relays_known = || self.0.relays_known.load(Ordering::Relaxed);
        match transmit.contents.first() {
            // STUN keeps the path alive.
            None | Some(0..4) => None,
            Some(first) if CHANNEL_DATA.contains(first) => Some(Taker::Relay),
            _ if relays_known() && self.is_relay(transmit.destination) => Some(Taker::Relay),
            _ => self.is_to_browser().then_some(Taker::Browser),
        }
    }

    /// Whether the peer named this address as one of a TURN server's.
    pub(crate) fn is_relay(&self, address: SocketAddr) -> bool {
        self.relays().contains(&address)
    }

    fn relays(&self) -> MutexGuard<'_, Vec<SocketAddr>> {
        self.0.relays.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who takes in less than we can send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taker {
    Browser,
    Relay,
}

/// A socket that keeps the pace, if it has to.
#[derive(Debug)]
pub(super) struct PacedSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    pacing: Pacing,
    /// The last datagrams kept the pace, so that the next come in small batches.
    is_pacing: AtomicBool,
    /// The longest datagram that left; those of STUN are short.
    longest: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    browser: Pace,
    relay: Pace,
    timer: FineTimer,
}

impl State {
    fn pace(&mut self, taker: Taker) -> &mut Pace {
        match taker {
            Taker::Browser => &mut self.browser,
            Taker::Relay => &mut self.relay,
        }
    }
}

impl PacedSocket {
    pub(super) fn new(inner: Arc<dyn AsyncUdpSocket>, pacing: Pacing) -> Self {
        let now = Instant::now();
        let state = State {
            browser: Pace::new(now, BROWSER_RATE, BURST),
            relay: Pace::new(now, RELAY_RATE, BURST),
            timer: FineTimer::default(),
        };
        Self {
            inner,
            pacing,
            is_pacing: AtomicBool::new(false),
            longest: AtomicUsize::new(1),
            state: Mutex::new(state),
        }
    }
}

impl AsyncUdpSocket for PacedSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let taker = self.pacing.taker(transmit);
        let longest = transmit.segment_size.unwrap_or(transmit.contents.len());
        self.longest.fetch_max(longest, Ordering::Relaxed);
        if transmit.segment_size.is_some() || taker.is_some() {
            self.is_pacing.store(taker.is_some(), Ordering::Relaxed);
        }
        let Some(taker) = taker else {
            return self.inner.poll_send(cx, transmit);
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        ready!(state.timer.poll(cx));
        let wait = state.pace(taker).wait(Instant::now());
        if !wait.is_zero() {
            state.timer.start(wait);
            ready!(state.timer.poll(cx));
        }
        let sent = ready!(self.inner.poll_send(cx, transmit));
        state.pace(taker).sent(transmit.contents.len());
        Poll::Ready(sent)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_recv(cx, bufs, meta)
    }

    /// The engine joins no fewer than this, unless it is more than 16: of the largest records only four fit.
    fn max_gso_segments(&self) -> usize {
        let paces = self.is_pacing.load(Ordering::Relaxed) || self.pacing.is_to_browser();
        let bytes = if paces { BATCH } else { MAX_BATCH };
        let fit = bytes / self.longest.load(Ordering::Relaxed);
        self.inner.max_gso_segments().min(fit.max(1))
    }

    fn max_gro_segments(&self) -> usize {
        self.inner.max_gro_segments()
    }
}

/// A token bucket that may go into debt by one batch.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes a second, and those that may leave at once.
    rate: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant, rate: f64, burst: f64) -> Self {
        Self {
            rate,
            burst,
            tokens: burst,
            at: now,
        }
    }

    /// From now on at another rate.
    pub(super) fn set(&mut self, now: Instant, rate: f64, burst: f64) {
        self.fill(now);
        (self.rate, self.burst) = (rate, burst);
    }

    /// How long the next batch has to wait; zero if it may leave now.
    pub(super) fn wait(&mut self, now: Instant) -> Duration {
        self.fill(now);
        if self.tokens > 0.0 {
            return Duration::ZERO;
        }
        // One byte more, so that the answer is not zero again.
        Duration::from_secs_f64((1.0 - self.tokens) / self.rate)
    }

    /// A batch of so many bytes left.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.tokens -= bytes as f64;
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at);
        self.at = now.max(self.at);
        self.tokens = self
            .burst
            .min(self.tokens + passed.as_secs_f64() * self.rate);
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::Packets;
    use super::*;

    #[test]
    fn a_long_burst_leaves_at_the_rate_and_a_pause_saves_up_no_more_than_a_burst() {
        let start = Instant::now();
        let mut now = start;
        let mut pace = Pace::new(now, BROWSER_RATE, BURST);
        let mut send_all = |now: &mut Instant, batches: usize| {
            for _ in 0..batches {
                *now += pace.wait(*now);
                assert_eq!(pace.wait(*now), Duration::ZERO);
                pace.sent(10_000);
            }
        };
        send_all(&mut now, 2);
        assert_eq!(now, start, "a burst leaves at once");
        send_all(&mut now, 1000);
        let rate = 10_000_000.0 / (now - start).as_secs_f64();
        assert!(
            (BROWSER_RATE * 0.95..BROWSER_RATE * 1.05).contains(&rate),
            "{rate}"
        );

        now += Duration::from_secs(60);
        let rested = now;
        send_all(&mut now, 100);
        assert!(
            (now - rested).as_secs_f64() > (1_000_000.0 - BURST - 20_000.0) / BROWSER_RATE * 0.99
        );
    }

    #[test]
    fn browsers_and_relays_are_waited_for_and_nothing_else() {
        let [peer, relay] = [1, 2].map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
        let transmit = |first, destination| Transmit {
            destination,
            ecn: None,
            contents: match first {
                0 => &[0, 1],
                0x40 => &[0x40, 1],
                _ => &[23, 1],
            },
            segment_size: None,
            src_ip: None,
        };
        let pacing = Pacing::default();
        pacing.relay(relay);
        let cases = [(0, relay), (0x40, peer), (23, relay), (23, peer), (0, peer)];
        let takers = || cases.map(|(first, to)| pacing.taker(&transmit(first, to)));
        let relayed = Some(Taker::Relay);
        assert_eq!(takers(), [None, relayed, relayed, None, None]);
        pacing.start();
        let browser = Some(Taker::Browser);
        assert_eq!(takers(), [None, relayed, relayed, browser, None]);
    }

    /// Takes everything.
    #[derive(Debug)]
    struct Wire;

    impl AsyncUdpSocket for Wire {
        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(SocketAddr::from(([127, 0, 0, 1], 9)))
        }

        fn poll_send(&self, _: &mut Context<'_>, batch: &Transmit<'_>) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(batch.contents.len()))
        }

        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            _: &mut [IoSliceMut<'_>],
            _: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn max_gso_segments(&self) -> usize {
            64
        }
    }

    #[test]
    fn as_many_are_joined_as_fit_into_one_call_or_into_a_batch() {
        let largest = usize::from(Packets::LARGEST.size);
        for (to_browser, datagrams) in [
            (
                false,
                [
                    (40, None, 64),
                    (1228, None, 53),
                    (65_507, Some(1472), 44),
                    (largest, None, 4),
                    (40, None, 4),
                    (65_507, None, 1),
                ]
                .as_slice(),
            ),
            (
                true,
                &[(1228, None, 8), (9830, Some(1228), 8), (largest, None, 1)],
            ),
        ] {
            let pacing = Pacing::default();
            if to_browser {
                pacing.start();
            }
            let socket = PacedSocket::new(Arc::new(Wire), pacing);
            for (length, segment_size, most) in datagrams.iter().copied() {
                let transmit = Transmit {
                    destination: SocketAddr::from(([127, 0, 0, 1], 9)),
                    ecn: None,
                    contents: &vec![23; length],
                    segment_size,
                    src_ip: None,
                };
                let mut cx = Context::from_waker(std::task::Waker::noop());
                let sent = socket.poll_send(&mut cx, &transmit);
                assert!(sent.is_ready(), "two batches and one more leave at once");
                assert_eq!(socket.max_gso_segments(), most, "{length} {segment_size:?}");
            }
        }
    }

    #[test]
    fn a_clock_that_stands_still_is_no_reason_to_panic() {
        let now = Instant::now();
        let mut pace = Pace::new(now + Duration::from_secs(1), BROWSER_RATE, BURST);
        pace.sent(usize::MAX);
        assert!(pace.wait(now) > Duration::from_secs(1));
    }
}
