//! A room with a forwarder or a recorder in it: who is there, who speaks, and how much was done (`forward`, `record`).

use std::net::SocketAddr;
use std::path::Path;

use peerline::forward::room::Totals;
use peerline::media::codec::Codec;
use serde::Serialize;

use super::Wording;
use crate::ui::clean::clean;
use crate::ui::palette::Palette;
use crate::ui::size::{Bytes, Span};

/// A member of the room was connected, or is gone.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Participant {
    /// Its id in the room.
    pub(crate) id: String,
    /// What it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// `joined`; `left`; `failed`: it could not be connected.
    pub(crate) state: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

/// A member speaks, and is louder than the others.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Speaker {
    /// Its id in the room.
    pub(crate) id: String,
}

/// RTP of a program outside the room can come, or goes out.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rtp {
    /// `in` or `out`.
    pub(crate) direction: &'static str,
    /// Of what comes in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) codec: Option<&'static str>,
    /// Where it comes in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
    /// The file that describes what goes out; it was written now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sdp: Option<String>,
}

impl Rtp {
    pub(crate) fn input(codec: Codec, address: String) -> Self {
        Self {
            direction: "in",
            codec: Some(codec.name()),
            address: Some(address),
            sdp: None,
        }
    }

    pub(crate) fn output(sdp: &Path) -> Self {
        Self {
            direction: "out",
            codec: None,
            address: None,
            sdp: Some(sdp.display().to_string()),
        }
    }
}

/// Programs can publish and play by HTTP; or a server, where we do, does not want to just now.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Whip {
    /// `listening`; `refused`: it is asked again.
    pub(crate) state: &'static str,
    /// Where programs publish (WHIP), and where they play (WHEP).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) publish: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) play: Option<String>,
    /// The server that refused, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

impl Whip {
    pub(crate) fn listening(address: SocketAddr) -> Self {
        Self {
            state: "listening",
            publish: Some(format!("http://{address}/whip")),
            play: Some(format!("http://{address}/whep")),
            url: None,
            message: None,
        }
    }

    pub(crate) fn refused(url: String, message: String) -> Self {
        Self {
            state: "refused",
            publish: None,
            play: None,
            url: Some(url),
            message: Some(message),
        }
    }
}

/// Forwarding is over.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ForwardDone {
    /// Since the room was entered.
    pub(crate) seconds: f64,
    /// Packets that came, each once, and those that came again or too late.
    pub(crate) received: u64,
    pub(crate) late: u64,
    /// Packets that were sent, those of them that were sent again, and those that a connection took too slowly.
    pub(crate) sent: u64,
    pub(crate) resent: u64,
    pub(crate) dropped: u64,
    /// Key frames that publishers were asked for.
    pub(crate) key_requests: u64,
    /// Receivers that got another layer of a picture.
    pub(crate) switches: u64,
}

/// A recording of a room is over.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RecordDone {
    /// Since the room was entered.
    pub(crate) seconds: f64,
    /// Members that were recorded; one that came back counts twice.
    pub(crate) participants: usize,
    /// Recordings, and their size.
    pub(crate) files: usize,
    pub(crate) bytes: u64,
}

impl ForwardDone {
    pub(crate) fn new(seconds: f64, totals: Totals) -> Self {
        let counts = totals.counts;
        Self {
            seconds,
            received: counts.received,
            late: counts.late,
            sent: counts.sent + counts.resent,
            resent: counts.resent,
            dropped: counts.dropped,
            key_requests: counts.key_requests,
            switches: counts.switches,
        }
    }
}

impl Wording for Participant {
    fn line(&self, _: Palette) -> Option<String> {
        let Self {
            id, name, state, ..
        } = self;
        let who = match name {
            Some(name) => format!("{} ({id})", clean(name)),
            None => id.clone(),
        };
        let why = self.message.as_ref().map(|why| format!(": {}", clean(why)));
        Some(format!("{who} {state}{}", why.unwrap_or_default()))
    }
}

