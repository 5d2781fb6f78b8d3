//! One source, many receivers: side by side, helping each other, and some of them false.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use peerline::channel::{Channel, Delivery, Message};
use peerline::net::link::LinkConfig;
use peerline::net::{EmulatedLink, Network};
use peerline::session::{Bye, ByeCode, Session, SessionConfig};
use peerline::testing::connect_many;
use peerline::transfer::{
    CONTROL_PROTOCOL, Channels, Crowd, Decision, HelperLine, Introduction, LANE_PROTOCOL,
    LaneCount, Lanes, Limits, MeetHelper, ReceiveOptions, Role, Sessions, Sharing, Source, Summary,
    TransferError, TransferId, receive_among, receive_over,
};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Many times what any of these takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

const MIB: usize = 1 << 20;

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

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work).await.expect("in time")
}

/// A tree to send: a large file, and smaller ones.
struct Place {
    home: tempfile::TempDir,
    large: Vec<u8>,
}

impl Place {
    fn new(bytes: usize) -> Self {
        let home = tempfile::tempdir().unwrap();
        let tree = home.path().join("tree");
        std::fs::create_dir_all(tree.join("empty")).unwrap();
        let large = noise(bytes);
        std::fs::write(tree.join("large"), &large).unwrap();
        std::fs::write(tree.join("nothing"), "").unwrap();
        for number in 0..20 {
            std::fs::write(tree.join(format!("small{number}")), noise(500 + number)).unwrap();
        }
        Self { home, large }
    }

    fn source(&self) -> Source {
        Source::scan(&[self.home.path().join("tree")]).unwrap()
    }

    fn out(&self, name: usize) -> PathBuf {
        let out = self.home.path().join(format!("out{name}"));
        std::fs::create_dir_all(&out).unwrap();
        out
    }

    fn check(&self, name: usize) {
        let tree = self.out(name).join("tree");
        assert!(std::fs::read(tree.join("large")).unwrap() == self.large);
        assert!(tree.join("empty").is_dir());
        for number in 0..20 {
            let small = std::fs::read(tree.join(format!("small{number}"))).unwrap();
            assert!(small == noise(500 + number));
        }
    }
}

fn options(out: &Path) -> ReceiveOptions {
    ReceiveOptions {
        out: out.to_owned(),
        overwrite: false,
        limits: Limits::default(),
    }
}

/// Lets those meet in memory who were told the same code; what helpers say goes through `tamper`.
struct Lobby {
    waiting: Mutex<HashMap<String, Channel>>,
    met: AtomicU64,
    tamper: fn(Message) -> Message,
}

impl Lobby {
    fn new(tamper: fn(Message) -> Message) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            met: AtomicU64::new(0),
            tamper,
        })
    }
}

#[async_trait]
impl MeetHelper for Lobby {
    async fn meet(&self, introduction: Introduction) -> Option<HelperLine> {
        let code = introduction.code.to_string();
        let other = self.waiting.lock().unwrap().remove(&code);
        let channel = other.unwrap_or_else(|| {
            let (near, middle) = Channel::pair("blocks");
            let (far, end) = Channel::pair("blocks");
            let ((to_near, mut from_near), (to_end, mut from_end)) = (middle.split(), far.split());
            let tamper = self.tamper;
            tokio::spawn(async move {
                loop {
                    let (message, to) = tokio::select! {
                        message = from_near.recv() => (message, &to_end),
                        message = from_end.recv() => (message, &to_near),
                    };
                    let Some(message) = message else { return };
                    if to.send(tamper(message)).await.is_err() {
                        return;
                    }
                }
            });
            self.waiting.lock().unwrap().insert(code, end);
            near
        });
        assert!(matches!(introduction.role, Role::Host | Role::Guest));
        self.met.fetch_add(1, Ordering::Relaxed);
        let keeps = Box::new(introduction.signaling);
        Some(HelperLine { channel, keeps })
    }
}

