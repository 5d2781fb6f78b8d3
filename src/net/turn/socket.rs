//! A socket of a peer connection that also reaches TURN servers over streams, and nobody whom the
//! session must not use.

use super::servers::{Servers, Transport, synthetic};
use super::stream::{Arrival, Stream};
use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

/// Frames from streams that wait for the engine. When they are full, streams are not read.
const ARRIVALS: usize = 256;

/// Datagrams dropped before the task lets others run.
const DROPS_BEFORE_YIELD: usize = 64;

/// An Allocate success response (RFC 8656 section 17).
const ALLOCATED: [u8; 2] = [0x01, 0x03];

#[derive(Debug)]
pub(in crate::net) struct TurnSocket {
    wire: Arc<dyn AsyncUdpSocket>,
    servers: Arc<Servers>,
    number: u64,
    streams: Mutex<HashMap<u8, Stream>>,
    arrivals: mpsc::Sender<Arrival>,
    arrived: Mutex<mpsc::Receiver<Arrival>>,
    /// Whose turn it is, so that neither side starves the other.
    streams_first: AtomicBool,
}

impl TurnSocket {
    pub(in crate::net) fn new(wire: Arc<dyn AsyncUdpSocket>, servers: Arc<Servers>) -> Self {
        let (arrivals, arrived) = mpsc::channel(ARRIVALS);
        Self {
            wire,
            number: servers.new_socket(),
            servers,
            streams: Mutex::default(),
            arrivals,
            arrived: Mutex::new(arrived),
            streams_first: AtomicBool::new(true),
        }
    }

    /// Sends into the stream of a server, which is opened for the first datagram.
    fn send_to_server(&self, index: u8, transmit: &Transmit<'_>) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = match streams.entry(index) {
            std::collections::hash_map::Entry::Occupied(stream) => stream.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                // Another socket has it: lost, like anything sent where nobody listens.
                let Some(server) = self.servers.claim(index, self.number) else {
                    return;
                };
                let (servers, arrivals) = (Arc::clone(&self.servers), self.arrivals.clone());
                place.insert(Stream::open(
                    server,
                    transmit.destination,
                    servers,
                    arrivals,
                ))
            }
        };
        let length = transmit.contents.len().max(1);
        for frame in transmit
            .contents
            .chunks(transmit.segment_size.unwrap_or(length))
        {
            stream.send(frame);
        }
    }

    fn poll_streams(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        meta: &mut RecvMeta,
    ) -> Poll<()> {
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            // There is always a sender: our own.
            let Poll::Ready(Some(Arrival { from, frame })) = arrived.poll_recv(cx) else {
                return Poll::Pending;
            };
            // What is too long for the engine is cut off by the network as well.
            let Some(place) = buffer.get_mut(..frame.len()) else {
                continue;
            };
            place.copy_from_slice(&frame);
            *meta = RecvMeta::default();
            (meta.addr, meta.len, meta.stride) = (from, frame.len(), frame.len());
            return Poll::Ready(());
        }
    }

    fn poll_wire(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        for _ in 0..DROPS_BEFORE_YIELD {
            match self.wire.poll_recv(cx, &mut bufs[..1], &mut meta[..1]) {
                Poll::Ready(Ok(1)) => {}
                other => return other,
            }
            let from = meta[0].addr;
            if synthetic(from).is_some() || !self.servers.allows(from) {
                continue;
            }
            if bufs[0].starts_with(&ALLOCATED) {
                self.servers.answered(Transport::Udp);
            }
            return Poll::Ready(Ok(1));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for TurnSocket {
    fn drop(&mut self) {
        self.servers.forget_socket(self.number);
    }
}

impl AsyncUdpSocket for TurnSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.wire.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        if let Some(index) = synthetic(transmit.destination) {
            self.send_to_server(index, transmit);
            return Poll::Ready(Ok(transmit.contents.len()));
        }
        if !self.servers.allows(transmit.destination) {
            return Poll::Ready(Ok(transmit.contents.len()));
        }
        self.wire.poll_send(cx, transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let streams_first = self.streams_first.fetch_not(Ordering::Relaxed);
        if streams_first && self.poll_streams(cx, &mut bufs[0], &mut meta[0]).is_ready() {
            return Poll::Ready(Ok(1));
        }
        if let Poll::Ready(result) = self.poll_wire(cx, bufs, meta) {
            return Poll::Ready(result);
        }
        if !streams_first && self.poll_streams(cx, &mut bufs[0], &mut meta[0]).is_ready() {
            return Poll::Ready(Ok(1));
        }
        Poll::Pending
    }

    fn max_gso_segments(&self) -> usize {
        self.wire.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.wire.max_gro_segments()
    }
}
