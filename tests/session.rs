//! Sessions through the public interface: on good and bad links, to their end.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use bytes::Bytes;
use peerline::channel::{Delivery, Message, Stream};
use peerline::net::link::LinkConfig;
use peerline::session::{
    Bye, ByeCode, Cause, Connectivity, Healing, PathKind, Session, SessionError,
};
use peerline::signaling::memory::Server;
use peerline::testing::{Pair, PairConfig, connect_both};
use sha2::{Digest, Sha256};
use signaling_protocol::ServerMessage;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Longest time that anything here may take: an outage, ICE's recovery, and a slow machine.
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

/// Sends `bytes` from one session to the other through a stream and back, and compares digests.
async fn echo(from: &Session, to: &mut Session, bytes: usize) {
    let data: Vec<u8> = (0..bytes as u32).map(|n| (n ^ (n >> 8)) as u8).collect();
    let sent = Sha256::digest(&data);
    let channel = from
        .open("echo", "peerline-stream/1", Delivery::Reliable)
        .await
        .unwrap();
    let (mut read, mut write) = tokio::io::split(Stream::new(channel));
    let sending = async {
        write.write_all(&data).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let echoing = async {
        let incoming = to.accept().await.expect("the channel arrives");
        assert_eq!(incoming.channel.label(), "echo");
        let (mut read, mut write) = tokio::io::split(Stream::new(incoming.channel));
        tokio::io::copy(&mut read, &mut write).await.unwrap();
        write.shutdown().await.unwrap();
        (read, write)
    };
    let receiving = async {
        let mut received = Vec::new();
        read.read_to_end(&mut received).await.unwrap();
        Sha256::digest(&received)
    };
    let ((), _echoed, received) = within("the echo", async {
        tokio::join!(sending, echoing, receiving)
    })
    .await;
    assert_eq!(received, sent);
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
async fn data_is_whole_on_every_link() {
    const MS: Duration = Duration::from_millis(1);
    let perfect = LinkConfig::default();
    let far = LinkConfig {
        delay: 25 * MS,
        ..perfect.clone()
    };
    let conditions = [
        ("perfect", perfect.clone(), 8 << 20),
        ("50 ms there and back", far.clone(), 2 << 20),
        (
            "50 ms, 1 % loss",
            LinkConfig {
                loss: 0.01,
                ..far.clone()
            },
            1 << 20,
        ),
        (
            "50 ms, 5 % loss",
            LinkConfig {
                loss: 0.05,
                ..far.clone()
            },
            256 << 10,
        ),
        (
            "reordering and duplicates",
            LinkConfig {
                delay: 5 * MS,
                reorder: 0.05,
                duplicate: 0.02,
                ..perfect.clone()
            },
            1 << 20,
        ),
        (
            "1 MB a second",
            LinkConfig {
                rate: Some(1_000_000),
                ..perfect
            },
            1 << 20,
        ),
    ];
    // One after the other: two cores are few, and each has its own limit in time.
    for (name, condition, bytes) in conditions {
        let started = Instant::now();
        let mut config = PairConfig::default();
        let links = config.emulate(&condition);
        let mut pair = connect(config).await;
        let connected = started.elapsed();
        echo(&pair.guest, &mut pair.host, bytes).await;
        println!(
            "{name}: connected {connected:?}, done {:?}, {:?}",
            started.elapsed(),
            links[1].stats()
        );
        close_both(pair).await;
    }
}

/// The engine alone does not repeat a lost flight of DTLS in every state, and some of these would never connect.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenth_of_what_sets_them_up_may_be_lost() {
    for first in [0, 8, 16] {
        let connecting = (first..first + 8).map(|seed| async move {
            let mut config = PairConfig::default();
            config.emulate(&LinkConfig {
                seed,
                loss: 0.1,
                delay: Duration::from_millis(10),
                ..LinkConfig::default()
            });
            let started = Instant::now();
            let pair = within("connecting", Pair::connect_with(config)).await;
            println!("seed {seed}: {:?}", started.elapsed());
            pair.map(drop)
        });
        let connected = futures_util::future::join_all(connecting).await;
        assert!(connected.iter().all(Result::is_ok), "{connected:?}");
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_interrupts_nothing() {
    let mut pair = connect(PairConfig::default()).await;
    pair.server.stop();
    echo(&pair.guest, &mut pair.host, 1 << 20).await;
    close_both(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_eight_seconds_is_healed_by_an_ice_restart() {
    let mut config = PairConfig::default();
    let links = config.emulate(&LinkConfig::default());
    let mut pair = connect(config).await;
    let before = pair.guest.path().await.expect("a path is in use");
    let channel = pair
        .guest
        .open("kept", "", Delivery::Reliable)
        .await
        .unwrap();
    let mut kept = within("the channel", pair.host.accept())
        .await
        .unwrap()
        .channel;
    links.iter().for_each(|link| link.set_outage(true));
    channel
        .send_text("sent into the outage".into())
        .await
        .unwrap();
    // Not a wait for something to happen: this is how long the network is gone.
    tokio::time::sleep(Duration::from_secs(8)).await;
    links.iter().for_each(|link| link.set_outage(false));
    let back = Instant::now();
    let message = within("the message", kept.recv()).await;
    if message.is_none() {
        let ends = tokio::join!(pair.host.ended(), pair.guest.ended());
        panic!("the session ended: host: {}; guest: {}", ends.0, ends.1);
    }
    assert_eq!(message, Some(Message::Text("sent into the outage".into())));
    println!(
        "data flowed {:?} after the network was back; path was {before:?}",
        back.elapsed()
    );
    close_both(pair).await;
}

/// A server that passes on so many sealed messages of the guest, and then says instead of each that the guest is away.
fn away_after(messages: usize) -> Server {
    let mut guest = None;
    let mut passed = 0;
    Server::with_tap(move |mut relayed| {
        // The first sealed message of a room is the guest's share.
        if *guest.get_or_insert_with(|| relayed.from.clone()) == relayed.from {
            passed += 1;
        }
        if guest.as_ref() == Some(&relayed.from) && passed > messages {
            let peer = relayed.from.clone();
            relayed.message = ServerMessage::PeerAway { peer };
        }
        vec![relayed]
    })
}

/// As one whose process was killed: the server knows it at once, and nobody needs the 15 s in which an offer is due, or
/// the 30 s of ICE.
#[tokio::test(flavor = "multi_thread")]
async fn whom_the_server_misses_in_the_handshakes_is_gone() {
    // Its share and its proof; then the offer, too.
    for messages in [2, 3] {
        let mut config = PairConfig {
            server: away_after(messages),
            ..PairConfig::default()
        };
        let links = config.emulate(&LinkConfig::default());
        links.iter().for_each(|link| link.set_outage(true));
        let (host, guest) = within("the end", connect_both(config, None)).await;
        let host = host.map(drop).unwrap_err();
        assert!(
            matches!(host, SessionError::Gone),
            "after {messages}: {host:?}"
        );
        let guest = guest.map(drop).unwrap_err();
        assert!(
            matches!(guest, SessionError::PeerLeft),
            "after {messages}: {guest:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_vanishes_is_noticed() {
    // With and without a server by which the others could be found again.
    for stopped in [true, false] {
        let mut config = hasty(8);
        let links = config.emulate(&LinkConfig::default());
        let pair = connect(config).await;
        if stopped {
            pair.server.stop();
        }
        let watches = [&pair.host, &pair.guest].map(Session::connectivity);
        links.iter().for_each(|link| link.set_outage(true));
        for (session, mut watch) in [&pair.host, &pair.guest].into_iter().zip(watches) {
            let told = within("the news", watch.wait_for(is_interrupted)).await;
            let Connectivity::Interrupted(interruption) = *told.unwrap() else {
                unreachable!("it was waited for");
            };
            let end = within("the end", session.ended()).await;
            match &*end {
                SessionError::Lost => assert!(
                    interruption.until <= Instant::now(),
                    "it gave up before its time"
                ),
                // The other one gave up before, and the server said so.
                SessionError::Gone => assert!(!stopped),
                end => panic!("{end}"),
            }
        }
    }
}

/// A pair that heals and gives up as many times faster, so that nobody waits for real outages.
fn hasty(times: u32) -> PairConfig {
    let mut config = PairConfig::default();
    for side in [&mut config.host, &mut config.guest] {
        side.healing = Healing::default().faster(times);
    }
    config
}

fn is_interrupted(now: &Connectivity) -> bool {
    matches!(now, Connectivity::Interrupted(_))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_healed_and_loses_nothing() {
    const TIMES: u32 = 5;
    let mut config = hasty(TIMES);
    let links = config.emulate(&LinkConfig::default());
    let mut pair = connect(config).await;
    let channel = pair
        .guest
        .open("kept", "", Delivery::Reliable)
        .await
        .unwrap();
    let mut kept = within("the channel", pair.host.accept())
        .await
        .unwrap()
        .channel;
    let mut watches = [&pair.host, &pair.guest].map(Session::connectivity);
    links.iter().for_each(|link| link.set_outage(true));
    // More than the window of SCTP, so that some of it is on its way and some is not.
    let sending = tokio::spawn(async move {
        for number in 0..80u8 {
            channel
                .send(Bytes::from(vec![number; 60_000]))
                .await
                .unwrap();
        }
    });
    for watch in &mut watches {
        let told = *within("the news", watch.wait_for(is_interrupted))
            .await
            .unwrap();
        assert!(
            matches!(told, Connectivity::Interrupted(now) if now.cause == Cause::PathLost),
            "{told:?}"
        );
    }
    // Not a wait for something to happen: this is how long the network is gone, 40 s made shorter.
    tokio::time::sleep(Duration::from_secs(40) / TIMES).await;
    links.iter().for_each(|link| link.set_outage(false));
    let back = Instant::now();
    for watch in &mut watches {
        within("the path", watch.wait_for(|now| !is_interrupted(now)))
            .await
            .unwrap();
    }
    println!("a path was found after {:?}", back.elapsed());
    for number in 0..80u8 {
        let message = within("a message", kept.recv()).await;
        let expected = Message::Binary(Bytes::from(vec![number; 60_000]));
        assert!(message == Some(expected), "message {number}");
    }
    println!("everything was there after {:?}", back.elapsed());
    sending.await.unwrap();
    // New channels and lanes are opened on it as before.
    echo(&pair.guest, &mut pair.host, 1 << 20).await;
    close_both(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_session_hangs_up() {
    let Pair {
        host,
        guest,
        server,
    } = connect(PairConfig::default()).await;
    drop(host);
    let end = within("the guest's end", guest.ended()).await;
    assert!(
        matches!(&*end, SessionError::Bye(bye) if bye.code == ByeCode::Cancelled),
        "{end}"
    );
    drop(server);
}
