//! Puts the two ends of a repaired way between the engine and its sockets.

use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::wire::{self, Message, RepairKey};
use crate::net::packet::Outlet;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Instant;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

/// Datagrams after which an acknowledgement leaves though more of them are there to be read.
const ACKNOWLEDGED: u32 = 16;

/// The longest record that cannot hold any data, with AES-GCM: SCTP's header of 12 bytes and an acknowledgement
/// of 16 (RFC 9260 section 3.3.4) in 37 of DTLS. Such a record is cumulative: brought into order it would only
/// be late. With ChaCha20, which takes 8 less, this lets up to four bytes of data go unrepaired.
const ACKNOWLEDGEMENT: usize = 65;

/// What all sockets of one connection share; it does nothing until it is told to. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Repair(Arc<Ends>);

#[derive(Debug, Default)]
struct Ends {
    sender: OnceLock<Sender>,
    receiver: OnceLock<Receiver>,
    /// Records are not numbered, or not any more.
    stopped: AtomicBool,
}

#[derive(Debug)]
struct Sender {
    key: RepairKey,
    state: Arc<Mutex<Sending>>,
    /// There is something to do earlier than the task knows.
    sooner: Arc<Notify>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Sending {
    outgoing: Outgoing,
    route: Option<Route>,
    /// When the task will look by itself.
    armed: Option<Instant>,
    /// The peer has not consented to anything for too long (RFC 7675 section 5.1).
    held: bool,
    datagram: Vec<u8>,
}

#[derive(Debug)]
struct Receiver {
    key: RepairKey,
    /// Something was received: a path that is not repaired pays for no lock.
    started: AtomicBool,
    state: Mutex<Receiving>,
}

#[derive(Debug, Default)]
struct Receiving {
    incoming: Incoming,
    /// Records in order, which the engine takes before it hears of anything new.
    ready: VecDeque<Vec<u8>>,
    route: Option<Route>,
}

#[derive(Debug, Clone)]
struct Route {
    outlet: Arc<Outlet>,
    peer: SocketAddr,
}

/// Where a record came from, its length, and that of each record beside it.
#[derive(Debug)]
pub(in crate::net) struct Ready {
    pub(in crate::net) source: SocketAddr,
    pub(in crate::net) length: usize,
    pub(in crate::net) stride: usize,
}

impl Repair {
    /// From now on records leave numbered and are kept. The peer has said that it takes that.
    pub(crate) fn send(&self, key: RepairKey) {
        let state = Arc::new(Mutex::new(Sending {
            outgoing: Outgoing::new(Instant::now()),
            route: None,
            armed: None,
            held: false,
            datagram: Vec::new(),
        }));
        let sooner = Arc::new(Notify::new());
        let task = tokio::spawn(keep_time(
            Arc::downgrade(&state),
            key.clone(),
            sooner.clone(),
        ));
        let _ = self.0.sender.set(Sender {
            key,
            state,
            sooner,
            _task: AbortOnDropHandle::new(task),
        });
    }

    /// From now on records leave as they are: something is sent for which late is worse than lost.
    pub(crate) fn stop(&self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }

    /// While ICE has lost the path, nothing is sent: neither what waits nor what is to be sent again.
    pub(crate) fn hold(&self, held: bool) {
        if let Some(sender) = self.0.sender.get() {
            lock(&sender.state).held = held;
            sender.sooner.notify_one();
        }
    }

    /// From now on numbered records are acknowledged and brought into order.
    pub(crate) fn receive(&self, key: RepairKey) {
        let _ = self.0.receiver.set(Receiver {
            key,
            started: AtomicBool::new(false),
            state: Mutex::default(),
        });
    }

