//! Data channels: how they open, close and hold senders back.

use std::time::Duration;
use webrtc::data_channel::DataChannelEvent;

use crate::harness::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_negotiated_channel_opens_on_both_sides_and_keeps_its_stream() {
    let (mut left, mut right) = (plain_peer().await, plain_peer().await);
    let controls = [
        left.connection
            .create_data_channel("control", control())
            .await
            .unwrap(),
        right
            .connection
            .create_data_channel("control", control())
            .await
            .unwrap(),
    ];
    connect(&mut left, &mut right).await;
    opened(&controls[0]).await;
    opened(&controls[1]).await;
    controls[1].send_text("hello").await.unwrap();
    assert_eq!(message(&controls[0]).await, b"hello");

    // Both sides open more, which must not land on stream 0, and the acceptor is told that it is open.
    for (opener, acceptor) in [
        (&left.connection, &mut right.channels),
        (&right.connection, &mut left.channels),
    ] {
        let ours = opener.create_data_channel("more", None).await.unwrap();
        let theirs = within("the other side", acceptor.recv()).await.unwrap();
        opened(&ours).await;
        opened(&theirs).await;
        let largest = vec![7; 65_535];
        ours.send(largest.as_slice().into()).await.unwrap();
        assert_eq!(message(&theirs).await, largest);
    }
    controls[0].send_text("still here").await.unwrap();
    assert_eq!(message(&controls[1]).await, b"still here");
    left.connection.close().await.unwrap();
    right.connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_every_poller_and_the_peer_notices() {
    let (mut left, mut right) = (plain_peer().await, plain_peer().await);
    let ours = left
        .connection
        .create_data_channel("control", control())
        .await
        .unwrap();
    let theirs = right
        .connection
        .create_data_channel("control", control())
        .await
        .unwrap();
    connect(&mut left, &mut right).await;
    opened(&ours).await;
    opened(&theirs).await;
    left.connection.close().await.unwrap();
    for channel in [ours, theirs] {
        within("the end", async {
            loop {
                match channel.poll().await {
                    None | Some(DataChannelEvent::OnClose) => break,
                    Some(_) => {}
                }
            }
        })
        .await;
    }
    right.connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_send_buffer_makes_senders_wait() {
    let (mut left, mut right) = (plain_peer().await, plain_peer().await);
    let (ours, theirs) = joined(&mut left, &mut right).await;
    // Nobody polls `theirs`: at most its window, the buffer and the delivery queue fill up.
    let mut sent = 0;
    while let Ok(result) = tokio::time::timeout(
        Duration::from_millis(500),
        ours.send(vec![7; 60_000].as_slice().into()),
    )
    .await
    {
        result.unwrap();
        sent += 60_000;
        assert!(sent < 64 << 20, "sending never waits");
    }
    let mut received = 0;
    while received < sent {
        received += message(&theirs).await.len();
    }
    left.connection.close().await.unwrap();
    right.connection.close().await.unwrap();
}
