//! How much was sent and received.

use std::time::{Duration, Instant};

use peerline::media::Kind;
use peerline::media::track::IncomingCounts;

use super::sending::Senders;
use crate::ui::Bytes;
use crate::ui::event::{self, Flow, Flows};

/// Counters of every track that came.
#[derive(Default)]
pub(super) struct Figures {
    counters: Vec<(Kind, Box<dyn Fn() -> IncomingCounts + Send + Sync>)>,
}

/// Both directions.
pub(super) struct All {
    pub(super) sent: Flows,
    pub(super) received: Flows,
}

impl Figures {
    /// Counts one more track.
    pub(super) fn count(
        &mut self,
        kind: Kind,
        counter: impl Fn() -> IncomingCounts + Send + Sync + 'static,
    ) {
        self.counters.push((kind, Box::new(counter)));
    }

    pub(super) fn all(&self, senders: &Senders) -> All {
        let sent = |kind| {
            let counts = senders.counts(kind);
            Flow {
                frames: counts.frames,
                bytes: counts.bytes,
                packets: counts.packets,
                key_requests: counts.key_requests,
                ..Flow::default()
            }
        };
        let received = |wanted| {
            let mut flow = Flow::default();
            for (kind, counter) in &self.counters {
                if *kind == wanted {
                    let counts = counter();
                    flow.frames += counts.frames;
                    flow.bytes += counts.bytes;
                    flow.packets += counts.packets;
                    flow.lost += counts.lost;
                    flow.late += counts.late;
                    flow.dropped += counts.dropped;
                    flow.key_requests += counts.key_requests;
                }
            }
            flow
        };
        All {
            sent: Flows {
                video: sent(Kind::Video),
                audio: sent(Kind::Audio),
            },
            received: Flows {
                video: received(Kind::Video),
                audio: received(Kind::Audio),
            },
        }
    }

    pub(super) fn event(
        &self,
        begin: Instant,
        senders: &Senders,
        round_trip: Option<Duration>,
    ) -> event::Stats {
        let All { sent, received } = self.all(senders);
        event::Stats {
            seconds: begin.elapsed().as_secs_f64(),
            rtt_ms: round_trip.map(|time| time.as_secs_f64() * 1000.0),
            sent,
            received,
        }
    }

    /// One line for the eye.
    pub(super) fn line(&self, begin: Instant, senders: &Senders) -> String {
        let All { sent, received } = self.all(senders);
        let seconds = begin.elapsed().as_secs();
        let bytes = |flows: &Flows| Bytes(flows.video.bytes + flows.audio.bytes);
        format!(
            "{}:{:02}  sent {}  received {}  lost {}   [m]ute [c]amera [s]tats [q]uit",
            seconds / 60,
            seconds % 60,
            bytes(&sent),
            bytes(&received),
            received.video.lost + received.audio.lost,
        )
    }
}
