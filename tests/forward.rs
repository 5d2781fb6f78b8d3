//! A room with a forwarder in it: everybody gets what the others send, whole, at any time, and across loss.

#![allow(
    clippy::unwrap_used,
    reason = "a test may end by panicking, in its helpers too"
)]

use peerline::forward::{Event, ForwardedRoom};
use peerline::media::source::{Source, Spec};
use peerline::media::track::{IncomingTrack, Received, Sending};
use peerline::media::{Codec, Kind, OutgoingTrack};
use peerline::net::link::LinkConfig;
use peerline::net::{EmulatedLink, Network};
use peerline::session::{FORWARDER, Healing, IncomingTracks, PlainSession, SessionConfig};
use peerline::signaling::Signaling;
use peerline::signaling::memory::Server;
use peerline::signaling_protocol::{Join, Joined};
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// Many times what anything here takes.
const LIMIT: Duration = Duration::from_secs(40);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = timeout(LIMIT, future).await;
    waited.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

fn config() -> SessionConfig {
    SessionConfig {
        codecs: Codec::ALL.to_vec(),
        loopback: true,
        healing: Healing {
            // Shorter than a clip: what is negotiated meanwhile ends no call.
            path_failed: Duration::from_millis(1_500),
            ..Healing::default()
        },
        ..SessionConfig::default()
    }
}

/// One server with one room.
struct World(Server);

/// The forwarder, and what it says.
struct Forwarder {
    room: ForwardedRoom,
}

impl World {
    async fn enter(&self, name: Option<&str>) -> (Signaling, Joined) {
        let join = Join {
            room: Some("talk".parse().unwrap()),
            name: name.map(|name| name.parse().unwrap()),
            ..Join::default()
        };
        self.0.join(join).await.unwrap()
    }

    async fn forwarder(&self) -> Forwarder {
        let (signaling, joined) = self.enter(Some(FORWARDER)).await;
        let room = ForwardedRoom::open(signaling, joined, config());
        Forwarder { room }
    }

    async fn member(&self, config: SessionConfig, sent: &[Codec]) -> Someone {
        let (signaling, joined) = self.enter(None).await;
        let met = PlainSession::meet(signaling, &joined, config, sent);
        let (mut session, tracks) = within("a call", met).await.unwrap();
        let incoming = session.incoming_tracks();
        let send = |track| AbortOnDropHandle::new(tokio::spawn(send_clip(track)));
        Someone {
            incoming,
            session,
            _sending: tracks.into_iter().map(send).collect(),
        }
    }
}

impl Forwarder {
    async fn hears(&mut self, what: &str, matches: impl Fn(&Event) -> bool) -> Event {
        within(what, async {
            loop {
                let event = self.room.next().await.expect("it goes on");
                if matches(&event) {
                    return event;
                }
            }
        })
        .await
    }

    /// So many members are connected.
    async fn counts(&mut self, members: usize) {
        for _ in 0..members {
            self.hears("a member", |event| matches!(event, Event::Joined(_)))
                .await;
        }
    }
}

struct Someone {
    session: PlainSession,
    incoming: IncomingTracks,
    _sending: Vec<AbortOnDropHandle<()>>,
}

impl Someone {
    async fn track(&mut self, kind: Kind) -> IncomingTrack {
        loop {
            let Some(track) = within("a track", self.incoming.next()).await else {
                panic!("{}", self.session.ended().await);
            };
            if track.kind() == kind {
                return track;
            }
        }
    }
}

/// Sends the test clip on a track, in time.
async fn send_clip(mut track: OutgoingTrack) {
    let source = Source::open(Spec::Test, track.codec().kind()).await;
    let mut source = source.expect("built in").expect("not none");
    while track.sending() != Sending::Yes {
        track.changed().await;
    }
    let begin = Instant::now();
    while let Ok(Some(frame)) = source.next().await {
        tokio::time::sleep_until((begin + frame.time).into()).await;
        track.send(frame).await;
    }
}

async fn frames(track: &mut IncomingTrack, count: usize) -> Vec<Received> {
    let mut frames = Vec::new();
    while frames.len() < count {
        let frame = within("a frame", track.next()).await;
        frames.push(frame.expect("the track goes on"));
    }
    frames
}

/// Every frame of the test clip, which repeats.
async fn clip(kind: Kind) -> Vec<bytes::Bytes> {
    let mut source = Source::open(Spec::Test, kind).await.unwrap().unwrap();
    let mut frames = Vec::new();
    loop {
        let frame = source.next().await.unwrap().unwrap();
        if frame.time >= Duration::from_secs(2) {
            return frames;
        }
        frames.push(frame.data);
    }
}

/// What came is the clip, in its order and its time, from some frame on.
async fn is_the_clip(mut track: IncomingTrack, count: usize) {
    let sent = clip(track.kind()).await;
    let got = frames(&mut track, count).await;
    assert!(got[0].key);
    let begin = sent.iter().position(|frame| *frame == got[0].data).unwrap();
    for (index, frame) in got.iter().enumerate() {
        assert_eq!(frame.data, sent[(begin + index) % sent.len()], "{index}");
    }
    let rate = i64::from(track.codec().clock_rate());
    let span = got[count - 1].ticks - got[0].ticks;
    let expected = rate * (count as i64 - 1) / if track.kind() == Kind::Video { 30 } else { 50 };
    assert!((span - expected).abs() <= rate / 1000, "{span} ticks");
}

const BOTH: [Codec; 2] = [Codec::Vp8, Codec::Opus];

