//! Sends probes on the path that a connection uses, answers the peer's, and tells what was found.
//!
//! The sockets of a connection share one [`Prober`]. It learns the path from the DTLS records that pass,
//! so it never probes through a TURN server, whose traffic looks different.

use super::probe::{self, Message, ProbeKey};
use super::search::{Search, Step};
use super::watch::{Verdict, Watch};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout_at};
use webrtc::runtime::{AsyncUdpSocket, Transmit};

/// A way out of one of the engine's sockets that does not touch its readiness: Tokio wakes only whoever
/// asked last, so a probe must never ask.
#[derive(Debug)]
pub(in crate::net) enum Outlet {
    /// A second handle of the socket, which does not block.
    Real(std::net::UdpSocket),
    /// An emulated link, which always takes a datagram at once.
    Emulated(Arc<dyn AsyncUdpSocket>),
}

impl Outlet {
    /// What cannot be sent now, or at all because the interface is too small, is lost.
    pub(in crate::net) fn send(&self, contents: &[u8], destination: SocketAddr) {
        match self {
            Self::Real(socket) => drop(socket.send_to(contents, destination)),
            Self::Emulated(socket) => {
                let transmit = Transmit {
                    destination,
                    ecn: None,
                    contents,
                    segment_size: None,
                    src_ip: None,
                };
                let _ = socket.poll_send(&mut Context::from_waker(Waker::noop()), &transmit);
            }
        }
    }
}

/// Answers that wait for whoever probes. More than a search or a watch ever has out; more are repeats.
const ANSWERS: usize = 64;

/// More round trips that are looked at before a path is taken to be long; and from where on there is no doubt.
const LOOKS: u32 = 4;
const SURELY: Duration = Duration::from_millis(20);

/// The small probe of a watch.
const SMALL: u16 = probe::LENGTH as u16;

/// What all sockets of one connection share. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Prober(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    key: OnceLock<ProbeKey>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    path: Option<Route>,
    answers: Option<mpsc::Sender<(u64, u16)>>,
}

/// Where the connection's records go.
#[derive(Debug, Clone)]
struct Route {
    outlet: Arc<Outlet>,
    destination: SocketAddr,
}

/// How a watch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watched {
    /// The size gets through.
    Carried,
    /// It does not, while less does.
    Swallowed,
}

