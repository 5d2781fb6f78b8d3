//! Tracks of sessions: what is sent arrives whole, is added and taken back by either side at any time, and
//! survives loss.

#![allow(
    clippy::unwrap_used,
    reason = "a test may end by panicking, in its helpers too"
)]

use peerline::media::source::{Source, Spec};
use peerline::media::track::{IncomingTrack, Received, Sending};
use peerline::media::{Codec, Frame, Kind, OutgoingTrack};
use peerline::net::link::LinkConfig;
use peerline::session::{IncomingTracks, Session, SessionConfig, Tracks};
use peerline::testing::{Pair, PairConfig};
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// Many times what anything here takes.
const LIMIT: Duration = Duration::from_secs(30);

fn config() -> PairConfig {
    let side = || SessionConfig {
        codecs: Codec::ALL.to_vec(),
        ..SessionConfig::default()
    };
    PairConfig {
        host: side(),
        guest: side(),
        ..PairConfig::default()
    }
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = timeout(LIMIT, future).await;
    waited.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// Sends the test clip on a track, in time, until it is dropped. Gives the track back when `stop` says so.
async fn send_clip(
    mut track: OutgoingTrack,
    mut stop: tokio::sync::oneshot::Receiver<()>,
) -> OutgoingTrack {
    let source = Source::open(Spec::Test, track.codec().kind()).await;
    let mut source = source.expect("built in").expect("not none");
    while track.sending() != Sending::Yes {
        tokio::select! {
            _ = track.changed() => {}
            _ = &mut stop => return track,
        }
    }
    let begin = Instant::now();
    while let Ok(Some(frame)) = source.next().await {
        let due = tokio::time::sleep_until((begin + frame.time).into());
        tokio::select! {
            () = due => {}
            _ = &mut stop => return track,
        }
        track.send(frame).await;
    }
    track
}

struct Sender {
    task: AbortOnDropHandle<OutgoingTrack>,
    stop: tokio::sync::oneshot::Sender<()>,
}

impl Sender {
    async fn begin(tracks: &Tracks, kind: Kind) -> Self {
        let codec = match kind {
            Kind::Audio => Codec::Opus,
            Kind::Video => Codec::Vp8,
        };
        let track = within("a track", tracks.add(codec))
            .await
            .expect("can be added");
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let task = AbortOnDropHandle::new(tokio::spawn(send_clip(track, stopped)));
        Self { task, stop }
    }

    async fn end(self, tracks: &Tracks) {
        // It may have ended by itself.
        let _ = self.stop.send(());
        let track = self.task.await.expect("sends until it is told to stop");
        tracks.remove(track).await.expect("can be removed");
    }
}

async fn next_track(tracks: &mut IncomingTracks, kind: Kind) -> IncomingTrack {
    loop {
        let track = within("a track of the peer", tracks.next()).await;
        let track = track.expect("the session goes on");
        if track.kind() == kind {
            return track;
        }
    }
}

async fn next_frame(track: &mut IncomingTrack) -> Received {
    within("a frame", track.next()).await.expect("it goes on")
}

async fn frames(track: &mut IncomingTrack, count: usize) -> Vec<Received> {
    let mut frames = Vec::new();
    while frames.len() < count {
        frames.push(next_frame(track).await);
    }
    frames
}

/// Every frame of the test clip, to compare with what arrives.
async fn clip(kind: Kind) -> Vec<Frame> {
    let mut source = Source::open(Spec::Test, kind).await.unwrap().unwrap();
    let mut frames = Vec::new();
    loop {
        let frame = source.next().await.unwrap().unwrap();
        if frame.time >= Duration::from_secs(2) {
            return frames;
        }
        frames.push(frame);
    }
}

#[tokio::test]
async fn sound_and_pictures_arrive_as_they_were_sent_in_both_directions() {
    let Pair {
        mut host,
        mut guest,
        ..
    } = Pair::connect_with(config()).await.unwrap();
    let [from_host, from_guest] = [host.tracks(), guest.tracks()];
    let mut senders = Vec::new();
    for kind in [Kind::Video, Kind::Audio] {
        senders.push(Sender::begin(&from_host, kind).await);
        senders.push(Sender::begin(&from_guest, kind).await);
    }
    let mut both = [host.incoming_tracks(), guest.incoming_tracks()];
    let mut compared = Vec::new();
    for incoming in &mut both {
        let first = within("a track", incoming.next()).await.unwrap();
        let second = within("a track", incoming.next()).await.unwrap();
        let mut kinds = [first.kind(), second.kind()];
        kinds.sort_by_key(|kind| kind.to_string());
        assert_eq!(kinds, [Kind::Audio, Kind::Video]);
        compared.push(tokio::spawn(compare(first)));
        compared.push(tokio::spawn(compare(second)));
    }
    for compared in compared {
        compared.await.expect("they are the same");
    }
}

/// What arrives on a track is the clip, in its order and its time.
async fn compare(mut track: IncomingTrack) {
    let sent = clip(track.kind()).await;
    let got = frames(&mut track, 90).await;
    assert!(got[0].key);
    let begin = sent
        .iter()
        .position(|frame| frame.data == got[0].data)
        .unwrap();
    for (index, frame) in got.iter().enumerate() {
        assert_eq!(
            frame.data,
            sent[(begin + index) % sent.len()].data,
            "{index}"
        );
    }
    let rate = i64::from(track.codec().clock_rate());
    let span = got[89].ticks - got[0].ticks;
    let expected = match track.kind() {
        Kind::Video => rate * 89 / 30,
        Kind::Audio => rate * 89 / 50,
    };
    assert!((span - expected).abs() <= rate / 1000, "{span} ticks");
    // Reports come every second.
    within("a report", async {
        while track.clock().is_none() {
            next_frame(&mut track).await;
        }
    })
    .await;
    let counts = track.counter()();
    assert_eq!(counts.lost, 0);
    // Half a second until the next key frame, if the first one was here before its description.
    assert!(counts.dropped < 15, "{} frames", counts.dropped);
}

#[tokio::test]
async fn either_side_adds_and_takes_back_tracks_at_the_same_time() {
    let Pair {
        mut host,
        mut guest,
        ..
    } = Pair::connect_with(config()).await.unwrap();
    let mut both = [host.incoming_tracks(), guest.incoming_tracks()];
    let [from_host, from_guest] = [host.tracks(), guest.tracks()];
    for round in 0..4 {
        // Both at once: their offers meet.
        let (a, b) = tokio::join!(
            Sender::begin(&from_host, Kind::Video),
            Sender::begin(&from_guest, Kind::Video),
        );
        let mut got = Vec::new();
        for incoming in &mut both {
            let mut track = next_track(incoming, Kind::Video).await;
            assert!(next_frame(&mut track).await.key, "round {round}");
            got.push(track);
        }
        tokio::join!(a.end(&from_host), b.end(&from_guest));
        for mut track in got {
            within("the end of a track", async {
                while track.next().await.is_some() {}
            })
            .await;
        }
    }
    let channel = host
        .open("still", "", peerline::channel::Delivery::Reliable)
        .await
        .unwrap();
    channel.send_text("here".into()).await.unwrap();
    assert!(within("a channel", guest.accept()).await.is_some());
}

#[tokio::test]
async fn lost_packets_are_repeated_and_what_is_missing_is_made_good_by_a_key_frame() {
    let mut config = config();
    let condition = LinkConfig {
        seed: 7,
        loss: 0.03,
        delay: Duration::from_millis(10),
        jitter: Duration::from_millis(5),
        ..LinkConfig::default()
    };
    let links = config.emulate(&condition);
    let Pair {
        host, mut guest, ..
    } = Pair::connect_with(config).await.unwrap();
    let _sender = Sender::begin(&host.tracks(), Kind::Video).await;
    let mut track = next_track(&mut guest.incoming_tracks(), Kind::Video).await;
    let sent = clip(Kind::Video).await;
    let got = frames(&mut track, 180).await;
    for frame in &got {
        assert!(
            sent.iter().any(|sent| sent.data == frame.data),
            "only whole frames come"
        );
    }
    let counts = track.counter()();
    assert!(links[0].stats().lost > 3, "{:?}", links[0].stats());
    // Nearly everything is repeated in time.
    assert!(counts.lost * 100 < counts.packets, "{counts:?}");
    let span = (got[179].ticks - got[0].ticks) as f64 / 90_000.0;
    assert!(span < 7.5, "180 frames of 6 s took {span} s");
}

#[tokio::test]
async fn a_session_without_codecs_has_no_tracks() {
    let Pair { host, .. } = Pair::connect().await.unwrap();
    assert!(host.tracks().add(Codec::Vp8).await.is_err());
}

#[tokio::test]
async fn a_codec_that_the_peer_does_not_know_is_refused() {
    let mut config = config();
    config.guest.codecs = vec![Codec::Opus, Codec::Vp8];
    let Pair { host, guest, .. } = Pair::connect_with(config).await.unwrap();
    let mut track = host.tracks().add(Codec::H264).await.unwrap();
    within("a refusal", async {
        while track.sending() != Sending::Refused {
            track.changed().await;
        }
    })
    .await;
    let mut known = host.tracks().add(Codec::Vp8).await.unwrap();
    within("another track", async {
        while known.sending() != Sending::Yes {
            known.changed().await;
        }
    })
    .await;
    drop::<Session>(guest);
}

/// Far more often than tracks may be there at a time. Each is a new one in the same section.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_camera_may_be_turned_off_and_on_for_ever() {
    let Pair {
        host, mut guest, ..
    } = Pair::connect_with(config()).await.unwrap();
    let (tracks, mut incoming) = (host.tracks(), guest.incoming_tracks());
    for round in 0..60 {
        let sender = Sender::begin(&tracks, Kind::Video).await;
        let what = format!("a track in round {round}");
        let mut track = within(&what, incoming.next()).await.unwrap();
        next_frame(&mut track).await;
        sender.end(&tracks).await;
        while within("its end", track.next()).await.is_some() {}
    }
}

