//! The size of packets.

use std::sync::Arc;
use webrtc::peer_connection::crypto::providers::RingProvider;
use webrtc::peer_connection::{RTCStatsReportEntry, StatsSelector};

use crate::harness::*;

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
    let ours = left
        .connection
        .create_data_channel("bulk", None)
        .await
        .unwrap();
    connect(&mut left, &mut right).await;
    opened(&ours).await;
    let theirs = within("the other side", right.channels.recv())
        .await
        .unwrap();
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

/// What a message is cut into, and that no part of it waits for the next one.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_fills_its_packets_leaves_in_no_more() {
    const MESSAGES: u64 = 64;
    let large = peer_with(Arc::new(RingProvider::new()), 16_376 - 37).await;
    let (mut left, mut right) = (large, plain_peer().await);
    let ours = left
        .connection
        .create_data_channel("bulk", None)
        .await
        .unwrap();
    connect(&mut left, &mut right).await;
    opened(&ours).await;
    let theirs = within("the other side", right.channels.recv())
        .await
        .unwrap();
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
    assert!(
        (4 * MESSAGES..4 * MESSAGES + 20).contains(&packets[0]),
        "{packets:?}"
    );
    assert!(
        (5 * MESSAGES..5 * MESSAGES + 20).contains(&packets[1]),
        "{packets:?}"
    );
    left.connection.close().await.unwrap();
    right.connection.close().await.unwrap();
}
