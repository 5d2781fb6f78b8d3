//! Puts a [`Link`] between a connection and its real sockets.

use super::link::{Link, LinkConfig, LinkStats};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

/// Datagrams on their way. More than this is a full pipe: they are dropped, as a router would.
const IN_FLIGHT: usize = 65_536;

/// One emulated direction, shared by all sockets of a peer and controllable while it is in use.
#[derive(Debug, Clone)]
pub struct EmulatedLink {
    link: Arc<Mutex<Link>>,
}

impl EmulatedLink {
    /// A link in the given condition.
    pub fn new(config: LinkConfig) -> Self {
        Self {
            link: Arc::new(Mutex::new(Link::new(config))),
        }
    }

    /// Starts or ends a total outage.
    pub fn set_outage(&self, outage: bool) {
        self.lock().set_outage(outage);
    }

    /// From now on so many bytes a second pass; `None` is unlimited.
    pub fn set_rate(&self, rate: Option<u64>) {
        self.lock().set_rate(rate);
    }

    /// From now on longer datagrams vanish; `None` carries all.
    pub fn set_mtu(&self, mtu: Option<usize>) {
        self.lock().set_mtu(mtu);
    }

    /// What happened so far.
    pub fn stats(&self) -> LinkStats {
        self.lock().stats()
    }

    fn lock(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wrap(&self, wire: Arc<dyn AsyncUdpSocket>) -> Arc<dyn AsyncUdpSocket> {
        let (queue, arrivals) = mpsc::channel(IN_FLIGHT);
        let carrier = tokio::spawn(carry(wire.clone(), arrivals));
        Arc::new(EmulatedSocket {
            wire,
            link: self.clone(),
            queue,
            numbers: AtomicU64::new(0),
            _carrier: AbortOnDropHandle::new(carrier),
        })
    }
}

#[derive(Debug)]
struct EmulatedSocket {
    wire: Arc<dyn AsyncUdpSocket>,
    link: EmulatedLink,
    queue: mpsc::Sender<Datagram>,
    numbers: AtomicU64,
    _carrier: AbortOnDropHandle<()>,
}

/// A datagram that will arrive. Ordered by time of arrival, then by time of sending.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Datagram {
    at: Instant,
    number: u64,
    destination: SocketAddr,
    contents: Vec<u8>,
}

/// Sends each datagram when its time has come. Ends with the socket that owns the queue.
async fn carry(wire: Arc<dyn AsyncUdpSocket>, mut arrivals: mpsc::Receiver<Datagram>) {
    let mut flying = BinaryHeap::new();
    loop {
        let due = flying
            .peek()
            .map(|Reverse(next): &Reverse<Datagram>| next.at);
        tokio::select! {
            datagram = arrivals.recv() => match datagram {
                Some(datagram) => flying.push(Reverse(datagram)),
                None => return,
            },
            () = sleep_until(due) => {
                if let Some(Reverse(datagram)) = flying.pop() {
                    // A network that refuses a datagram has lost it: that is what links do.
                    let _ = wire.send_to(&datagram.contents, datagram.destination).await;
                }
            }
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

impl AsyncUdpSocket for EmulatedSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.wire.local_addr()
    }

    fn poll_send(&self, _: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let now = Instant::now();
        let size = transmit
            .segment_size
            .unwrap_or(transmit.contents.len())
            .max(1);
        for contents in transmit.contents.chunks(size) {
            for at in self
                .link
                .lock()
                .send(now, contents.len())
                .into_iter()
                .flatten()
            {
                let datagram = Datagram {
                    at,
                    number: self.numbers.fetch_add(1, Ordering::Relaxed),
                    destination: transmit.destination,
                    contents: contents.into(),
                };
                // overflow: dropped, see IN_FLIGHT.
                let _ = self.queue.try_send(datagram);
            }
        }
        Poll::Ready(Ok(transmit.contents.len()))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.wire.poll_recv(cx, bufs, meta)
    }

    fn max_gro_segments(&self) -> usize {
        self.wire.max_gro_segments()
    }
}