/// Offers that meet, and packets that overtake what describes them. On two threads, as the first packets are there while
/// it is looked up what they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tracks_that_both_sides_add_at_once_all_arrive_from_their_first_frame_on() {
    let [video, audio] = [clip(Kind::Video).await, clip(Kind::Audio).await];
    for round in 0..20 {
        let Pair {
            mut host,
            mut guest,
            ..
        } = Pair::connect_with(config()).await.unwrap();
        let [from_host, from_guest] = [host.tracks(), guest.tracks()];
        let mut senders = Vec::new();
        for kind in [Kind::Video, Kind::Audio] {
            senders.push(Sender::begin(&from_host, kind).await);
            senders.push(Sender::begin(&from_guest, kind).await);
        }
        for (side, mut incoming) in [host.incoming_tracks(), guest.incoming_tracks()]
            .into_iter()
            .enumerate()
        {
            let mut kinds = Vec::new();
            while kinds.len() < 2 {
                let what = format!("another track than {kinds:?} in round {round} at side {side}");
                let mut track = within(&what, incoming.next()).await.unwrap();
                let sent = match track.kind() {
                    Kind::Audio => &audio[0],
                    Kind::Video => &video[0],
                };
                let received = next_frame(&mut track).await;
                assert!(
                    received.data == sent.data,
                    "the first frame of {:?} is another one in round {round} at side {side}",
                    track.kind()
                );
                kinds.push(track.kind());
            }
            kinds.sort_by_key(|kind| kind.to_string());
            assert_eq!(
                kinds,
                [Kind::Audio, Kind::Video],
                "round {round}, side {side}"
            );
        }
    }
}
