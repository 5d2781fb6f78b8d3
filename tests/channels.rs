//! Channels: how they open, end, and make room for others. Apart from other sessions' tests, as one of these keeps the whole
//! machine busy.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use bytes::Bytes;
use peerline::channel::{Delivery, Message};
use peerline::net::link::LinkConfig;
use peerline::session::{Bye, ByeCode, PathKind, SessionError};
use peerline::testing::{Pair, PairConfig};
use std::time::{Duration, Instant};

/// Longest time that anything here may take, on a slow machine.
const LIMIT: Duration = Duration::from_secs(60);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future)
        .await
        .unwrap_or_else(|_| panic!("{what} took too long"))
}

async fn connect(config: PairConfig) -> Pair {
    within("connecting", Pair::connect_with(config))
        .await
        .expect("both sides connect")
}

async fn close_both(pair: Pair) {
    let Pair { host, guest, .. } = pair;
    guest.close(Bye::new(ByeCode::Done, "done")).await;
    let end = within("the host's end", host.ended()).await;
    assert!(
        matches!(&*end, SessionError::Bye(bye) if bye.code == ByeCode::Done),
        "{end}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_open_channels_and_see_each_other() {
    let mut pair = connect(PairConfig::default()).await;
    assert_eq!(pair.host.phrase(), pair.guest.phrase());
    assert!(pair.host.peer().agent.starts_with("peerline/"));
    let path = pair.guest.path().await.expect("a path is in use");
    assert_eq!(path.kind, PathKind::Direct);
    assert!(path.round_trip < Duration::from_secs(1), "{path:?}");
    for round in 0..6 {
        let label = format!("channel {round}");
        let Pair { host, guest, .. } = &mut pair;
        let (opener, acceptor) = if round % 2 == 0 {
            (host, guest)
        } else {
            (guest, host)
        };
        let mut ours = opener
            .open(label.clone(), "test/1", Delivery::Reliable)
            .await
            .unwrap();
        ours.send(Bytes::from_static(b"\0\x01")).await.unwrap();
        let mut theirs = within(&label, acceptor.accept()).await.unwrap();
        assert_eq!(
            (theirs.channel.label(), theirs.protocol.as_str()),
            (label.as_str(), "test/1")
        );
        assert_eq!(
            theirs.channel.recv().await,
            Some(Message::Binary(Bytes::from_static(b"\0\x01")))
        );
        theirs.channel.send_text(String::new()).await.unwrap();
        assert_eq!(
            within("the answer", ours.recv()).await,
            Some(Message::Text(String::new()))
        );
        drop(ours);
        assert_eq!(
            within("the channel's end", theirs.channel.recv()).await,
            None
        );
    }
    close_both(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_before_closing_arrives() {
    let mut config = PairConfig::default();
    config.emulate(&LinkConfig {
        delay: Duration::from_millis(20),
        ..LinkConfig::default()
    });
    let mut pair = connect(config).await;
    for round in 0..3 {
        let channel = pair
            .guest
            .open("last words", "", Delivery::Reliable)
            .await
            .unwrap();
        for _ in 0..20 {
            channel
                .send(Bytes::from(vec![round; 60_000]))
                .await
                .unwrap();
        }
        drop(channel);
        let mut theirs = within("the channel", pair.host.accept())
            .await
            .unwrap()
            .channel;
        let mut received = 0;
        while let Some(message) = within("a message", theirs.recv()).await {
            received += message.len();
        }
        assert_eq!(received, 20 * 60_000);
    }
    close_both(pair).await;
}

/// Many at once, so that the machine is busy and whoever looks a moment too late opens it on the old one's number: the
/// end of that one would then be its end, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_channel_opened_while_another_closes_is_whole() {
    async fn rounds(spread: u64) {
        let mut pair = connect(PairConfig::default()).await;
        for round in 0..6u64 {
            let label = format!("round {round}");
            let opening = pair.guest.open(label.clone(), "", Delivery::Reliable);
            let ours = within("opening", opening).await.unwrap();
            ours.send(Bytes::from_static(b"whole")).await.unwrap();
            let incoming = within("the channel", pair.host.accept()).await.unwrap();
            let mut theirs = incoming.channel;
            assert_eq!(theirs.label(), label);
            let message = within("the message", theirs.recv()).await;
            assert_eq!(
                message,
                Some(Message::Binary(Bytes::from_static(b"whole"))),
                "{label}"
            );
            // Either may be first, and the next is opened at any moment of the end.
            match round % 3 {
                0 => drop(ours),
                1 => drop(theirs),
                _ => drop((ours, theirs)),
            }
            let until = Instant::now() + Duration::from_micros(spread * 7919 % 400);
            while Instant::now() < until {
                tokio::task::yield_now().await;
            }
        }
        close_both(pair).await;
    }
    let all = (0..64).map(|spread| tokio::spawn(rounds(spread)));
    let ended = futures_util::future::join_all(all).await;
    let broken: Vec<_> = ended.into_iter().filter_map(Result::err).collect();
    assert!(
        broken.is_empty(),
        "{} of 64 broke: {broken:?}",
        broken.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_ended_unread_keeps_none_from_being_opened() {
    const UNREAD: u8 = 40;
    let Pair {
        mut host, guest, ..
    } = connect(PairConfig::default()).await;
    let open = |label| within("opening", guest.open(label, "", Delivery::Reliable));
    let mut unread = open("unread").await.unwrap();
    let theirs = within("the channel", host.accept()).await.unwrap().channel;
    for number in 0..UNREAD {
        theirs.send(Bytes::from(vec![number])).await.unwrap();
    }
    drop(theirs);
    for label in ["one", "two", "three"] {
        let _ours = open(label).await.unwrap();
        let incoming = within("the channel", host.accept()).await.unwrap();
        assert_eq!(incoming.channel.label(), label);
    }
    for number in 0..UNREAD {
        let message = within("a message", unread.recv()).await;
        assert_eq!(message, Some(Message::Binary(Bytes::from(vec![number]))));
    }
    assert_eq!(within("the end", unread.recv()).await, None);
}
