//! Outages: what is healed, what is given up, and what is told meanwhile.

use crate::{close_both, connect, echo, within};
use bytes::Bytes;
use peerline::channel::{Delivery, Message};
use peerline::net::link::LinkConfig;
use peerline::session::{Cause, Connectivity, Healing, Session, SessionError};
use peerline::signaling::memory::Server;
use peerline::testing::{PairConfig, connect_both};
use signaling_protocol::ServerMessage;
use std::time::{Duration, Instant};

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
