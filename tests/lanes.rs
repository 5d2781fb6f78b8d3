//! Transfers over several lanes between two sessions, on links that lose, delay, and swallow large
//! datagrams.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use peerline::channel::{Channel, Delivery};
use peerline::net::link::LinkConfig;
use peerline::session::{Bye, ByeCode, Session};
use peerline::testing::{Pair, PairConfig};
use peerline::transfer::{
    CONTROL_PROTOCOL, Channels, Decision, Event, LANE_PROTOCOL, LaneCount, Lanes, ReceiveOptions,
    Source, Summary, TransferId, receive_over, send_over,
};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Many times what any of these takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);

const MIB: usize = 1 << 20;

/// Bytes that differ from block to block.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

async fn channels(session: &Session) -> Channels {
    let id = TransferId::random();
    let open = async |label: String, protocol| -> Channel {
        session
            .open(label, protocol, Delivery::Reliable)
            .await
            .unwrap()
    };
    Channels {
        control: open(id.control_label(), CONTROL_PROTOCOL).await,
        lane: open(id.lane_label(0), LANE_PROTOCOL).await,
    }
}

async fn receive(session: &mut Session, out: PathBuf) -> Summary {
    let mut control = session.accept().await.unwrap();
    let mut lane = session.accept().await.unwrap();
    // What was opened later may come sooner.
    if control.protocol != CONTROL_PROTOCOL {
        std::mem::swap(&mut control, &mut lane);
    }
    let (control, lane) = (control.channel, lane.channel);
    let mut incoming = session.incoming();
    let (lanes, more) = mpsc::channel(16);
    let options = ReceiveOptions {
        out,
        overwrite: false,
        limits: peerline::transfer::Limits::default(),
    };
    let (events, _) = mpsc::channel(1);
    let receiving = receive_over(
        Channels { control, lane },
        more,
        options,
        async |_| Decision::Accept,
        events,
        CancellationToken::new(),
    );
    let passing = async {
        while let Some(lane) = incoming.next().await {
            let _ = lanes.send(lane.channel).await;
        }
        std::future::pending::<()>().await
    };
    tokio::select! {
        result = receiving => result.expect("received"),
        () = passing => unreachable!("it never returns"),
    }
}

/// What one transfer came to: the two summaries, and each progress that was told and when.
struct Outcome {
    sent: Summary,
    received: Summary,
    progress: Vec<(Instant, u64)>,
}

/// Sends a file of `bytes` bytes from host to guest; `watch` is told of all progress.
async fn transfer(
    pair: &mut Pair,
    bytes: usize,
    count: LaneCount,
    round_trip: Duration,
    mut watch: impl FnMut(u64),
) -> Outcome {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    std::fs::write(&file, noise(bytes)).unwrap();
    let out = place.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let lanes = Lanes {
        opener: Some(Box::new(pair.host.lanes())),
        count,
        round_trip,
        limit: None,
    };
    let (events, mut queue) = mpsc::channel(64);
    let mut progress = Vec::new();
    let watching = async {
        while let Some(event) = queue.recv().await {
            if let Event::Progress { bytes, .. } = event {
                progress.push((Instant::now(), bytes));
                watch(bytes);
            }
        }
    };
    let source = Source::scan(&[file]).unwrap();
    let channels = channels(&pair.host).await;
    let sending = send_over(channels, lanes, source, events, CancellationToken::new());
    let both = async { tokio::join!(sending, receive(&mut pair.guest, out.clone()), watching) };
    let (sent, received, ()) = tokio::time::timeout(LIMIT, both)
        .await
        .expect("the transfer takes too long");
    let sent = sent.expect("sent");
    assert_eq!(sent.digest, received.digest);
    assert!(std::fs::read(out.join("file")).unwrap() == noise(bytes));
    Outcome {
        sent,
        received,
        progress,
    }
}

