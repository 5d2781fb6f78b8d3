//! Tunnels whose directions move to lanes, and back when those die.

use async_trait::async_trait;
use bytes::Bytes;
use peerline::channel::{Channel, Message};
use peerline::session::OpenLane;
use peerline::tunnel::{LABEL, LANE_PROTOCOL, Lanes, Side, Tunnel, TunnelError, pipe};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::harness::{channels, impatient, noise, outage, within};

/// Opens lanes in memory that end on both sides after so many messages. What was sent behind those is lost.
struct Mortal {
    far: mpsc::Sender<Channel>,
    life: usize,
    carried: Arc<AtomicUsize>,
}

#[async_trait]
impl OpenLane for Mortal {
    fn most(&self) -> u16 {
        1
    }

    async fn open(&self, label: String, protocol: &'static str) -> Option<Channel> {
        assert_eq!(protocol, LANE_PROTOCOL);
        let (near, mut near_end) = Channel::pair(&label);
        let (far_end, far) = Channel::pair(&label);
        let (life, carried) = (self.life, self.carried.clone());
        tokio::spawn(async move {
            for _ in 0..life {
                let Some(Message::Binary(bytes)) = near_end.recv().await else {
                    return;
                };
                if far_end.send(bytes).await.is_err() {
                    return;
                }
                carried.fetch_add(1, Ordering::Relaxed);
            }
        });
        self.far.send(far).await.ok()?;
        Some(near)
    }
}

