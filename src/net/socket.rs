//! One UDP socket of a peer connection, with large buffers, the source filter, repeated handshakes, the packet size probes and repairs.

use super::filter::SourceFilter;
use super::handshake::{Handshake, Way};
use super::packet::{Outlet, Prober};
use super::repair::Repair;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

/// Socket buffers. One burst of segmentation offload is 64 KiB and a window of 2 MiB may be in flight;
/// with 4 MiB the kernel drops nothing on a 2-core machine. It is also the usual `net.core.rmem_max`.
const SOCKET_BUFFER: usize = 4 << 20;

/// The most that one system call may send: 65,535 less the IPv4 and UDP headers. The engine joins
/// segments up to 65,535 bytes; the kernel refuses such a batch (EMSGSIZE), the engine takes it for lost
/// and sends it again in the same shape, until the session dies.
pub(super) const MAX_BATCH: usize = 65_535 - 20 - 8;

/// Strangers' datagrams, and probes, taken before the task lets others run.
const DROPS_BEFORE_YIELD: usize = 64;

/// Asks the kernel for [`SOCKET_BUFFER`]. Less is slower, not wrong, so refusal is no error.
pub(super) fn enlarge_buffers(socket: &std::net::UdpSocket) {
    let socket_ref = socket2::SockRef::from(socket);
    // Only a privileged process may exceed net.core.rmem_max; everybody else gets the maximum.
    #[cfg(target_os = "linux")]
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(socket, SOCKET_BUFFER).is_ok() {
        let _ = socket_ref.set_send_buffer_size(SOCKET_BUFFER);
        return;
    }
    let _ = socket_ref.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket_ref.set_send_buffer_size(SOCKET_BUFFER);
}

/// A socket that shares its connection's [`SourceFilter`], [`Prober`] and [`Repair`].
#[derive(Debug)]
pub(super) struct FilteredSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    /// What is below `inner` and never makes anybody wait: repetitions must not take its waker away from the engine.
    wire: Arc<dyn AsyncUdpSocket>,
    filter: Arc<Mutex<SourceFilter>>,
    handshake: Handshake,
    prober: Prober,
    repair: Repair,
    /// For probes, repetitions and repairs; without it there are none.
    outlet: Option<Arc<Outlet>>,
}

impl FilteredSocket {
    pub(super) fn new(
        inner: Arc<dyn AsyncUdpSocket>,
        wire: Arc<dyn AsyncUdpSocket>,
        filter: Arc<Mutex<SourceFilter>>,
        handshake: Handshake,
        prober: Prober,
        repair: Repair,
        outlet: Option<Outlet>,
    ) -> Self {
        Self {
            inner,
            wire,
            filter,
            handshake,
            prober,
            repair,
            outlet: outlet.map(Arc::new),
        }
    }

    fn filter(&self) -> std::sync::MutexGuard<'_, SourceFilter> {
        self.filter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn way(&self, outlet: &Arc<Outlet>, destination: SocketAddr) -> Way {
        Way {
            outlet: Arc::downgrade(outlet),
            wire: Arc::downgrade(&self.wire),
            destination,
        }
    }

    /// Sees a message of ICE leave or arrive.
    fn passes_stun(&self, datagram: &[u8], address: SocketAddr) {
        if let (Some(0..4), Some(outlet)) = (datagram.first(), &self.outlet)
            && self.filter().meets(datagram, address)
        {
            self.handshake.met(|| self.way(outlet, address));
        }
    }
}

/// The datagrams of a batch, all of which but the last have the length of its segments.
fn datagrams(batch: &[u8], segment: Option<usize>) -> impl Iterator<Item = &[u8]> {
    batch.chunks(segment.unwrap_or(batch.len()).max(1))
}