    /// Takes a batch of records of `segment` bytes, the last of which may be shorter. `false` if they are to leave
    /// as they are.
    pub(in crate::net) fn sending(
        &self,
        batch: &[u8],
        segment: Option<usize>,
        outlet: &Arc<Outlet>,
        destination: SocketAddr,
    ) -> bool {
        let Some(sender) = self.0.sender.get() else {
            return false;
        };
        if batch.len() <= ACKNOWLEDGEMENT || self.0.stopped.load(Ordering::Relaxed) {
            return false;
        }
        let mut state = lock(&sender.state);
        let known = state
            .route
            .as_ref()
            .is_some_and(|route| route.peer == destination && Arc::ptr_eq(&route.outlet, outlet));
        if !known {
            state.route = Some(Route {
                outlet: outlet.clone(),
                peer: destination,
            });
        }
        for record in batch.chunks(segment.unwrap_or(batch.len()).max(1)) {
            // overflow: lost, as in a full queue of a router; SCTP notices.
            if !state.outgoing.push(record) {
                tracing::debug!("no room for another record");
            }
        }
        sender.go_on(&mut state);
        true
    }

    /// Takes what is marked out of a received buffer of datagrams of `stride` bytes, the last of which may be
    /// shorter; returns the length of what is left of it.
    pub(in crate::net) fn received(
        &self,
        outlet: &Arc<Outlet>,
        buffer: &mut [u8],
        stride: usize,
        source: SocketAddr,
    ) -> usize {
        let stride = stride.max(1);
        if !buffer.chunks(stride).any(wire::is_marked) || self.0.is_idle() {
            return buffer.len();
        }
        let (mut read, mut left) = (0, 0);
        while read < buffer.len() {
            let end = buffer.len().min(read + stride);
            if wire::is_marked(&buffer[read..end]) {
                self.0.handle(&buffer[read..end], outlet, source);
            } else {
                buffer.copy_within(read..end, left);
                left += end - read;
            }
            read = end;
        }
        left
    }

    /// Records that are in order, as many of one length as fit.
    pub(in crate::net) fn ready(&self, buffer: &mut [u8]) -> Option<Ready> {
        let mut state = lock(&self.0.started()?.state);
        let stride = state.ready.front()?.len();
        if stride > buffer.len() {
            // Cut off, as the kernel would have.
            state.ready.pop_front();
            return None;
        }
        let mut length = 0;
        while let Some(record) = state.ready.front()
            && record.len() <= stride
            && length + record.len() <= buffer.len()
        {
            buffer[length..length + record.len()].copy_from_slice(record);
            length += record.len();
            let shorter = record.len() < stride;
            state.ready.pop_front();
            if shorter {
                break;
            }
        }
        Some(Ready {
            source: state.route.as_ref()?.peer,
            length,
            stride,
        })
    }

    /// Nothing more is there to be read: what was received is acknowledged.
    pub(in crate::net) fn drained(&self) {
        if let Some(receiver) = self.0.started() {
            lock(&receiver.state).acknowledge(&receiver.key);
        }
    }
}

impl Ends {
    fn is_idle(&self) -> bool {
        self.sender.get().is_none() && self.receiver.get().is_none()
    }

    fn started(&self) -> Option<&Receiver> {
        let receiver = self.receiver.get()?;
        receiver.started.load(Ordering::Relaxed).then_some(receiver)
    }