impl Prober {
    /// From now on probes with this key are answered.
    pub(crate) fn start(&self, key: ProbeKey) {
        let _ = self.0.key.set(key);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where DTLS records went last, unless that was through a TURN server of ours.
    pub(crate) fn destination(&self) -> Option<SocketAddr> {
        self.state().path.as_ref().map(|route| route.destination)
    }

    /// DTLS records leave through `outlet`.
    pub(in crate::net) fn sending(&self, outlet: &Arc<Outlet>, destination: SocketAddr) {
        let mut state = self.state();
        let known = state.path.as_ref().is_some_and(|route| {
            route.destination == destination && Arc::ptr_eq(&route.outlet, outlet)
        });
        if !known {
            state.path = Some(Route {
                outlet: outlet.clone(),
                destination,
            });
        }
    }

    /// Takes probes and answers out of a received buffer of datagrams of `stride` bytes, the last of
    /// which may be shorter; returns the length of what is left of it.
    pub(in crate::net) fn received(
        &self,
        outlet: &Outlet,
        buffer: &mut [u8],
        stride: usize,
        source: SocketAddr,
    ) -> usize {
        let Some(key) = self.0.key.get() else {
            return buffer.len();
        };
        let stride = stride.max(1);
        if !buffer.chunks(stride).any(probe::is_marked) {
            return buffer.len();
        }
        let (mut read, mut kept) = (0, 0);
        while read < buffer.len() {
            let end = buffer.len().min(read + stride);
            if probe::is_marked(&buffer[read..end]) {
                match Message::decode(&buffer[read..end], key) {
                    Some(Message::Probe { id, size }) => {
                        outlet.send(&Message::Answer { id, size }.encode(key), source);
                    }
                    Some(Message::Answer { id, size }) => {
                        if let Some(answers) = &self.state().answers {
                            // overflow: dropped; the next probe's answer says the same.
                            let _ = answers.try_send((id, size));
                        }
                    }
                    None => {}
                }
            } else {
                buffer.copy_within(read..end, kept);
                kept += end - read;
            }
            read = end;
        }
        kept
    }

    /// The largest datagram up to `limit` that the path carries, and the shortest round trip; `None` if that is
    /// not known: no path of our own, no key, or no answer.
    pub(crate) async fn search(&self, limit: u16) -> Option<(u16, Duration)> {
        let mut answers = self.listen();
        // Answers of an earlier search or watch have other ids.
        let first: u64 = rand::random();
        let mut search = Search::new(Instant::now(), limit);
        let (mut sent, mut soonest) = (Vec::new(), Duration::MAX);
        loop {
            let until = match search.step(Instant::now()) {
                Step::Done(size) => return size.map(|size| (size, soonest)),
                Step::Wait(until) => until,
                Step::Probe(sizes, until) => {
                    let attempt = (sent.len() as u64) << u16::BITS;
                    sent.push(Instant::now());
                    for size in sizes {
                        self.send(first.wrapping_add(attempt | u64::from(size)), size)?;
                    }
                    until
                }
            };
            if let Ok(Some((id, size))) = timeout_at(until.into(), answers.recv()).await
                && let probe = id.wrapping_sub(first)
                && probe as u16 == size
                && let Some(sent) = sent.get((probe >> u16::BITS) as usize)
            {
                let round_trip = sent.elapsed();
                soonest = soonest.min(round_trip);
                search.answered(Instant::now(), size, round_trip);
            }
        }
    }

    /// Whether a round trip takes `long`; `None` as of [`search`](Self::search). One that seems to is looked at again,
    /// unless there is no doubt: it may have had to wait for a busy machine.
    pub(crate) async fn takes(&self, long: Duration) -> Option<bool> {
        let (_, mut shortest) = self.search(super::BASE).await?;
        for _ in 0..LOOKS {
            if !(long..SURELY).contains(&shortest) {
                break;
            }
            // A path that loses probes is not worth more of them.
            let Some((_, again)) = self.search(super::BASE).await else {
                break;
            };
            shortest = shortest.min(again);
        }
        Some(shortest >= long)
    }

    /// Waits until datagrams of this size are known to get through.
    pub(crate) async fn prove(&self, size: u16) -> Watched {
        self.watch(size, |verdict| verdict != Verdict::Unknown)
            .await
    }

    /// Waits until datagrams of this size get through no longer, though smaller ones do.
    pub(crate) async fn fails(&self, size: u16) {
        self.watch(size, |verdict| verdict == Verdict::Swallowed)
            .await;
    }

    async fn watch(&self, size: u16, ends: fn(Verdict) -> bool) -> Watched {
        let mut answers = self.listen();
        let first: u64 = rand::random();
        let mut watch = Watch::new(Instant::now());
        loop {
            match watch.verdict() {
                verdict if !ends(verdict) => {}
                Verdict::Carried => return Watched::Carried,
                Verdict::Swallowed | Verdict::Unknown => return Watched::Swallowed,
            }
            if let Some(number) = watch.begin(Instant::now()) {
                for size in [size, SMALL] {
                    let _ = self.send(first.wrapping_add(number), size);
                }
            }
            tokio::select! {
                answer = answers.recv() => match answer {
                    Some((id, answered)) => {
                        watch.answered(id.wrapping_sub(first), answered == size);
                    }
                    // Another search or watch has taken over.
                    None => std::future::pending().await,
                },
                () = sleep_until(watch.due().into()) => {}
            }
        }
    }

    fn listen(&self) -> mpsc::Receiver<(u64, u16)> {
        let (sender, answers) = mpsc::channel(ANSWERS);
        self.state().answers = Some(sender);
        answers
    }

    /// Sends a probe if there is a path and a key.
    fn send(&self, id: u64, size: u16) -> Option<()> {
        let key = self.0.key.get()?;
        let route = self.state().path.clone()?;
        route
            .outlet
            .send(&Message::Probe { id, size }.encode(key), route.destination);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UdpSocket;

    const LONG: Duration = Duration::from_millis(5);

    fn socket() -> (UdpSocket, Outlet) {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let outlet = Outlet::Real(socket.try_clone().unwrap());
        (UdpSocket::from_std(socket).unwrap(), outlet)
    }

    /// Answers, or takes answers in, the next of them so late.
    async fn serve(prober: Prober, socket: &UdpSocket, outlet: &Outlet, late: &[Duration]) {
        let mut late = late.iter();
        let mut buffer = vec![0; 2000];
        loop {
            let (length, source) = socket.recv_from(&mut buffer).await.unwrap();
            tokio::time::sleep(late.next().copied().unwrap_or_default()).await;
            let left = prober.received(outlet, &mut buffer[..length], length, source);
            assert_eq!(left, 0, "only probes and answers");
        }
    }

    /// Two ends, of which one answers its first probes so late.
    async fn takes_long(late: &[Duration]) -> bool {
        let key = ProbeKey::new(b"ours", b"theirs");
        let [near, far] = [(); 2].map(|()| Prober::default());
        near.start(key.clone());
        far.start(key);
        let ((ours, our_outlet), (theirs, their_outlet)) = (socket(), socket());
        let our_outlet = Arc::new(our_outlet);
        near.sending(&our_outlet, theirs.local_addr().unwrap());
        tokio::select! {
            () = serve(near.clone(), &ours, &our_outlet, &[]) => unreachable!(),
            () = serve(far, &theirs, &their_outlet, late) => unreachable!(),
            long = near.takes(LONG) => long.expect("it answers"),
        }
    }

    #[tokio::test]
    async fn one_late_answer_makes_no_long_path() {
        let slow = Duration::from_millis(9);
        assert!(!takes_long(&[]).await);
        assert!(!takes_long(&[slow, slow]).await);
        assert!(takes_long(&[slow; 9]).await);
        assert!(takes_long(&[SURELY]).await, "it is not asked again");
    }
}
