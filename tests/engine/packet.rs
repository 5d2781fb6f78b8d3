//! The size of packets.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use webrtc::peer_connection::crypto::providers::RingProvider;
use webrtc::peer_connection::{RTCStatsReportEntry, StatsSelector};

use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

use crate::harness::*;
use crate::runtime::{Changed, Changes};

/// Bytes and datagrams that a connection has sent.
async fn datagrams(peer: &Peer) -> (u64, u64) {
    let now = std::time::Instant::now();
    let report = peer.connection.get_stats(now, StatsSelector::None).await;
    let pairs = report.iter().filter_map(|entry| match entry {
        RTCStatsReportEntry::IceCandidatePair(pair) => Some((pair.bytes_sent, pair.packets_sent)),
        _ => None,
    });
    pairs.max().unwrap()
}

/// Bytes in each of them, on average.
async fn datagram_size(peer: &Peer) -> u64 {
    let (bytes, packets) = datagrams(peer).await;
    bytes / packets
}

#[tokio::test(flavor = "multi_thread")]
async fn the_senders_packet_size_is_enough_for_large_datagrams() {
    let large = peer_with(Arc::new(RingProvider::new()), 16_376 - 37).await;
    let (mut left, mut right) = (large, plain_peer().await);
    let (ours, theirs) = joined(&mut left, &mut right).await;
    opened(&theirs).await;
    for channel in [&ours, &theirs] {
        let other = if Arc::ptr_eq(channel, &ours) {
            &theirs
        } else {
            &ours
        };
        for number in 0..64u8 {
            channel
                .send(vec![number; 65_000].as_slice().into())
                .await
                .unwrap();
            assert_eq!(message(other).await, vec![number; 65_000]);
        }
    }
    // Acknowledgements and checks bring the average down.
    assert!(
        datagram_size(&left).await > 6_000,
        "{}",
        datagram_size(&left).await
    );
    assert!(
        datagram_size(&right).await < 1_300,
        "{}",
        datagram_size(&right).await
    );
    left.connection.close().await.unwrap();
    right.connection.close().await.unwrap();
}

/// Sockets that say that four datagrams fit into one call, and count the calls.
#[derive(Debug, Clone, Default)]
struct Four(Arc<Calls>);

#[derive(Debug, Default)]
struct Calls {
    /// With one datagram of more than a kilobyte, and with four.
    one: AtomicU64,
    four: AtomicU64,
    other: AtomicU64,
}

impl Changes for Four {
    fn socket(&self, inner: Arc<dyn AsyncUdpSocket>) -> Arc<dyn AsyncUdpSocket> {
        let calls = self.0.clone();
        Arc::new(FourAtOnce { inner, calls })
    }
}

#[derive(Debug)]
struct FourAtOnce {
    inner: Arc<dyn AsyncUdpSocket>,
    calls: Arc<Calls>,
}

impl AsyncUdpSocket for FourAtOnce {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let length = transmit.contents.len();
        if length > 1000 {
            let count = match transmit
                .segment_size
                .map(|segment| length.div_ceil(segment))
            {
                None => &self.calls.one,
                Some(4) => &self.calls.four,
                Some(_) => &self.calls.other,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.inner.poll_send(cx, transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_recv(cx, bufs, meta)
    }

    fn max_gso_segments(&self) -> usize {
        self.inner.max_gso_segments().min(4)
    }

    fn max_gro_segments(&self) -> usize {
        self.inner.max_gro_segments()
    }
}

/// What a message is cut into, that no part of it waits for the next one, and that the engine joins as few datagrams as
/// its socket says.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_fills_four_packets_leaves_in_one_call() {
    const MESSAGES: u64 = 64;
    let runtime = Four::default();
    let calls = runtime.0.clone();
    let crypto = Arc::new(RingProvider::new());
    let large = peer_on(Arc::new(Changed(runtime)), crypto, 16_376 - 37).await;
    let (mut left, mut right) = (large, plain_peer().await);
    let (ours, theirs) = joined(&mut left, &mut right).await;
    opened(&theirs).await;
    let mut packets = Vec::new();
    // A chunk takes 28 bytes of a packet, and its length is rounded down to a multiple of four.
    for length in [4 * 16_308, 4 * 16_308 + 1] {
        let before = datagrams(&left).await.1;
        for _ in 0..MESSAGES {
            let sent = vec![7; length];
            ours.send(sent.as_slice().into()).await.unwrap();
            assert_eq!(message(&theirs).await, sent);
        }
        packets.push(datagrams(&left).await.1 - before);
    }
    // Checks and acknowledgements are a few.
    for (packets, each) in packets.into_iter().zip([4, 5]) {
        assert!(
            (each * MESSAGES..each * MESSAGES + 20).contains(&packets),
            "{packets} packets"
        );
    }
    let [one, four, other] =
        [&calls.one, &calls.four, &calls.other].map(|n| n.load(Ordering::Relaxed));
    if cfg!(not(target_os = "linux")) {
        // Nothing is joined.
        assert_eq!((four, other), (0, 0));
        return;
    }
    // The window opens with the first messages; until then it may cut them elsewhere.
    assert!(
        four >= 2 * MESSAGES - 16 && other == 0,
        "{one} alone, {four} times four, {other} else"
    );
    left.connection.close().await.unwrap();
    right.connection.close().await.unwrap();
}