    /// A marked datagram, dropped if it is not right.
    fn handle(&self, datagram: &[u8], outlet: &Arc<Outlet>, source: SocketAddr) {
        if let Some(sender) = self.sender.get()
            && let Some(Message::Ack(ack)) = wire::decode(datagram, &sender.key)
        {
            let mut state = lock(&sender.state);
            state.outgoing.acknowledged(Instant::now(), &ack);
            sender.go_on(&mut state);
        } else if let Some(receiver) = self.receiver.get()
            && let Some(Message::Data(data)) = wire::decode(datagram, &receiver.key)
        {
            receiver.started.store(true, Ordering::Relaxed);
            let mut state = lock(&receiver.state);
            let Receiving {
                incoming,
                ready,
                route,
            } = &mut *state;
            *route = Some(Route {
                outlet: outlet.clone(),
                peer: source,
            });
            incoming.received(Instant::now(), &data, ready);
            if incoming.unacknowledged() >= ACKNOWLEDGED {
                state.acknowledge(&receiver.key);
            }
        }
    }
}

impl Receiving {
    fn acknowledge(&mut self, key: &RepairKey) {
        if let Some(route) = &self.route
            && let Some(ack) = self.incoming.acknowledge(Instant::now())
        {
            route.outlet.send(&ack.encode(key), route.peer);
        }
    }
}

impl Sender {
    fn go_on(&self, state: &mut Sending) {
        let due = state.flush(&self.key);
        if let Some(due) = due
            && state.armed.is_none_or(|armed| due < armed)
        {
            state.armed = Some(due);
            self.sooner.notify_one();
        }
    }
}

impl Sending {
    /// Sends what may leave, and says when to come again.
    fn flush(&mut self, key: &RepairKey) -> Option<Instant> {
        let now = Instant::now();
        let route = self.route.as_ref().filter(|_| !self.held)?;
        while let Some(data) = self.outgoing.transmit(now) {
            self.datagram.clear();
            wire::encode_data(&data, key, &mut self.datagram);
            route.outlet.send(&self.datagram, route.peer);
        }
        self.outgoing.due(now)
    }
}

/// Sends what has to wait for its time. It holds no reference while it waits, so it does not outlive the
/// connection.
async fn keep_time(state: Weak<Mutex<Sending>>, key: RepairKey, sooner: Arc<Notify>) {
    loop {
        let due = {
            let Some(state) = state.upgrade() else {
                return;
            };
            let mut state = lock(&state);
            if !state.held {
                state.outgoing.timeout(Instant::now());
            }
            state.armed = state.flush(&key);
            state.armed
        };
        let time = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sooner.notified() => {}
            () = time => {}
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::packet::ProbeKey;
    use crate::net::repair::Way;

    fn socket() -> (Arc<Outlet>, SocketAddr, std::net::UdpSocket) {
        let bind = || std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let (ours, theirs) = (bind(), bind());
        let address = theirs.local_addr().unwrap();
        (Arc::new(Outlet::Real(ours)), address, theirs)
    }

    #[tokio::test]
    async fn a_numbered_record_comes_out_of_the_other_end() {
        let (outlet, address, wire) = socket();
        let key = ProbeKey::new(b"", b"").repair(Way::Offerer);
        let (near, far) = (Repair::default(), Repair::default());
        assert!(!near.sending(&[23; 100], None, &outlet, address), "not yet");
        near.send(key.clone());
        far.receive(key);
        assert!(!near.sending(&[23; ACKNOWLEDGEMENT], None, &outlet, address));
        assert!(near.sending(&[23; 250], Some(100), &outlet, address));
        let mut buffer = [0; 2000];
        let mut lengths = Vec::new();
        for _ in 0..3 {
            let length = wire.recv(&mut buffer).unwrap();
            // A record that is not numbered goes by.
            buffer[length] = 22;
            let left = far.received(&outlet, &mut buffer[..=length], length, address);
            assert_eq!((left, buffer[0]), (1, 22));
            let ready = far.ready(&mut buffer).expect("it was in order");
            assert_eq!(buffer[..ready.length], vec![23; ready.length]);
            lengths.push(ready.length);
        }
        assert_eq!(lengths, [100, 100, 50]);
        near.stop();
        assert!(!near.sending(&[23; 100], None, &outlet, address));
    }

    #[tokio::test]
    async fn nothing_leaves_without_consent() {
        let (outlet, address, wire) = socket();
        let near = Repair::default();
        near.send(ProbeKey::new(b"", b"").repair(Way::Offerer));
        near.hold(true);
        assert!(
            near.sending(&[23; 100], None, &outlet, address),
            "it is kept"
        );
        wire.set_nonblocking(true).unwrap();
        let mut buffer = [0; 2000];
        // Anything that wanted to leave would have been sent at once.
        assert!(wire.recv(&mut buffer).is_err());
        near.hold(false);
        wire.set_nonblocking(false).unwrap();
        let received = tokio::task::spawn_blocking(move || wire.recv(&mut buffer).unwrap());
        assert!(received.await.unwrap() > 100);
    }
}
