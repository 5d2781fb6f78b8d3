//! What leader and follower say to each other, as JSON text.

use crate::transfer::display_name;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Characters of a reason that are kept.
const REASON: usize = 256;

/// Who of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The one who decides what is measured.
    Leader,
    /// The other one.
    Follower,
}

/// One measurement of throughput.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its number, counted from 0.
    pub step: u32,
    /// Who sends.
    pub sender: Side,
    /// On how many lanes at a time.
    pub lanes: u16,
    /// In datagrams of at most this many bytes of UDP payload; 0 for what the path was proved to carry.
    pub packet: u16,
    /// How long is sent, in milliseconds.
    pub millis: u32,
}

impl Step {
    /// How long is sent.
    pub fn duration(&self) -> Duration {
        Duration::from_millis(self.millis.into())
    }

    /// The size that its lanes may not exceed.
    pub(super) fn most(&self) -> Option<u16> {
        (self.packet > 0).then_some(self.packet)
    }

    /// The label of one of its lanes.
    pub(super) fn label(&self, lane: u16) -> String {
        format!("{}/{}/{lane}", super::LABEL, self.step)
    }
}

/// Round trips of small messages, in microseconds: half, nine of ten, and 99 of 100 took no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Round trips that were measured.
    pub samples: u32,
    /// The median.
    pub p50: u64,
    /// The 90th percentile.
    pub p90: u64,
    /// The 99th percentile.
    pub p99: u64,
}

/// One line of the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Report {
    /// Round trips while nothing else was sent.
    Idle {
        /// On the session's own connection.
        latency: Latency,
    },
    /// Throughput, as the receiving side saw it.
    Rate {
        /// Who sent.
        sender: Side,
        /// On how many lanes.
        lanes: u16,
        /// In datagrams of up to so many bytes of UDP payload.
        packet: u16,
        /// What arrived, all that was sent.
        bytes: u64,
        /// From the first message to the last, at least 1.
        micros: u64,
        /// Round trips on the session's own connection meanwhile.
        latency: Option<Latency>,
    },
    /// This could not be measured.
    Failed {
        /// Who was to send.
        sender: Side,
        /// On how many lanes.
        lanes: u16,
        /// As in [`Step::packet`].
        packet: u16,
        /// Why, in words that may be the other side's; without control characters.
        reason: String,
    },
}

/// A message of the channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(super) enum Message {
    /// Leader: measure this.
    Run(Step),
    /// Sender: that was all, in datagrams of this size.
    Sent { step: u32, bytes: u64, packet: u16 },
    /// Receiver: all of it arrived, within this time.
    Received { step: u32, bytes: u64, micros: u64 },
    /// Either: this cannot be measured.
    Failed { step: u32, reason: String },
    /// Leader: answer at once.
    Ping { id: u64 },
    /// Follower.
    Pong { id: u64 },
    /// Leader: what came of it.
    Report(Report),
    /// Leader: that was all.
    End,
    /// Of a newer version.
    #[serde(other)]
    Unknown,
}

impl Message {
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("text and numbers serialise")
    }

    /// Reads a message; text in it is made harmless.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut message = serde_json::from_str(text).ok()?;
        if let Self::Failed { reason, .. } | Self::Report(Report::Failed { reason, .. }) =
            &mut message
        {
            *reason = display_name(reason, REASON);
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_is_the_protocol_text() {
        let latency = Latency {
            samples: 9,
            p50: 100,
            p90: 200,
            p99: 300,
        };
        let step = Step {
            step: 3,
            sender: Side::Leader,
            lanes: 2,
            packet: 1472,
            millis: 2000,
        };
        let cases = [
            (
                r#"{"type":"run","step":3,"sender":"leader","lanes":2,"packet":1472,"millis":2000}"#,
                Message::Run(step),
            ),
            (
                r#"{"type":"sent","step":3,"bytes":65535,"packet":1472}"#,
                Message::Sent {
                    step: 3,
                    bytes: 65_535,
                    packet: 1472,
                },
            ),
            (
                r#"{"type":"received","step":3,"bytes":65535,"micros":17}"#,
                Message::Received {
                    step: 3,
                    bytes: 65_535,
                    micros: 17,
                },
            ),
            (
                r#"{"type":"failed","step":3,"reason":"no"}"#,
                Message::Failed {
                    step: 3,
                    reason: "no".into(),
                },
            ),
            (r#"{"type":"ping","id":7}"#, Message::Ping { id: 7 }),
            (r#"{"type":"pong","id":7}"#, Message::Pong { id: 7 }),
            (
                r#"{"type":"report","what":"idle","latency":{"samples":9,"p50":100,"p90":200,"p99":300}}"#,
                Message::Report(Report::Idle { latency }),
            ),
            (
                r#"{"type":"report","what":"rate","sender":"follower","lanes":1,"packet":16384,"bytes":5,"micros":1,"latency":null}"#,
                Message::Report(Report::Rate {
                    sender: Side::Follower,
                    lanes: 1,
                    packet: 16_384,
                    bytes: 5,
                    micros: 1,
                    latency: None,
                }),
            ),
            (r#"{"type":"end"}"#, Message::End),
        ];
        for (text, message) in cases {
            assert_eq!(Message::parse(text).as_ref(), Some(&message));
            assert_eq!(message.to_json(), text);
        }
    }

    #[test]
    fn nonsense_is_no_message_and_text_is_harmless() {
        for garbage in [
            "",
            "[]",
            "{}",
            r#"{"type":"run"}"#,
            r#"{"type":"run","step":0,"sender":"me","lanes":1,"packet":0,"millis":1}"#,
            r#"{"type":"run","step":0,"sender":"leader","lanes":-1,"packet":0,"millis":1}"#,
            r#"{"type":"sent","step":0,"bytes":1e99,"packet":0}"#,
        ] {
            assert_eq!(Message::parse(garbage), None, "{garbage}");
        }
        assert_eq!(
            Message::parse(r#"{"type":"dance"}"#),
            Some(Message::Unknown)
        );
        let reason = "\u{1b}]52;".repeat(1000);
        let text = Message::Failed { step: 0, reason }.to_json();
        let Some(Message::Failed { reason, .. }) = Message::parse(&text) else {
            panic!("it is a message");
        };
        assert!(reason.chars().count() <= REASON && !reason.contains('\u{1b}'));
    }
}