async fn close(pair: Pair) {
    pair.guest.close(Bye::new(ByeCode::Done, "done")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_whole_over_any_number_of_lanes() {
    for count in [1, 2, 4] {
        let mut pair = Pair::connect().await.unwrap();
        let exactly = LaneCount::Exactly(count);
        let outcome = transfer(&mut pair, 64 * MIB, exactly, Duration::ZERO, |_| ()).await;
        println!("{count} lanes: {:?}", outcome.sent);
        assert_eq!((outcome.sent.lanes, outcome.received.lanes), (count, count));
        // Loopback carries 64 KiB.
        let packet = Some(16_376);
        assert_eq!(
            (outcome.sent.packet, outcome.received.packet),
            (packet, packet)
        );
        close(pair).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_are_as_large_as_the_path_carries() {
    for (mtu, packet) in [(1_500 - 28, 1_472), (1_300, 1_228)] {
        let mut config = PairConfig::default();
        config.emulate(&LinkConfig {
            mtu: Some(mtu),
            // Long enough for a search and a lane.
            rate: Some(5_000_000),
            ..LinkConfig::default()
        });
        let mut pair = Pair::connect_with(config).await.unwrap();
        let outcome = transfer(
            &mut pair,
            12 * MIB,
            LaneCount::Exactly(1),
            Duration::ZERO,
            |_| (),
        )
        .await;
        assert_eq!(outcome.received.packet, Some(packet), "{mtu}");
        close(pair).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_begins_to_swallow_large_packets_is_noticed_within_a_second() {
    let mut config = PairConfig::default();
    let links = config.emulate(&LinkConfig {
        delay: Duration::from_millis(5),
        rate: Some(10_000_000),
        // Nothing is lost but what is too large: SCTP's own timeouts of a second are not the question.
        queue: 16 << 20,
        ..LinkConfig::default()
    });
    let mut pair = Pair::connect_with(config).await.unwrap();
    let mut swallowed = None;
    let outcome = transfer(
        &mut pair,
        32 * MIB,
        LaneCount::Exactly(1),
        Duration::ZERO,
        |bytes| {
            if bytes > 8 << 20 && swallowed.is_none() {
                links.iter().for_each(|link| link.set_mtu(Some(1_472)));
                swallowed = Some(Instant::now());
            }
        },
    )
    .await;
    assert_eq!(
        outcome.sent.packet,
        Some(16_376),
        "it began with large packets"
    );
    assert!(links[0].stats().oversized > 0);
    let swallowed = swallowed.unwrap();
    // What was on its way still arrives, so the time in which nothing does is what counts.
    let times = outcome
        .progress
        .iter()
        .map(|(at, _)| *at)
        .filter(|at| *at >= swallowed);
    let gap = times
        .scan(swallowed, |before, at| {
            Some(at - std::mem::replace(before, at))
        })
        .max()
        .unwrap();
    println!("nothing arrived for {gap:?}");
    // Progress comes in blocks of a tenth of a second, and a busy machine has its own pauses.
    assert!(gap < Duration::from_millis(1_500), "{gap:?}");
    close(pair).await;
}

/// What SCTP's congestion control takes for the files below: 1.4 Mbit/s on one lane, and less with jitter.
const WITHOUT_REPAIR: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_long_path_that_loses_is_repaired() {
    let mut config = PairConfig::default();
    let links = config.emulate(&LinkConfig {
        delay: Duration::from_millis(50),
        rate: Some(12_500_000),
        loss: 0.01,
        mtu: Some(1_472),
        seed: 3,
        ..LinkConfig::default()
    });
    let mut pair = Pair::connect_with(config).await.unwrap();
    let outcome = transfer(
        &mut pair,
        12 * MIB,
        LaneCount::Exactly(1),
        Duration::from_millis(100),
        |_| (),
    )
    .await;
    let elapsed = outcome.sent.elapsed;
    println!("{elapsed:?}, {:?}", links[0].stats());
    assert!(links[0].stats().lost > 50);
    // 6 s were measured on a busy machine, most of which are slow start.
    assert!(elapsed < WITHOUT_REPAIR / 2, "{elapsed:?}");
    close(pair).await;
}

/// It did not end in 90 s before the session's own connection was repaired, and DTLS took what came late.
#[tokio::test(flavor = "multi_thread")]
async fn a_path_with_jitter_that_loses_doubles_and_disorders_is_repaired() {
    let mut config = PairConfig::default();
    let links = config.emulate(&LinkConfig {
        delay: Duration::from_millis(15),
        jitter: Duration::from_millis(10),
        rate: Some(12_500_000),
        loss: 0.02,
        reorder: 0.02,
        duplicate: 0.02,
        mtu: Some(1_472),
        seed: 7,
        ..LinkConfig::default()
    });
    let mut pair = Pair::connect_with(config).await.unwrap();
    let round_trip = Duration::from_millis(30);
    let outcome = transfer(&mut pair, 8 * MIB, LaneCount::Auto, round_trip, |_| ()).await;
    let elapsed = outcome.sent.elapsed;
    println!("{elapsed:?}, {:?}", links[0].stats());
    assert!(links[0].stats().lost > 50);
    // 2 s were measured on a busy machine.
    assert!(elapsed < WITHOUT_REPAIR / 2, "{elapsed:?}");
    close(pair).await;
}

/// A lane says over another connection that it is over, and that may come before the end of what it carried.
#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_was_closed_still_gives_away_what_it_brought() {
    // Less than SCTP takes while nobody reads, and more than waits in a channel's own queue.
    const MESSAGES: usize = 22;
    let mut pair = Pair::connect().await.unwrap();
    let lane = pair.host.lanes().open("full", "test").await.unwrap();
    let mut theirs = pair.guest.accept().await.unwrap().channel;
    for _ in 0..MESSAGES {
        lane.send(vec![7; 65_000].into()).await.unwrap();
    }
    drop(lane);
    // So many round trips are longer than it takes a lane to close.
    let ball = pair
        .host
        .open("ball", "", Delivery::Reliable)
        .await
        .unwrap();
    let mut ball = (ball, pair.guest.accept().await.unwrap().channel);
    for _ in 0..500 {
        ball.0.send_text("there".into()).await.unwrap();
        ball.1.recv().await.unwrap();
        ball.1.send_text("and back".into()).await.unwrap();
        ball.0.recv().await.unwrap();
    }
    for message in 0..MESSAGES {
        let received = tokio::time::timeout(LIMIT, theirs.recv()).await.unwrap();
        assert!(received.is_some(), "after {message} messages");
    }
    assert_eq!(theirs.recv().await, None);
}