#[tokio::test]
async fn everybody_gets_what_the_others_send_whenever_they_come() {
    let world = World(Server::new());
    let mut forwarder = world.forwarder().await;
    let mut publisher = world.member(config(), &BOTH).await;
    let mut first = world.member(config(), &[]).await;
    let mut second = world.member(config(), &BOTH).await;
    assert!(publisher.session.is_forwarded());
    // What is not read at once is dropped, so all are read at the same time.
    let mut compared = tokio::task::JoinSet::new();
    for (who, tracks) in [(&mut first, 4), (&mut second, 2), (&mut publisher, 2)] {
        for _ in 0..tracks {
            let track = within("a track", who.incoming.next()).await.unwrap();
            compared.spawn(is_the_clip(track, 60));
        }
    }
    while let Some(compared) = compared.join_next().await {
        compared.expect("they are the same");
    }
    // Somebody comes late, and has a picture before anything else can have been made for them.
    let (asked, mut late) = (Instant::now(), world.member(config(), &[]).await);
    let connected = asked.elapsed();
    let mut picture = late.track(Kind::Video).await;
    assert!(frames(&mut picture, 1).await[0].key);
    println!(
        "a picture {:?} after joining, connected after {connected:?}",
        asked.elapsed()
    );
    forwarder.counts(4).await;

    // Who leaves takes their tracks along, and nobody else's.
    let mut tracks = [picture, late.track(Kind::Video).await];
    publisher.session.close().await;
    forwarder
        .hears("its end", |event| matches!(event, Event::Left(_)))
        .await;
    within("the end of one track", async {
        loop {
            let [a, b] = &mut tracks;
            let ended = tokio::select! {
                frame = a.next() => frame.is_none(),
                frame = b.next() => frame.is_none(),
            };
            if ended {
                return;
            }
        }
    })
    .await;
    let totals = forwarder.room.close().await;
    assert!(totals.counts.sent > totals.counts.received, "{totals:?}");
    assert_eq!(totals.counts.dropped, 0);
    let end = within("its end", second.session.ended()).await;
    println!("{end}");
}

#[tokio::test]
async fn what_is_lost_on_the_way_to_the_forwarder_is_repeated_for_all() {
    let world = World(Server::new());
    let mut forwarder = world.forwarder().await;
    let lossy = EmulatedLink::new(LinkConfig {
        seed: 3,
        loss: 0.05,
        delay: Duration::from_millis(10),
        ..LinkConfig::default()
    });
    let network = Network::Emulated(lossy.clone());
    let publisher = SessionConfig {
        network,
        ..config()
    };
    let _publisher = world.member(publisher, &[Codec::Vp8]).await;
    forwarder.counts(1).await;
    let mut receivers = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let mut receiver = world.member(config(), &[]).await;
        receivers.spawn(async move {
            let mut picture = receiver.track(Kind::Video).await;
            let got = frames(&mut picture, 150).await;
            (got, picture.counter()())
        });
    }
    let sent = clip(Kind::Video).await;
    while let Some(received) = receivers.join_next().await {
        let (got, counts) = received.expect("it is received");
        assert!(
            got.iter().all(|frame| sent.contains(&frame.data)),
            "only whole frames come"
        );
        let span = (got[149].ticks - got[0].ticks) as f64 / 90_000.0;
        let rate = 149.0 / span;
        println!("{rate:.1} of 30 pictures a second, {counts:?}");
        assert!(rate >= 24.0, "{rate} pictures a second");
    }
    assert!(lossy.stats().lost > 10, "{:?}", lossy.stats());
}

#[tokio::test]
async fn what_is_lost_on_the_way_to_one_receiver_is_repeated_from_the_cache() {
    let world = World(Server::new());
    let (signaling, joined) = world.enter(Some(FORWARDER)).await;
    let lossy = EmulatedLink::new(LinkConfig {
        seed: 5,
        loss: 0.05,
        delay: Duration::from_millis(10),
        ..LinkConfig::default()
    });
    let network = Network::Emulated(lossy.clone());
    let forwarding = SessionConfig {
        network,
        ..config()
    };
    let room = ForwardedRoom::open(signaling, joined, forwarding);
    let _publisher = world.member(config(), &[Codec::Vp8]).await;
    let mut receiver = world.member(config(), &[]).await;
    let mut picture = receiver.track(Kind::Video).await;
    let got = frames(&mut picture, 150).await;
    let rate = 149.0 / ((got[149].ticks - got[0].ticks) as f64 / 90_000.0);
    let counts = picture.counter()();
    println!("{rate:.1} of 30 pictures a second, {counts:?}");
    assert!(rate >= 24.0, "{rate} pictures a second, {counts:?}");
    let totals = room.close().await;
    println!("{totals:?}");
    // Five in a hundred are lost of some 240 packets, and of what else the link carries.
    assert!(totals.counts.resent > 0, "{totals:?}");
    assert!(counts.lost * 100 < counts.packets, "{counts:?}");
}

#[tokio::test]
async fn members_call_the_forwarder_when_it_comes_and_are_told_when_another_is_there() {
    let world = World(Server::new());
    let (waiting, pair) = tokio::join!(world.member(config(), &BOTH), async {
        world.member(config(), &BOTH).await
    });
    assert!(!waiting.session.is_forwarded());
    let mut forwarder = world.forwarder().await;
    within("news of it", waiting.session.forwarder_came()).await;
    within("news of it", pair.session.forwarder_came()).await;
    waiting.session.close().await;
    let again = world.member(config(), &[]).await;
    assert!(again.session.is_forwarded());
    forwarder.counts(1).await;
    forwarder.room.close().await;
    let end = within("its end", again.session.ended()).await;
    assert!(
        matches!(*end, peerline::session::SessionError::Gone),
        "{end}"
    );
}