impl Wording for Rtp {
    fn line(&self, _: Palette) -> Option<String> {
        Some(match (self.codec, &self.address, &self.sdp) {
            (Some(codec), Some(address), _) => format!("Taking {codec} as RTP at {address}"),
            (_, _, Some(sdp)) => format!("Sending RTP, as {} says", clean(sdp)),
            _ => return None,
        })
    }
}

impl Wording for Whip {
    fn line(&self, _: Palette) -> Option<String> {
        let Self {
            publish,
            play,
            url,
            message,
            ..
        } = self;
        Some(match (publish, play, url, message) {
            (Some(publish), Some(play), ..) => format!("Publish at {publish}, play {play}"),
            (.., Some(url), Some(message)) => {
                format!("{}: {}; trying again", clean(url), clean(message))
            }
            _ => return None,
        })
    }
}

impl Wording for Speaker {
    fn line(&self, _: Palette) -> Option<String> {
        Some(format!("{} is speaking", self.id))
    }
}

impl Wording for ForwardDone {
    fn line(&self, _: Palette) -> Option<String> {
        Some(format!(
            "Forwarded for {}: {} packets received, {} sent, {} of them again",
            Span::of(self.seconds),
            self.received,
            self.sent,
            self.resent,
        ))
    }
}

impl Wording for RecordDone {
    fn line(&self, _: Palette) -> Option<String> {
        Some(format!(
            "Recorded for {}: {} participants, {} files, {}",
            Span::of(self.seconds),
            self.participants,
            self.files,
            Bytes(self.bytes),
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::said;
    use super::*;

    #[test]
    fn json_and_wording() {
        let participant = |name: Option<&str>, state, message: Option<&str>| Participant {
            id: "p1".into(),
            name: name.map(Into::into),
            state,
            message: message.map(Into::into),
        };
        said(
            participant(Some("Ann\u{1b}"), "joined", None),
            json!({"event": "participant", "id": "p1", "name": "Ann\u{1b}", "state": "joined"}),
            Some("Ann\\u{1b} (p1) joined"),
        );
        said(
            participant(None, "failed", Some("no path")),
            json!({"event": "participant", "id": "p1", "state": "failed", "message": "no path"}),
            Some("p1 failed: no path"),
        );
        said(
            RecordDone {
                seconds: 3.0,
                participants: 2,
                files: 2,
                bytes: 1024,
            },
            json!({"event": "record-done", "seconds": 3.0, "participants": 2, "files": 2, "bytes": 1024}),
            Some("Recorded for 3.0 s: 2 participants, 2 files, 1.0 KiB"),
        );
        said(
            Rtp::input(Codec::Vp8, "127.0.0.1:5004".into()),
            json!({"event": "rtp", "direction": "in", "codec": "VP8", "address": "127.0.0.1:5004"}),
            Some("Taking VP8 as RTP at 127.0.0.1:5004"),
        );
        said(
            Rtp::output(Path::new("room.sdp")),
            json!({"event": "rtp", "direction": "out", "sdp": "room.sdp"}),
            Some("Sending RTP, as room.sdp says"),
        );
        said(
            Whip::listening(([127, 0, 0, 1], 80).into()),
            json!({"event": "whip", "state": "listening", "publish": "http://127.0.0.1:80/whip",
                    "play": "http://127.0.0.1:80/whep"}),
            Some("Publish at http://127.0.0.1:80/whip, play http://127.0.0.1:80/whep"),
        );
        said(
            Whip::refused("https://host/whep".into(), "nothing (409)".into()),
            json!({"event": "whip", "state": "refused", "url": "https://host/whep", "message": "nothing (409)"}),
            Some("https://host/whep: nothing (409); trying again"),
        );
        said(
            Speaker { id: "p1".into() },
            json!({"event": "speaker", "id": "p1"}),
            Some("p1 is speaking"),
        );
        said(
            ForwardDone::new(2.0, Totals::default()),
            json!({"event": "forward-done", "seconds": 2.0, "received": 0, "late": 0, "sent": 0,
                    "resent": 0, "dropped": 0, "key_requests": 0, "switches": 0}),
            Some("Forwarded for 2.0 s: 0 packets received, 0 sent, 0 of them again"),
        );
    }
}
