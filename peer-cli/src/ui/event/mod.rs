//! What a command has to say, worded for people here and for scripts as JSON: a struct for each thing,
//! beside those of the same matter.
//!
//! The names of events and fields are a promise to scripts; `docs` and the tests of each matter hold them.
//!
//! Sizes are bytes, `seconds` and `rtt_ms` what they say, rates bytes per second. Text from the peer may hold
//! anything; both wordings make it harmless.

mod bench;
mod call;
mod chat;
mod connection;
mod device;
mod doctor;
mod failure;
mod forward;
#[cfg(target_os = "linux")]
mod lab;
mod meeting;
mod pipe;
mod scenario;
mod traffic;
mod transfer;
mod tunnel;
mod unfinished;

use serde::Serialize;

use super::clean::ascii_json;
use super::palette::Palette;

pub(crate) use bench::{Direction, Latency, Measured, RoundTrips, Throughput, Unmeasured};
pub(crate) use call::{CallDone, Flow, Flows, Media, Recorded, Stats, Track};
pub(crate) use chat::{Chatted, Entered, Member, Message};
pub(crate) use connection::{Connected, Interrupted, Reconnected, Route};
pub(crate) use device::{Device, Paired, Removed, Renamed};
pub(crate) use doctor::{Check, Checked};
pub(crate) use failure::{Error, Failed};
pub(crate) use forward::{ForwardDone, Participant, RecordDone, Rtp, Speaker, Whip};
#[cfg(target_os = "linux")]
pub(crate) use lab::{Cell, Matrix, Network, Rebound};
pub(crate) use meeting::{Code, Listening, Peer, Phrase, Waiting};
pub(crate) use pipe::Piped;
pub(crate) use scenario::{Scenario, Tested};
pub(crate) use traffic::Traffic;
pub(crate) use transfer::{Changed, Done, File, Offer, Progress, Resuming, size};
pub(crate) use tunnel::{Connection, Exposed, Forward, Tunnelled};
pub(crate) use unfinished::{Discarded, Transfer};

/// How an event is worded for people.
trait Wording {
    /// The line, or `None` for what is shown otherwise (the bar, a list) or not at all.
    fn line(&self, _palette: Palette) -> Option<String> {
        None
    }
}

/// Declares [`Event`], which each of the named structs becomes by itself.
macro_rules! events {
    ($($(#[$name:meta])* $event:ident,)*) => {
        /// One thing worth saying.
        #[derive(Clone, Debug, Serialize)]
        #[serde(tag = "event", rename_all = "kebab-case")]
        pub(crate) enum Event {
            $($(#[$name])* $event($event),)*
        }

        impl Event {
            /// The line for people, if there is one.
            pub(super) fn line(&self, palette: Palette) -> Option<String> {
                match self {
                    $(Self::$event(event) => event.line(palette),)*
                }
            }
        }

        $(impl From<$event> for Event {
            fn from(event: $event) -> Self {
                Self::$event(event)
            }
        })*
    };
}

events! {
    Listening,
    Code,
    Waiting,
    Peer,
    Phrase,
    Connected,
    Interrupted,
    Reconnected,
    Paired,
    Device,
    Removed,
    Renamed,
    Offer,
    Progress,
    Resuming,
    Changed,
    File,
    Done,
    Transfer,
    Discarded,
    Track,
    Media,
    Stats,
    Recorded,
    CallDone,
    Participant,
    Speaker,
    Rtp,
    Whip,
    ForwardDone,
    RecordDone,
    Latency,
    Throughput,
    Unmeasured,
    #[serde(rename = "done")]
    Measured,
    #[serde(rename = "done")]
    Piped,
    Entered,
    Message,
    Member,
    #[serde(rename = "done")]
    Chatted,
    Check,
    #[serde(rename = "done")]
    Checked,
    Exposed,
    Forward,
    Connection,
    #[serde(rename = "done")]
    Tunnelled,
    Scenario,
    #[serde(rename = "done")]
    Tested,
    #[cfg(target_os = "linux")]
    Network,
    #[cfg(target_os = "linux")]
    Rebound,
    #[cfg(target_os = "linux")]
    Cell,
    #[cfg(target_os = "linux")]
    #[serde(rename = "done")]
    Matrix,
    Failed,
    Error,
}

impl Event {
    /// One JSON object in printable ASCII, without line breaks.
    pub(crate) fn json(&self) -> String {
        let json = serde_json::to_string(self).expect("events hold only text and numbers");
        ascii_json(&json)
    }

    /// The same, about one of several receivers.
    pub(super) fn json_of(&self, receiver: u32) -> String {
        let json = self.json();
        let open = json.strip_suffix('}').unwrap_or(&json);
        format!("{open},\"receiver\":{receiver}}}")
    }

    /// Whether nothing follows that moves the bar.
    pub(super) fn ends_progress(&self) -> bool {
        matches!(
            self,
            Self::Done(_)
                | Self::Measured(_)
                | Self::Piped(_)
                | Self::Tunnelled(_)
                | Self::Chatted(_)
                | Self::Failed(_)
                | Self::Error(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Checks both wordings of an event.
    #[track_caller]
    pub(super) fn said(event: impl Into<Event>, json: Value, line: Option<&str>) {
        let event = event.into();
        let text = event.json();
        assert!(
            text.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
            "{text:?} would act on a terminal"
        );
        assert_eq!(serde_json::from_str(&text).ok(), Some(json));
        assert_eq!(event.line(Palette::Plain).as_deref(), line);
    }

    #[test]
    fn an_event_about_one_of_several_receivers_says_so() {
        let event = Event::from(Discarded { id: "a".into() });
        assert_eq!(
            event.json_of(2),
            r#"{"event":"discarded","id":"a","receiver":2}"#
        );
    }
}
