//! A call: its tracks, its recordings, and how it went (`call`).

use peerline::media::codec::Codec;
use peerline::media::record::Part;
use serde::Serialize;

use super::{Route, Wording};
use crate::ui::clean::clean;
use crate::ui::palette::Palette;
use crate::ui::size::{Bytes, Span};

/// A track of a call began or ended.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Track {
    /// `out` is sent, `in` is received.
    pub(crate) direction: &'static str,
    /// `audio` or `video`.
    pub(crate) kind: String,
    /// `opus`, `VP8`, `VP9`, `H264` or `AV1`.
    pub(crate) codec: &'static str,
    /// `started`; `ended`; `failed`: its source did; `refused`: the other side does not understand it.
    pub(crate) state: &'static str,
    /// Whose it is, in a room of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) member: Option<String>,
}

/// Sound or pictures of this side were turned off or on.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Media {
    /// `audio` or `video`.
    pub(crate) kind: &'static str,
    /// Whether it is sent now.
    pub(crate) on: bool,
}

/// How a call goes, when somebody asks.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Stats {
    /// Since it was connected.
    pub(crate) seconds: f64,
    /// Round trip, milliseconds, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rtt_ms: Option<f64>,
    /// So far.
    pub(crate) sent: Flows,
    /// So far.
    pub(crate) received: Flows,
}

/// A recording is complete.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Recorded {
    /// The file.
    pub(crate) path: String,
    /// How long it plays.
    pub(crate) seconds: f64,
    /// Its size.
    pub(crate) bytes: u64,
}

/// A call is over, as calls are.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CallDone {
    /// Since it was connected.
    pub(crate) seconds: f64,
    /// `hung-up`, `peer-hung-up` or `duration`.
    pub(crate) reason: &'static str,
    /// Direct or relayed.
    pub(crate) path: Route,
    /// All of it.
    pub(crate) sent: Flows,
    /// All of it.
    pub(crate) received: Flows,
}

/// What travelled in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Flows {
    pub(crate) video: Flow,
    pub(crate) audio: Flow,
}

/// What travelled of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Flow {
    /// Whole frames.
    pub(crate) frames: u64,
    pub(crate) packets: u64,
    /// Bytes in the packets, without headers.
    pub(crate) bytes: u64,
    /// Packets that never came.
    pub(crate) lost: u64,
    /// Packets that came twice or too late.
    pub(crate) late: u64,
    /// Frames that were given up because of that.
    pub(crate) dropped: u64,
    /// Key frames that the receiving side asked for.
    pub(crate) key_requests: u64,
}

impl Flows {
    fn bytes(&self) -> Bytes {
        Bytes(self.video.bytes + self.audio.bytes)
    }

    fn words(&self) -> String {
        let [video, audio] =
            [("video", &self.video), ("audio", &self.audio)].map(|(kind, flow)| {
                let bytes = Bytes(flow.bytes);
                format!("{kind} {} frames, {bytes}, {} lost", flow.frames, flow.lost)
            });
        format!("{video}, {audio}")
    }
}

impl Track {
    /// What happened to a track.
    pub(crate) fn new(direction: &'static str, codec: Codec, state: &'static str) -> Self {
        Self {
            direction,
            kind: codec.kind().to_string(),
            codec: codec.name(),
            state,
            member: None,
        }
    }
}

impl From<&Part> for Recorded {
    fn from(part: &Part) -> Self {
        Self {
            path: part.path.display().to_string(),
            seconds: part.length.as_secs_f64(),
            bytes: part.bytes,
        }
    }
}

impl Wording for Track {
    fn line(&self, _: Palette) -> Option<String> {
        let from = self
            .member
            .as_ref()
            .map(|member| format!(" from {}", clean(member)));
        let codec = format!("{}{}", self.codec, from.unwrap_or_default());
        let kind = &self.kind;
        let whose = match self.direction {
            "out" => "Sending",
            _ => "Receiving",
        };
        Some(match self.state {
            "refused" => format!("{whose} {kind}: the other side does not understand {codec}"),
            state => format!("{whose} {kind} ({codec}): {state}"),
        })
    }
}