/// Both sides send as much at once, through lanes of this life; how many messages went through those.
async fn exchange(length: usize, life: usize) -> usize {
    let carried = Arc::<AtomicUsize>::default();
    let (left, right) = Channel::pair(LABEL);
    let (near, near_lanes) = mpsc::channel(1);
    let (far, far_lanes) = mpsc::channel(1);
    let start = |channel, side, far| {
        let carried = carried.clone();
        let opener: Arc<dyn OpenLane> = Arc::new(Mortal { far, life, carried });
        Tunnel::start(channel, side, Some(opener))
    };
    let tunnels = [
        (start(left, Side::Opener, far), near_lanes, 1, 2),
        (start(right, Side::Acceptor, near), far_lanes, 2, 1),
    ];
    let sides = tunnels.map(|(tunnel, mut lanes, ours, theirs)| async move {
        let streams = async {
            let stream = match ours {
                1 => tunnel.open("x").await.unwrap(),
                _ => tunnel.accept().await.unwrap().accept(),
            };
            let (mut reader, mut writer) = stream.split();
            let writing = async {
                for piece in noise(length, ours).chunks(100_000) {
                    writer.write(piece).await.unwrap();
                }
                writer.end();
                writer.taken().await.unwrap();
            };
            let reading = async {
                let mut read = Vec::with_capacity(length);
                while let Some(bytes) = reader.read().await.unwrap() {
                    read.extend_from_slice(&bytes);
                }
                assert!(read == noise(length, theirs), "other bytes came");
                reader.take();
            };
            tokio::join!(writing, reading);
        };
        let taking = async {
            while let Some(lane) = lanes.recv().await {
                tunnel.take_lane(lane);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = streams => tunnel.close().await,
            () = taking => {}
        }
    });
    let [near, far] = sides;
    within("both directions", async { tokio::join!(near, far) }).await;
    carried.load(Ordering::Relaxed)
}

#[tokio::test]
async fn nothing_is_lost_and_nothing_comes_twice_whenever_a_lane_dies() {
    for life in [0, 1, 2, 50, 51, 300, usize::MAX] {
        let carried = exchange(24 << 20, life).await;
        assert!(carried >= life.min(300), "{carried} of {life}");
    }
}

/// A pipe on a fast link that is gone for a while. The side with much to send is the opener, or the acceptor.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_on_a_lane_survives_an_outage_and_a_restart_of_ice() {
    for sender in [0, 1] {
        let (mut pair, links) = impatient(24 << 20).await;
        let mut connectivity = pair.guest.connectivity();
        let [near, far] = channels(&mut pair).await;
        let carried = Arc::<AtomicUsize>::default();
        let (opened, mut seen) = watch::channel(0);
        let lanes = [&mut pair.guest, &mut pair.host].map(|session| {
            let Lanes { opener, incoming } = Lanes::of(session);
            let opener = opener.map(|opener| {
                let (carried, opened) = (carried.clone(), opened.clone());
                Arc::new(Counting {
                    opener,
                    opened,
                    carried,
                }) as Arc<dyn OpenLane>
            });
            Lanes { opener, incoming }
        });
        let stop = CancellationToken::new();
        let (mut stdin, input) = duplex(64 << 10);
        let (output, mut stdout) = duplex(64 << 10);
        let content = noise(48 << 20, 5);
        let expected = content.clone();
        let [opener, acceptor] = lanes;
        let (empty, sink) = (tokio::io::empty, tokio::io::sink);
        let piping = async {
            match sender {
                0 => tokio::join!(
                    pipe(near, Side::Opener, opener, input, sink(), &stop, |_| ()),
                    pipe(
                        far,
                        Side::Acceptor,
                        acceptor,
                        empty(),
                        output,
                        &stop,
                        |_| ()
                    ),
                ),
                _ => tokio::join!(
                    pipe(near, Side::Opener, opener, empty(), output, &stop, |_| ()),
                    pipe(far, Side::Acceptor, acceptor, input, sink(), &stop, |_| ()),
                ),
            }
        };
        let writing = async {
            stdin.write_all(&content).await.unwrap();
            stdin.shutdown().await.unwrap();
        };
        let reading = async {
            // While nothing is read, credit stops the writer: a lane has all the time it needs to come up.
            let mut read = vec![0; 12 << 20];
            stdout.read_exact(&mut read).await.unwrap();
            within("the first lane", seen.wait_for(|opened| *opened == 1))
                .await
                .unwrap();
            read.resize(24 << 20, 0);
            stdout.read_exact(&mut read[12 << 20..]).await.unwrap();
            let before = carried.load(Ordering::Relaxed);
            outage(&links, &mut connectivity).await;
            read.resize(36 << 20, 0);
            stdout.read_exact(&mut read[24 << 20..]).await.unwrap();
            within("the second lane", seen.wait_for(|opened| *opened == 2))
                .await
                .unwrap();
            stdout.read_to_end(&mut read).await.unwrap();
            (read, before)
        };
        let all = async { tokio::join!(piping, writing, reading) };
        let ((one, other), (), (read, before)) = within("the pipe", all).await;
        one.unwrap();
        other.unwrap();
        assert!(read == expected, "other bytes came");
        let all = carried.load(Ordering::Relaxed);
        assert!(
            before >= 1 << 20 && all >= before + (1 << 20),
            "{before} of {all}"
        );
    }
}

/// Counts lanes, and what goes through them.
struct Counting {
    opener: Arc<dyn OpenLane>,
    opened: watch::Sender<usize>,
    carried: Arc<AtomicUsize>,
}

#[async_trait]
impl OpenLane for Counting {
    fn most(&self) -> u16 {
        self.opener.most()
    }

    async fn open(&self, label: String, protocol: &'static str) -> Option<Channel> {
        let lane = self.opener.open(label.clone(), protocol).await?;
        let (near, tap) = Channel::pair(&label);
        let ((to_lane, mut from_lane), (to_near, mut from_near)) = (lane.split(), tap.split());
        self.opened.send_modify(|opened| *opened += 1);
        let carried = self.carried.clone();
        tokio::spawn(async move {
            let _open = to_near;
            loop {
                let message = tokio::select! {
                    message = from_near.recv() => message,
                    _ = from_lane.recv() => None,
                };
                let Some(message) = message else {
                    return;
                };
                carried.fetch_add(message.len(), Ordering::Relaxed);
                if to_lane.send(message).await.is_err() {
                    return;
                }
            }
        });
        Some(near)
    }
}

