//! Pictures that are encoded here, over a link that carries less than they could take: they follow it down and up.

#![allow(
    clippy::unwrap_used,
    reason = "a test may end by panicking, in its helpers too"
)]

use peerline::media::source::pace::Pace;
use peerline::media::source::{Source, Spec};
use peerline::media::track::{Received, Sending};
use peerline::media::{Codec, Frame, Kind, OutgoingTrack};
use peerline::net::link::LinkConfig;
use peerline::net::{EmulatedLink, Network};
use peerline::session::SessionConfig;
use peerline::testing::{Pair, PairConfig};
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// Many times what a frame takes.
const LIMIT: Duration = Duration::from_secs(30);

/// Bytes a second of the narrow link, and how long it is one.
const NARROW: u64 = 500_000 / 8;
const LOW: Duration = Duration::from_secs(25);

/// How long a wide link may take to be used.
const HIGH: Duration = Duration::from_secs(75);

/// A film that takes whatever an encoder is given, and no more: a little noise over a picture that moves.
fn film(path: &std::path::Path, seconds: u32) {
    let input = format!("testsrc2=size=640x360:rate=30:duration={seconds},noise=alls=8:allf=t");
    let status = Command::new("ffmpeg")
        .args(["-y", "-v", "error", "-f", "lavfi", "-i", &input])
        .args(["-c:v", "mpeg4", "-q:v", "5", "-pix_fmt", "yuv420p"])
        .arg(path)
        .status();
    let status = status.expect("ffmpeg is there; run `scripts/test install`");
    assert!(status.success());
}

/// Sends a source on a track in its time, as a call does.
async fn send(mut source: Source, mut track: OutgoingTrack) {
    while track.sending() != Sending::Yes {
        track.changed().await;
    }
    let mut pace = Pace::new(Instant::now());
    while let Ok(Some(frame)) = source.next().await {
        let due = pace.due(Instant::now(), frame.time);
        tokio::time::sleep_until(due.into()).await;
        if let Some(rate) = track.path_carries() {
            source.path_carries(rate);
        }
        let time = pace.time(frame.time);
        if !track.send(Frame { time, ..frame }).await {
            return;
        }
    }
}

/// Frames: when each came, its size, and how much later it came than it was due, in ms; only differences say something.
#[derive(Default)]
struct Seen(Vec<(Instant, usize, i64)>);

impl Seen {
    fn add(&mut self, first: &Received, frame: &Received) {
        let due = (frame.ticks - first.ticks) / 90;
        let late = (frame.arrived - first.arrived).as_millis() as i64 - due;
        self.0.push((frame.arrived, frame.data.len(), late));
    }

    /// Bits a second, and by how many ms 19 of 20 frames came at most later than the soonest of all, from then on.
    fn since(&self, from: Instant) -> (u64, i64) {
        let soonest = self.0.iter().map(|(.., late)| *late).min();
        let all: Vec<_> = self.0.iter().filter(|(at, ..)| *at >= from).collect();
        let bytes: usize = all.iter().map(|(_, size, _)| size).sum();
        let span = all.last().unwrap().0 - all[0].0;
        let mut late: Vec<_> = all.iter().map(|(.., late)| *late).collect();
        late.sort();
        let rate = 8.0 * bytes as f64 / span.as_secs_f64();
        (
            rate as u64,
            late[late.len() * 19 / 20] - soonest.unwrap_or(0),
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_take_what_a_link_carries_and_more_when_it_does() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("film.avi");
    film(&path, 120);
    let narrow = EmulatedLink::new(LinkConfig {
        delay: Duration::from_millis(20),
        rate: Some(NARROW),
        // Half a second of it.
        queue: NARROW / 2,
        ..LinkConfig::default()
    });
    let guest = SessionConfig {
        codecs: Codec::ALL.to_vec(),
        ..SessionConfig::default()
    };
    let host = SessionConfig {
        network: Network::Emulated(narrow.clone()),
        ..guest.clone()
    };
    let config = PairConfig {
        host,
        guest,
        ..PairConfig::default()
    };
    let Pair {
        host, mut guest, ..
    } = Pair::connect_with(config).await.unwrap();
    let mut incoming = guest.incoming_tracks();
    let spec = Spec::Location(path.to_str().unwrap().into());
    let source = Source::open(spec, Kind::Video).await.unwrap().unwrap();
    let track = host.tracks().add(source.codec()).await.unwrap();
    let _sending = AbortOnDropHandle::new(tokio::spawn(send(source, track)));
    let track = timeout(LIMIT, incoming.next()).await.expect("a track");
    let mut track = track.unwrap();
    let mut next = async || {
        let frame = timeout(LIMIT, track.next()).await.expect("a frame");
        frame.expect("the film goes on")
    };

    let first = next().await;
    let mut seen = Seen::default();
    while first.arrived.elapsed() < LOW {
        seen.add(&first, &next().await);
    }
    let (low, late) = seen.since(first.arrived + LOW - Duration::from_secs(10));
    let stats = narrow.stats();
    println!("narrow: {low} bit/s, late p95 {late} ms, {stats:?}");
    // What overflowed at first sends the estimate far down, and it comes up slowly: 82 to 115 kbit/s were seen.
    assert!((50_000..500_000).contains(&low), "{low} bit/s");
    assert!(late < 700, "{late} ms late");

    narrow.set_rate(None);
    let wide = Instant::now();
    let up = loop {
        assert!(
            wide.elapsed() < HIGH,
            "it stays at {:?}",
            seen.since(Instant::now() - Duration::from_secs(4))
        );
        seen.add(&first, &next().await);
        let (rate, _) = seen.since(Instant::now() - Duration::from_secs(4));
        if rate > 2 * low && rate > 700_000 {
            break rate;
        }
    };
    println!("wide: {up} bit/s after {:?}", wide.elapsed());
}