impl Wording for Media {
    fn line(&self, _: Palette) -> Option<String> {
        let what = match self.kind {
            "audio" => "Sound",
            _ => "Picture",
        };
        let state = if self.on { "on" } else { "off" };
        Some(format!("{what} is {state}"))
    }
}

impl Wording for Stats {
    fn line(&self, _: Palette) -> Option<String> {
        let round_trip = self.rtt_ms.map(|ms| format!(", {ms:.1} ms"));
        Some(format!(
            "After {:.0} s{}: sent {}; received {}",
            self.seconds,
            round_trip.unwrap_or_default(),
            self.sent.words(),
            self.received.words(),
        ))
    }
}

impl Wording for Recorded {
    fn line(&self, _: Palette) -> Option<String> {
        Some(format!(
            "Recorded: {}, {:.1} s, {}",
            clean(&self.path),
            self.seconds,
            Bytes(self.bytes)
        ))
    }
}

impl Wording for CallDone {
    fn line(&self, _: Palette) -> Option<String> {
        let why = match self.reason {
            "peer-hung-up" => "the other side hung up",
            "duration" => "its time was over",
            _ => "hung up",
        };
        Some(format!(
            "Call ended ({why}): {}, sent {}, received {}, {}",
            Span::of(self.seconds),
            self.sent.bytes(),
            self.received.bytes(),
            self.path.word(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::said;
    use super::*;

    fn flow(frames: u64, bytes: u64, lost: u64) -> Value {
        json!({"frames": frames, "packets": 0, "bytes": bytes, "lost": lost, "late": 0, "dropped": 0, "key_requests": 0})
    }

    #[test]
    fn json_and_wording() {
        said(
            Track::new("in", Codec::Vp8, "started"),
            json!({"event": "track", "direction": "in", "kind": "video", "codec": "VP8", "state": "started"}),
            Some("Receiving video (VP8): started"),
        );
        said(
            Track::new("out", Codec::H264, "refused"),
            json!({"event": "track", "direction": "out", "kind": "video", "codec": "H264", "state": "refused"}),
            Some("Sending video: the other side does not understand H264"),
        );
        said(
            Media {
                kind: "audio",
                on: false,
            },
            json!({"event": "media", "kind": "audio", "on": false}),
            Some("Sound is off"),
        );
        said(
            Stats {
                seconds: 2.0,
                rtt_ms: Some(1.25),
                sent: Flows::default(),
                received: Flows {
                    video: Flow {
                        frames: 60,
                        bytes: 2048,
                        lost: 1,
                        ..Flow::default()
                    },
                    audio: Flow::default(),
                },
            },
            json!({"event": "stats", "seconds": 2.0, "rtt_ms": 1.25,
                    "sent": {"video": flow(0, 0, 0), "audio": flow(0, 0, 0)},
                    "received": {"video": flow(60, 2048, 1), "audio": flow(0, 0, 0)}}),
            Some(
                "After 2 s, 1.2 ms: sent video 0 frames, 0 B, 0 lost, audio 0 frames, 0 B, 0 lost; received video 60 frames, 2.0 KiB, 1 lost, audio 0 frames, 0 B, 0 lost",
            ),
        );
        said(
            Recorded {
                path: "a.webm".into(),
                seconds: 12.34,
                bytes: 1024,
            },
            json!({"event": "recorded", "path": "a.webm", "seconds": 12.34, "bytes": 1024}),
            Some("Recorded: a.webm, 12.3 s, 1.0 KiB"),
        );
        said(
            CallDone {
                seconds: 8.0,
                reason: "duration",
                path: Route::Direct,
                sent: Flows::default(),
                received: Flows::default(),
            },
            json!({"event": "call-done", "seconds": 8.0, "reason": "duration", "path": "direct",
                    "sent": {"video": flow(0, 0, 0), "audio": flow(0, 0, 0)},
                    "received": {"video": flow(0, 0, 0), "audio": flow(0, 0, 0)}}),
            Some("Call ended (its time was over): 8.0 s, sent 0 B, received 0 B, direct"),
        );
    }
}