/// Each of the four words, about a lane that was never opened.
#[tokio::test]
async fn who_speaks_of_lanes_that_are_not_there_ends_the_tunnel() {
    for word in [
        &b"\x09\0\0\0\x01"[..],
        b"\x0a\0\0\0\x01",
        b"\x0b\0\0\0\x01\0\0\0\0\0\0\0\0",
        b"\x0c\0\0\0\x01\0\0\0\0\0\0\0\0",
    ] {
        let (channel, peer) = Channel::pair(LABEL);
        let tunnel = Tunnel::start(channel, Side::Acceptor, None);
        peer.send(Bytes::from_static(word)).await.unwrap();
        let end = within("the end", tunnel.ended()).await;
        assert!(matches!(end, TunnelError::Protocol(_)), "{word:?}: {end}");
    }
}

#[tokio::test]
async fn a_lane_is_awaited_once_and_then_read() {
    let (channel, mut peer) = Channel::pair(LABEL);
    let tunnel = Tunnel::start(channel, Side::Acceptor, None);
    let awaited = |number: u8| Message::Binary(vec![9, 0, 0, 0, number].into());
    let (first, theirs) = Channel::pair("1");
    tunnel.take_lane(theirs);
    assert_eq!(within("a word", peer.recv()).await, Some(awaited(1)));
    // Neither a name that is no number nor an old one is any use.
    for name in ["one", "1", "0"] {
        let (mut unused, theirs) = Channel::pair(name);
        tunnel.take_lane(theirs);
        assert_eq!(within("its end", unused.recv()).await, None, "{name}");
    }
    peer.send(Bytes::from_static(b"\x0a\0\0\0\x01"))
        .await
        .unwrap();
    first
        .send(Bytes::from_static(b"\x01\0\0\0\x00web"))
        .await
        .unwrap();
    let arrival = within("a stream", tunnel.accept()).await.unwrap();
    assert_eq!(arrival.target(), "web");
    // It breaks, and what went through it comes again, with something new.
    drop(first);
    for message in [
        &b"\x0c\0\0\0\x01\0\0\0\0\0\0\0\0"[..],
        b"\x01\0\0\0\x00web",
        b"\x01\0\0\0\x02next",
    ] {
        peer.send(Bytes::from_static(message)).await.unwrap();
    }
    let arrival = within("a stream", tunnel.accept()).await.unwrap();
    assert_eq!(arrival.target(), "next");
}