/// Channels whose lane is as slow as an uplink shared by all: each message waits until it is paid for.
fn channels(uplink: &Arc<Uplink>) -> (Channels, Channels) {
    let id = TransferId::random();
    let (control, far_control) = Channel::pair(&id.control_label());
    let (lane, mut near) = Channel::pair(&id.lane_label(0));
    let (far, far_lane) = Channel::pair(&id.lane_label(0));
    let uplink = uplink.clone();
    tokio::spawn(async move {
        while let Some(Message::Binary(bytes)) = near.recv().await {
            uplink.carry(bytes.len()).await;
            if far.send(bytes).await.is_err() {
                return;
            }
        }
    });
    let near = Channels { control, lane };
    let far = Channels {
        control: far_control,
        lane: far_lane,
    };
    (near, far)
}

/// Bytes a second for all, and what went through.
struct Uplink {
    rate: f64,
    free: tokio::sync::Mutex<Instant>,
    carried: AtomicU64,
}

impl Uplink {
    fn new(rate: usize) -> Arc<Self> {
        Arc::new(Self {
            rate: rate as f64,
            free: tokio::sync::Mutex::new(Instant::now()),
            carried: AtomicU64::new(0),
        })
    }

    async fn carry(&self, bytes: usize) {
        let mut free = self.free.lock().await;
        *free = (*free).max(Instant::now()) + Duration::from_secs_f64(bytes as f64 / self.rate);
        tokio::time::sleep_until((*free).into()).await;
        self.carried.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

async fn send(crowd: &Crowd, channels: Channels) -> Result<Summary, TransferError> {
    let (events, _) = mpsc::channel(1);
    let cancel = CancellationToken::new();
    crowd.send(channels, Lanes::none(), events, cancel).await
}

async fn receive(
    channels: Channels,
    meet: Option<Arc<dyn MeetHelper>>,
    out: PathBuf,
) -> Result<Summary, TransferError> {
    let (events, _) = mpsc::channel(1);
    let (cancel, accept) = (CancellationToken::new(), async |_: &_| Decision::Accept);
    let (_lanes, more) = mpsc::channel(1);
    match meet {
        Some(meet) => {
            receive_among(channels, more, meet, options(&out), accept, events, cancel).await
        }
        None => receive_over(channels, more, options(&out), accept, events, cancel).await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_block_leaves_about_once_and_everybody_has_everything() {
    let place = Place::new(24 * MIB);
    let crowd = Crowd::new(place.source(), Sharing::Together);
    let (lobby, uplink) = (Lobby::new(|message| message), Uplink::new(16 * MIB));
    let transfers = (0..4).map(|number| {
        let (near, far) = channels(&uplink);
        let receiving = receive(far, Some(lobby.clone()), place.out(number));
        async { tokio::join!(send(&crowd, near), receiving) }
    });
    let ends = in_time(join_all(transfers)).await;
    let mut helped = 0;
    for (number, (sent, received)) in ends.into_iter().enumerate() {
        let (sent, received) = (sent.unwrap(), received.unwrap());
        assert_eq!(sent.digest, received.digest);
        helped += received.helped;
        place.check(number);
    }
    assert_eq!(lobby.met.load(Ordering::Relaxed), 12);
    let carried = uplink.carried.load(Ordering::Relaxed) as f64 / place.large.len() as f64;
    println!("the sender sent everything {carried:.2} times, {helped} bytes came from others");
    assert!(carried < 1.6, "{carried}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lies_is_dropped_and_nothing_of_it_is_believed() {
    /// Changes a byte of every piece.
    fn lie(message: Message) -> Message {
        match message {
            Message::Binary(bytes) => {
                let mut bytes = bytes.to_vec();
                *bytes.last_mut().unwrap() ^= 1;
                Message::Binary(bytes.into())
            }
            text => text,
        }
    }
    /// Gives what nobody asked for.
    fn push(message: Message) -> Message {
        match message {
            Message::Binary(_) => Message::Binary(Bytes::from_static(&[0, 0, 0, 1, 9, 9, 9, 9, 9])),
            text => text,
        }
    }
    /// Claims what there is not, and babbles.
    fn claim(_: Message) -> Message {
        Message::Text(r#"{"type":"has","blocks":[[0,4000000000]]}"#.to_owned())
    }
    fn babble(_: Message) -> Message {
        Message::Text("[".repeat(60_000))
    }
    /// Wants what is not there, and never stops.
    fn want(_: Message) -> Message {
        Message::Text(r#"{"type":"want","block":3999999999}"#.to_owned())
    }
    /// Says the same again.
    fn again(_: Message) -> Message {
        Message::Text(r#"{"type":"has","blocks":[[0,1],[0,1]]}"#.to_owned())
    }
    for tamper in [lie, push, claim, babble, want, again] {
        let place = Place::new(8 * MIB);
        let crowd = Crowd::new(place.source(), Sharing::Together);
        let (lobby, uplink) = (Lobby::new(tamper), Uplink::new(64 * MIB));
        let transfers = (0..3).map(|number| {
            let (near, far) = channels(&uplink);
            let receiving = receive(far, Some(lobby.clone()), place.out(number));
            async { tokio::join!(send(&crowd, near), receiving) }
        });
        for (number, (sent, received)) in in_time(join_all(transfers)).await.into_iter().enumerate()
        {
            assert_eq!(sent.unwrap().digest, received.as_ref().unwrap().digest);
            assert_eq!(received.unwrap().helped, 0);
            place.check(number);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_know_of_others_and_one_that_comes_back() {
    let place = Place::new(16 * MIB);
    let crowd = Crowd::new(place.source(), Sharing::Together);
    let (lobby, uplink) = (Lobby::new(|message| message), Uplink::new(16 * MIB));
    let whole = |number: usize, meet: Option<Arc<dyn MeetHelper>>| {
        let (near, far) = channels(&uplink);
        let receiving = receive(far, meet, place.out(number));
        async { tokio::join!(send(&crowd, near), receiving) }
    };
    // The third one is gone in the middle, and is there again.
    let interrupted = async {
        let (near, far) = channels(&uplink);
        let receiving = receive(far, Some(lobby.clone()), place.out(2));
        let sent = tokio::select! {
            sent = send(&crowd, near) => Some(sent),
            _ = receiving => None,
            () = async {
                while uplink.carried.load(Ordering::Relaxed) < 12 << 20 {
                    tokio::task::yield_now().await;
                }
            } => None,
        };
        assert!(sent.is_none_or(|sent| sent.is_err()));
        whole(2, Some(lobby.clone())).await
    };
    let (one, two, three) =
        in_time(async { tokio::join!(whole(0, Some(lobby.clone())), whole(1, None), interrupted) })
            .await;
    for (number, (sent, received)) in [one, two, three].into_iter().enumerate() {
        assert_eq!(sent.unwrap().digest, received.unwrap().digest, "{number}");
        place.check(number);
    }
}

#[tokio::test]
async fn what_no_receiver_says_ends_its_own_transfer_only() {
    let place = Place::new(MIB);
    let crowd = Crowd::new(place.source(), Sharing::Together);
    let uplink = Uplink::new(64 * MIB);
    let accept = r#"{"type":"accept","share":true}"#;
    for (says, harmless) in [
        (r#"{"type":"got","blocks":[[0,99]]}"#, false),
        (
            r#"{"type":"got","blocks":[[4294967295,4294967295]]}"#,
            false,
        ),
        (r#"{"type":"resend","file":0,"block":4000}"#, false),
        (
            r#"{"type":"introduce","helper":1,"code":"x","side":"host"}"#,
            false,
        ),
        (r#"{"type":"linked","helper":77}"#, true),
        (r#"{"type":"relay","helper":77,"data":"AQ"}"#, true),
        (r#"{"type":"unlinked","helper":0}"#, true),
    ] {
        let (near, mut far) = channels(&uplink);
        let talking = async {
            far.control.send_text(accept.to_owned()).await.unwrap();
            far.control.send_text(says.to_owned()).await.unwrap();
            // It says that it goes, or is not heard of again until we go.
            loop {
                tokio::select! {
                    message = far.control.recv() => match message {
                        Some(Message::Text(text)) if text.contains("\"complete\"") => break,
                        Some(_) => {}
                        None => break,
                    },
                    message = far.lane.recv() => if message.is_none() { break },
                }
            }
            far.control
                .send_text(r#"{"type":"cancel","code":"cancelled","message":""}"#.to_owned())
                .await
                .ok();
            while far.control.recv().await.is_some() {}
        };
        let (sent, ()) = in_time(async { tokio::join!(send(&crowd, near), talking) }).await;
        let error = sent.unwrap_err();
        let ours = matches!(error, TransferError::Peer { .. });
        assert_eq!(ours, harmless, "{says}: {error}");
    }
    let (near, far) = channels(&uplink);
    let both = async { tokio::join!(send(&crowd, near), receive(far, None, place.out(0))) };
    let (sent, received) = in_time(both).await;
    assert_eq!(sent.unwrap().digest, received.unwrap().digest);
}

/// What one transfer between sessions came to.
struct Outcome {
    received: Summary,
    at: Instant,
}

async fn over_session(
    crowd: &Crowd,
    (host, mut guest): (Session, Session),
    out: PathBuf,
) -> Outcome {
    let id = TransferId::random();
    let open = async |label: String, protocol| {
        let opened = host.open(label, protocol, Delivery::Reliable).await;
        opened.unwrap()
    };
    let near = Channels {
        control: open(id.control_label(), CONTROL_PROTOCOL).await,
        lane: open(id.lane_label(0), LANE_PROTOCOL).await,
    };
    let lanes = Lanes {
        opener: Some(Box::new(host.lanes())),
        count: LaneCount::Exactly(1),
        ..Lanes::none()
    };
    let (events, _) = mpsc::channel(1);
    let sending = crowd.send(near, lanes, events, CancellationToken::new());
    let meet = Arc::new(Sessions::like(&guest));
    let receiving = async {
        let control = guest.accept().await.unwrap().channel;
        let lane = guest.accept().await.unwrap().channel;
        let mut incoming = guest.incoming();
        let (lanes, more) = mpsc::channel(16);
        let (events, _) = mpsc::channel(1);
        let receiving = receive_among(
            Channels { control, lane },
            more,
            meet,
            options(&out),
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
    };
    let (sent, received) = tokio::join!(sending, receiving);
    let at = Instant::now();
    assert_eq!(sent.expect("sent").digest, received.digest);
    guest.close(Bye::new(ByeCode::Done, "done")).await;
    Outcome { received, at }
}

/// Sends to so many receivers at once over an uplink of 20 MiB/s: how long it took, and what each came to.
async fn from_one(receivers: u16, sharing: Sharing, bytes: usize) -> (Duration, Vec<Outcome>) {
    let place = Place::new(bytes);
    let crowd = Crowd::new(place.source(), sharing);
    let uplink = EmulatedLink::new(LinkConfig {
        delay: Duration::from_millis(2),
        rate: Some(20 << 20),
        // As much as is on its way at most: what SCTP does about losses is not the question.
        queue: 32 << 20,
        ..LinkConfig::default()
    });
    let host = SessionConfig {
        network: Network::Emulated(uplink),
        ..SessionConfig::default()
    };
    let pairs = connect_many(receivers, host, SessionConfig::default())
        .await
        .unwrap();
    let begun = Instant::now();
    let transfers = pairs
        .into_iter()
        .enumerate()
        .map(|(number, pair)| over_session(&crowd, pair, place.out(number)));
    let outcomes = in_time(join_all(transfers)).await;
    let last = outcomes.iter().map(|outcome| outcome.at).max().unwrap();
    (0..usize::from(receivers)).for_each(|number| place.check(number));
    (last - begun, outcomes)
}

#[tokio::test(flavor = "multi_thread")]
async fn four_that_help_each_other_take_less_than_twice_as_long_as_one() {
    let (single, _) = from_one(1, Sharing::Together, 60 * MIB).await;
    let (four, outcomes) = from_one(4, Sharing::Together, 60 * MIB).await;
    let helped: Vec<u64> = outcomes
        .iter()
        .map(|end| end.received.helped >> 20)
        .collect();
    println!("one: {single:?}, four: {four:?}; MiB from each other: {helped:?}");
    assert!(four < 2 * single, "{four:?} for four, {single:?} for one");
    // Alone on the uplink, four would take four times as long.
    assert!(helped.iter().sum::<u64>() > 60, "{helped:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_do_not_help_each_other_get_equal_shares() {
    let (_, outcomes) = from_one(4, Sharing::Apart, 15 * MIB).await;
    let times: Vec<f64> = outcomes
        .iter()
        .map(|end| end.received.elapsed.as_secs_f64())
        .collect();
    println!("{times:?}");
    let (first, last) = times.iter().fold((f64::MAX, 0.0_f64), |(low, high), time| {
        (low.min(*time), high.max(*time))
    });
    assert!(last < 3.0 * first, "{times:?}");
    assert!(outcomes.iter().all(|end| end.received.helped == 0));
}
