//! Sound and pictures of native peers: the test clip goes out, and frames are counted.

use std::time::{Duration, Instant};

use peerline::media::source::{Source, Spec, pace::Pace};
use peerline::media::track::Sending;
use peerline::media::{IncomingTrack, Kind, OutgoingTrack};

use super::end::Tell;
use crate::scenario::inbox::{OnLine, Seen};
use crate::scenario::report::Reporter;

/// How often the count of frames is told at most.
const TELL: Duration = Duration::from_millis(50);

/// Plays the test clip on a track, in time, until the track is over.
pub(super) async fn play(mut track: OutgoingTrack) {
    let source = Source::open(Spec::Test, track.codec().kind()).await;
    let Ok(Some(mut source)) = source else {
        // It is built in.
        return;
    };
    while track.sending() != Sending::Yes {
        track.changed().await;
    }
    let mut pace = Pace::new(Instant::now());
    while let Ok(Some(frame)) = source.next().await {
        let due = pace.due(Instant::now(), frame.time);
        tokio::time::sleep_until(due.into()).await;
        if !track.send(frame).await {
            return;
        }
    }
}

/// Who is told of frames.
pub(super) enum Teller {
    /// An end of a line.
    Line(Tell),
    /// A member of a room.
    Member(Reporter),
}

impl Teller {
    async fn tell(&self, kind: Kind, total: u64) {
        match self {
            Self::Line(tell) => tell.say(OnLine::Frames(kind, total)).await,
            Self::Member(reporter) => reporter.seen(Seen::Frames(kind, total)).await,
        }
    }
}

/// Tells how many frames of a track came, until it is over.
pub(super) async fn count(mut track: IncomingTrack, teller: Teller) {
    let kind = track.kind();
    let mut total = 0;
    let mut told = None::<Instant>;
    while track.next().await.is_some() {
        total += 1;
        if told.is_none_or(|told| told.elapsed() >= TELL) {
            teller.tell(kind, total).await;
            told = Some(Instant::now());
        }
    }
    teller.tell(kind, total).await;
}