impl AsyncUdpSocket for FilteredSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        // STUN starts with 0 to 3 (RFC 7983), so bulk traffic pays one comparison and no lock.
        match (transmit.contents.first(), &self.outlet) {
            (Some(0..4), _) => {
                self.filter()
                    .sending(transmit.contents, transmit.destination);
                self.passes_stun(transmit.contents, transmit.destination);
            }
            (Some(20..64), Some(outlet)) => self.prober.sending(outlet, transmit.destination),
            _ => {}
        }
        let length = transmit.contents.len();
        if let Some(outlet) = &self.outlet {
            for datagram in datagrams(transmit.contents, transmit.segment_size) {
                self.handshake
                    .sending(datagram, || self.way(outlet, transmit.destination));
            }
            if matches!(transmit.contents.first(), Some(20..64)) {
                let taken = self.repair.sending(
                    transmit.contents,
                    transmit.segment_size,
                    outlet,
                    transmit.destination,
                );
                if taken {
                    return Poll::Ready(Ok(length));
                }
            }
        }
        let Some(segment) = transmit.segment_size.filter(|_| length > MAX_BATCH) else {
            return self.inner.poll_send(cx, transmit);
        };
        // Should the second part have to wait, the first is sent again with it: duplicates are harmless
        // to DTLS, and rare.
        let (first, second) = transmit.contents.split_at(MAX_BATCH / segment * segment);
        for contents in [first, second] {
            let part = Transmit {
                destination: transmit.destination,
                ecn: transmit.ecn,
                contents,
                segment_size: (contents.len() > segment).then_some(segment),
                src_ip: transmit.src_ip,
            };
            match self.inner.poll_send(cx, &part) {
                Poll::Ready(Ok(_)) => {}
                other => return other,
            }
        }
        Poll::Ready(Ok(length))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        // One message at a time: dropping one of several would mean moving the others' buffers, and
        // the driver asks for one anyway.
        for _ in 0..DROPS_BEFORE_YIELD {
            if let Some(ready) = self.repair.ready(&mut bufs[0]) {
                for record in datagrams(&bufs[0][..ready.length], Some(ready.stride)) {
                    self.handshake.received(record);
                }
                meta[0] = RecvMeta::default();
                (meta[0].addr, meta[0].len) = (ready.source, ready.length);
                meta[0].stride = ready.stride;
                return Poll::Ready(Ok(1));
            }
            match self.inner.poll_recv(cx, &mut bufs[..1], &mut meta[..1]) {
                Poll::Ready(Ok(1)) => {}
                Poll::Pending => {
                    self.repair.drained();
                    return Poll::Pending;
                }
                other => return other,
            }
            let RecvMeta {
                addr, len, stride, ..
            } = meta[0];
            if !self.filter().accepts(&bufs[0][..len], stride, addr) {
                tracing::trace!(len, "dropped a datagram from an unproven source");
                continue;
            }
            let left = match &self.outlet {
                Some(outlet) => self
                    .repair
                    .received(outlet, &mut bufs[0][..len], stride, addr),
                None => len,
            };
            self.passes_stun(&bufs[0][..left.min(stride)], addr);
            for datagram in datagrams(&bufs[0][..left], Some(stride)) {
                self.handshake.received(datagram);
            }
            let left = match &self.outlet {
                Some(outlet) => self
                    .prober
                    .received(outlet, &mut bufs[0][..left], stride, addr),
                None => left,
            };
            if left > 0 || len == 0 {
                meta[0].len = left;
                return Poll::Ready(Ok(1));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn max_gso_segments(&self) -> usize {
        self.inner.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.inner.max_gro_segments()
    }
}

#[cfg(test)]
mod tests {
    use super::super::set_up::SetUp;
    use super::*;

    /// Length of a batch and of its segments.
    type Batch = (usize, Option<usize>);

    /// Takes every batch and remembers it.
    #[derive(Debug, Default)]
    struct Wire(Mutex<Vec<Batch>>);

    impl AsyncUdpSocket for Wire {
        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(SocketAddr::from(([127, 0, 0, 1], 9)))
        }

        fn poll_send(&self, _: &mut Context<'_>, batch: &Transmit<'_>) -> Poll<io::Result<usize>> {
            let mut sent = self.0.lock().unwrap();
            sent.push((batch.contents.len(), batch.segment_size));
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
    }

    fn socket(wire: &Arc<Wire>) -> FilteredSocket {
        FilteredSocket::new(
            wire.clone(),
            wire.clone(),
            Arc::default(),
            Handshake::new(SetUp::default(), Arc::default()),
            Prober::default(),
            Repair::default(),
            None,
        )
    }

    fn send(socket: &FilteredSocket, contents: &[u8], segment_size: Option<usize>) -> usize {
        let transmit = Transmit {
            destination: SocketAddr::from(([127, 0, 0, 1], 9)),
            ecn: None,
            contents,
            segment_size,
            src_ip: None,
        };
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match socket.poll_send(&mut cx, &transmit) {
            Poll::Ready(Ok(sent)) => sent,
            other => panic!("the wire takes everything: {other:?}"),
        }
    }

    #[test]
    fn a_batch_that_the_kernel_would_refuse_is_sent_in_two() {
        let cases: [(usize, Option<usize>, &[Batch]); 4] = [
            (1228, None, &[(1228, None)]),
            (65_507, Some(1228), &[(65_507, Some(1228))]),
            (65_534, Some(1228), &[(53 * 1228, Some(1228)), (450, None)]),
            (
                65_535,
                Some(16_000),
                &[(64_000, Some(16_000)), (1535, None)],
            ),
        ];
        for (length, segment_size, expected) in cases {
            let wire = Arc::new(Wire::default());
            let sent = send(&socket(&wire), &vec![23; length], segment_size);
            assert_eq!(sent, length);
            assert_eq!(*wire.0.lock().unwrap(), expected);
        }
    }
}