/// A peer that has a lane and says nothing of what came on it gets no more than 4 MiB; what waited until then goes on when it
/// says so, though nothing new is written.
#[tokio::test]
async fn what_does_not_fit_waits_and_is_not_forgotten() {
    /// Of the first stream: what makes a lane worth while, and more than fits.
    const FIRST: usize = 12 << 20;
    let (near, channel) = Channel::pair(LABEL);
    let (far, mut lanes) = mpsc::channel(1);
    let (life, carried) = (usize::MAX, Arc::default());
    let opener: Arc<dyn OpenLane> = Arc::new(Mortal { far, life, carried });
    let tunnel = Tunnel::start(near, Side::Opener, Some(opener));
    // Frames of 1,000 bytes share messages, and each message leaves a frame over for the next one.
    let streams = 400_u32;
    let mut writers = Vec::new();
    for _ in 0..streams {
        writers.push(tunnel.open("x").await.unwrap().split());
    }
    let (to_tunnel, mut from_tunnel) = channel.split();
    let say = |words: Vec<u8>| to_tunnel.send(Message::Binary(words.into()));
    for stream in 0..streams {
        let id = (2 * stream).to_be_bytes();
        say([&[2][..], &id].concat()).await.unwrap();
        say([&[4][..], &id, &(1_u64 << 40).to_be_bytes()].concat())
            .await
            .unwrap();
    }
    let mut writing = tokio::task::JoinSet::new();
    for (index, (reader, mut writer)) in writers.into_iter().enumerate() {
        writing.spawn(async move {
            let (length, piece) = if index == 0 {
                (FIRST, 60_000)
            } else {
                (12_000, 1_000)
            };
            if index != 0 {
                writer.write(&[0; 64]).await.unwrap();
            }
            for piece in noise(length, 1).chunks(piece) {
                writer.write(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            (reader, writer)
        });
    }
    let expected = FIRST + (streams as usize - 1) * (12_000 + 64);
    let (mut got, mut messages, mut lane): (usize, u64, Option<Channel>) = (0, 0, None);
    // What came and was not told, and the most that there was of it.
    let (mut untold, mut most) = (0, 0);
    let moved = async {
        loop {
            tokio::select! {
                message = from_tunnel.recv() => {
                    let Some(Message::Binary(message)) = message else {
                        panic!("it ended");
                    };
                    if message[..] == *b"\x0a\0\0\0\x01" {
                        return;
                    }
                    got += data_in(&message);
                }
                Some(opened) = lanes.recv() => {
                    lane = Some(opened);
                    say(b"\x09\0\0\0\x01".to_vec()).await.unwrap();
                }
            }
        }
    };
    within("moving", moved).await;
    let mut lane = lane.unwrap();
    while got < expected {
        let more = tokio::time::timeout(Duration::from_millis(300), lane.recv()).await;
        if let Ok(message) = more {
            let Some(Message::Binary(message)) = message else {
                panic!("it ended");
            };
            messages += 1;
            got += data_in(&message);
            untold += message.len();
            most = most.max(untold);
        } else {
            // It stopped: that is told, and it has to go on by itself.
            untold = 0;
            let word = [&[11][..], &1_u32.to_be_bytes(), &messages.to_be_bytes()].concat();
            say(word).await.unwrap();
            let next = within("what waited", lane.recv()).await;
            let Some(Message::Binary(message)) = next else {
                panic!("it ended");
            };
            messages += 1;
            got += data_in(&message);
        }
    }
    assert_eq!(got, expected);
    assert!(((3 << 20)..(5 << 20)).contains(&most), "{most}");
    while let Some(written) = within("the writers", writing.join_next()).await {
        written.unwrap();
    }
}

/// Bytes of data in a message, of one frame or several.
fn data_in(message: &[u8]) -> usize {
    match message {
        [8, several @ ..] => {
            let (mut rest, mut sum) = (several, 0);
            while let [high, low, after @ ..] = rest {
                let (frame, after) = after.split_at(usize::from(u16::from_be_bytes([*high, *low])));
                sum += data_in(frame);
                rest = after;
            }
            sum
        }
        [3, frame @ ..] => frame.len() - 4,
        _ => 0,
    }
}

#[tokio::test]
async fn the_word_about_a_lane_may_come_behind_a_newer_lane() {
    let (channel, mut peer) = Channel::pair(LABEL);
    let tunnel = Tunnel::start(channel, Side::Acceptor, None);
    let mut lanes = Vec::new();
    for number in ["1", "2"] {
        let (ours, theirs) = Channel::pair(number);
        tunnel.take_lane(theirs);
        lanes.push(ours);
        within("a word", peer.recv()).await.unwrap();
    }
    let say = |message: &'static [u8]| peer.send(Bytes::from_static(message));
    lanes[1]
        .send(Bytes::from_static(b"\x01\0\0\0\x02second"))
        .await
        .unwrap();
    say(b"\x0a\0\0\0\x01").await.unwrap();
    // What went through the first lane is lost with it, and comes again; only then the second one is read.
    say(b"\x0c\0\0\0\x01\0\0\0\0\0\0\0\0").await.unwrap();
    say(b"\x01\0\0\0\x00first").await.unwrap();
    say(b"\x0a\0\0\0\x02").await.unwrap();
    for target in ["first", "second"] {
        let arrival = within("a stream", tunnel.accept()).await.unwrap();
        assert_eq!(arrival.target(), target);
    }
}
