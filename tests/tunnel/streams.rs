//! Streams of one tunnel.

use bytes::Bytes;
use peerline::channel::{Channel, Message};
use peerline::testing::Pair;
use peerline::tunnel::{LABEL, Reset, ResetCode, Side, Stream, StreamError, Tunnel, TunnelError};
use tokio::task::JoinSet;

use crate::harness::{channels, noise, within};

fn tunnels() -> [Tunnel; 2] {
    let (left, right) = Channel::pair(LABEL);
    [
        Tunnel::start(left, Side::Opener, None),
        Tunnel::start(right, Side::Acceptor, None),
    ]
}

async fn read_all(stream: Stream) -> Result<Vec<u8>, StreamError> {
    let (mut reader, mut writer) = stream.split();
    writer.end();
    let mut all = Vec::new();
    while let Some(bytes) = reader.read().await? {
        all.extend_from_slice(&bytes);
    }
    reader.take();
    writer.taken().await?;
    Ok(all)
}

async fn write_all(stream: Stream, bytes: &[u8]) -> Result<(), StreamError> {
    let (mut reader, mut writer) = stream.split();
    writer.write(bytes).await?;
    writer.end();
    writer.taken().await?;
    assert_eq!(reader.read().await?, None);
    reader.take();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_at_once_and_one_that_nobody_reads() {
    const STREAMS: u64 = 300;
    const LENGTH: usize = 100_000;
    let mut pair = within("connecting", Pair::connect()).await.unwrap();
    let [near, far] = channels(&mut pair).await;
    let near = Tunnel::start(near, Side::Opener, None);
    let far = Tunnel::start(far, Side::Acceptor, None);
    let mut stalled = near.open("stalled").await.unwrap().split();
    let stalling = async {
        let more = noise(1 << 20, 0);
        loop {
            stalled.1.write(&more).await.unwrap();
        }
    };
    let (mut opening, mut serving) = (JoinSet::new(), JoinSet::new());
    for number in 1..=STREAMS {
        let stream = near.open(&number.to_string()).await.unwrap();
        opening.spawn(async move { write_all(stream, &noise(LENGTH, number)).await.unwrap() });
    }
    let mut unread = Vec::new();
    let all = async {
        for _ in 0..=STREAMS {
            let arrival = far.accept().await.unwrap();
            let Ok(number) = arrival.target().parse::<u64>() else {
                unread.push(arrival.accept());
                continue;
            };
            let stream = arrival.accept();
            serving.spawn(async move {
                assert!(read_all(stream).await.unwrap() == noise(LENGTH, number));
            });
        }
        while let Some(served) = serving.join_next().await {
            served.unwrap();
        }
        while let Some(opened) = opening.join_next().await {
            opened.unwrap();
        }
    };
    within("all streams", async {
        tokio::select! {
            () = all => {}
            () = stalling => unreachable!("nobody reads it"),
        }
    })
    .await;
    assert_eq!(unread.len(), 1);
}

#[tokio::test]
async fn refusals_and_ends_are_told() {
    let [near, far] = tunnels();
    let mut stream = near.open("secret").await.unwrap();
    let arrival = far.accept().await.unwrap();
    assert_eq!(arrival.target(), "secret");
    let reset = Reset::new(ResetCode::Refused, "not for you");
    arrival.refuse(reset.clone());
    let refused = within("the refusal", stream.accepted()).await;
    assert_eq!(refused, Err(StreamError::Reset(reset)));

    let mut waiting = near.open("x").await.unwrap();
    let dropped = far.accept().await.unwrap();
    drop(dropped);
    let error = within("the end", waiting.accepted()).await.unwrap_err();
    assert!(
        matches!(&error, StreamError::Reset(reset) if reset.code == ResetCode::Cancelled),
        "{error}"
    );

    let mut left = near.open("y").await.unwrap();
    drop(near);
    let error = within("the end", left.accepted()).await.unwrap_err();
    assert_eq!(error, StreamError::Tunnel(TunnelError::Closed));
    assert_eq!(within("the end", far.ended()).await, TunnelError::Closed);
}

#[tokio::test]
async fn a_closed_tunnel_still_sends_what_was_said() {
    let [near, far] = tunnels();
    let stream = near.open("x").await.unwrap();
    stream.reset(Reset::new(ResetCode::Failed, "never said"));
    let stream = near.open("y").await.unwrap();
    let arrival = far.accept().await.unwrap();
    assert_eq!(arrival.target(), "y");
    let (mut reader, _writer) = arrival.accept().split();
    stream.reset(Reset::new(ResetCode::Failed, "last words"));
    near.close().await;
    let error = within("the words", reader.read()).await.unwrap_err();
    assert_eq!(error.to_string(), "last words");
}

#[tokio::test]
async fn who_breaks_the_rules_ends_the_tunnel() {
    for message in [
        Message::Text("open".into()),
        Message::Binary(Bytes::new()),
        Message::Binary(Bytes::from_static(b"\x0d\0\0\0\0")),
        Message::Binary(Bytes::from_static(b"\x03\0\0\0\x02data of nothing")),
    ] {
        let (channel, peer) = Channel::pair(LABEL);
        let tunnel = Tunnel::start(channel, Side::Acceptor, None);
        let (sender, mut receiver) = peer.split();
        sender.send(message.clone()).await.unwrap();
        let end = within("the end", tunnel.ended()).await;
        assert!(matches!(end, TunnelError::Protocol(_)), "{message:?}");
        assert!(tunnel.accept().await.is_err() && tunnel.open("x").await.is_err());
        drop(tunnel);
        while within("hanging up", receiver.recv()).await.is_some() {}
    }
}
