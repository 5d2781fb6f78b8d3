//! From what a page does to what is wrong with it.

use std::collections::BTreeMap;

use super::event::{Event, Signal};
use super::sdp::{self, Section};
use crate::scenario::plan::State;

/// Connections and channels of one page that are followed; tests have a handful.
const MOST: usize = 64;

/// A mistake that is known by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// One of [`CODES`](super::CODES).
    pub(crate) code: &'static str,
    /// What the page did, and what it should do.
    pub(crate) message: String,
    /// Whether it is a mistake even if everything else went well.
    pub(crate) certain: bool,
}

/// What is known of a page so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Diagnosis {
    connections: BTreeMap<u32, Connection>,
    /// Descriptions that it sent to its server.
    descriptions_sent: u32,
    candidates_sent: u32,
    /// Candidates that it sent while it had sent no description.
    too_early: u32,
    /// There were candidates in a description that it sent.
    carried: bool,
    /// The last description that it heard.
    heard: Option<Signal>,
    media_refused: Option<String>,
    /// A WebSocket that could not be opened.
    unreachable: Option<String>,
}

/// One `RTCPeerConnection`.
#[derive(Clone, Debug, Default)]
struct Connection {
    state: String,
    /// Descriptions, the own one first, and what kind that one is.
    local: Option<(String, Vec<Section>)>,
    remote: Option<Vec<Section>>,
    candidates_found: u32,
    channels: BTreeMap<String, Channel>,
    refused: Vec<(String, String, String, bool)>,
}

#[derive(Clone, Debug)]
struct Channel {
    /// Made by the other side.
    theirs: bool,
    heard: bool,
    opened: bool,
    /// Both sides make it by number, and nothing is negotiated.
    negotiated: bool,
}

impl Diagnosis {
    /// Takes something in.
    pub(crate) fn note(&mut self, event: &Event) {
        match event {
            Event::Sent { signal, candidates } => self.sent(*signal, *candidates > 0),
            Event::Heard { signal, .. } => {
                if *signal != Signal::Candidate {
                    self.heard = Some(*signal);
                }
            }
            Event::Socket { url, state } if state == "error" => {
                self.unreachable = Some(url.clone());
            }
            Event::Socket { .. } => {}
            Event::MediaRefused { error } => self.media_refused = Some(error.clone()),
            Event::Connection { pc }
            | Event::CandidateFound { pc }
            | Event::State { pc, .. }
            | Event::Channel { pc, .. }
            | Event::ChannelIn { pc, .. }
            | Event::ChannelOpen { pc, .. }
            | Event::ChannelClose { pc, .. }
            | Event::Local { pc, .. }
            | Event::Remote { pc, .. }
            | Event::Refused { pc, .. } => {
                if self.connections.len() < MOST || self.connections.contains_key(pc) {
                    self.connections.entry(*pc).or_default().note(event);
                }
            }
        }
    }

    fn sent(&mut self, signal: Signal, carries_candidates: bool) {
        self.carried |= carries_candidates;
        match signal {
            Signal::Offer | Signal::Answer => self.descriptions_sent += 1,
            Signal::Candidate => {
                self.candidates_sent += 1;
                if self.descriptions_sent == 0 {
                    self.too_early += 1;
                }
            }
        }
    }

    /// Whether a channel of this label is open, or has been.
    pub(crate) fn has_opened(&self, label: &str) -> bool {
        let mut connections = self.connections.values();
        connections.any(|connection| {
            let channel = connection.channels.get(label);
            channel.is_some_and(|channel| channel.opened)
        })
    }

    /// The state of its connections together: connected if one is, ended if there were some and all are over.
    pub(crate) fn state(&self) -> Option<State> {
        let is = |states: &[&str]| {
            let mut connections = self.connections.values();
            connections.any(|connection| states.contains(&connection.state.as_str()))
        };
        if is(&["connected"]) {
            Some(State::Connected)
        } else if is(&["disconnected"]) {
            Some(State::Interrupted)
        } else if is(&["failed", "closed"]) {
            Some(State::Ended)
        } else {
            None
        }
    }

    /// In words, for who waits for something else.
    pub(crate) fn summary(&self) -> String {
        if let Some(url) = &self.unreachable {
            return format!("its WebSocket to {url} failed");
        }
        if self.connections.is_empty() {
            return "it has made no RTCPeerConnection".into();
        }
        let each = self.connections.values().map(|connection| {
            let state = match connection.state.as_str() {
                "" => "new",
                state => state,
            };
            let channels = connection.channels.iter().map(|(label, channel)| {
                let state = if channel.opened {
                    "open"
                } else {
                    "never opened"
                };
                format!(", channel `{label}` {state}")
            });
            format!(
                "its RTCPeerConnection is {state}{}",
                channels.collect::<String>()
            )
        });
        let each: Vec<String> = each.collect();
        each.join("; ")
    }

    /// What is wrong, as far as can be seen now. `known` are the codecs of those in the room whose codecs are known: who
    /// understands none of what is offered does not answer.
    pub(crate) fn findings(&self, known: &[&str]) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(error) = &self.media_refused {
            findings.push(likely(
                "media-refused",
                format!("getUserMedia was refused: {error}"),
            ));
        }
        if self.too_early > 0 {
            let which = match self.heard {
                Some(Signal::Offer) => "answer",
                _ => "offer",
            };
            findings.push(certain(
                "candidate-before-description",
                format!(
                    "{} sent before the {which}: whoever gets a candidate first has no description to add it to; send the {which} as soon as it is made, and candidates after it",
                    candidates(self.too_early)
                ),
            ));
        }
        let found: u32 = self
            .connections
            .values()
            .map(|connection| connection.candidates_found)
            .sum();
        let described = self
            .connections
            .values()
            .any(|connection| connection.local.is_some());
        if described && self.descriptions_sent == 0 {
            findings.push(likely(
                "description-not-sent",
                "it set a local description and sent none to its server".into(),
            ));
        } else if found > 0 && self.candidates_sent == 0 && !self.carried {
            findings.push(likely(
                "candidates-not-sent",
                format!(
                    "the browser found {}, and none was sent",
                    plural(found, "candidate")
                ),
            ));
        }
        for connection in self.connections.values() {
            connection.findings(known, &mut findings);
        }
        findings
    }
}

impl Connection {
    fn note(&mut self, event: &Event) {
        match event {
            Event::State { state, .. } => self.state.clone_from(state),
            Event::CandidateFound { .. } => self.candidates_found += 1,
            Event::Channel {
                label, negotiated, ..
            } => self.channel(label, false, true, *negotiated),
            Event::ChannelIn { label, heard, .. } => self.channel(label, true, *heard, false),
            Event::ChannelOpen { label, .. } => {
                if let Some(channel) = self.channels.get_mut(label) {
                    channel.opened = true;
                }
            }
            Event::Local { kind, sdp, .. } => {
                self.local = Some((kind.clone(), sdp::sections(sdp)));
            }
            Event::Remote { sdp, .. } => self.remote = Some(sdp::sections(sdp)),
            Event::Refused {
                call,
                state,
                error,
                described,
                ..
            } if self.refused.len() < MOST => {
                let refused = (call.clone(), state.clone(), error.clone(), *described);
                self.refused.push(refused);
            }
            _ => {}
        }
    }

    fn channel(&mut self, label: &str, theirs: bool, heard: bool, negotiated: bool) {
        if self.channels.len() < MOST {
            let channel = Channel {
                theirs,
                heard,
                opened: false,
                negotiated,
            };
            self.channels.insert(label.to_owned(), channel);
        }
    }

    fn findings(&self, known: &[&str], findings: &mut Vec<Finding>) {
        self.refusals(findings);
        self.codecs(findings);
        self.unanswered(known, findings);
        self.unopened(findings);
        if self.state == "failed" {
            findings.push(likely(
                "connection-failed",
                "its RTCPeerConnection failed: no path to the other side, or the other side was gone".into(),
            ));
        }
    }

    fn refusals(&self, findings: &mut Vec<Finding>) {
        for (call, state, error, described) in &self.refused {
            findings.push(match (call.as_str(), described) {
                ("addIceCandidate", false) => certain(
                    "candidate-refused",
                    format!("it added a candidate before setRemoteDescription ({error}); keep candidates until the other side's description is set"),
                ),
                ("addIceCandidate", true) => {
                    likely("candidate-refused", format!("addIceCandidate was refused: {error}"))
                }
                ("setRemoteDescription", _) if state == "have-local-offer" => likely(
                    "description-refused",
                    format!("setRemoteDescription was refused while an own offer was waiting for its answer ({error}); both sides called at once"),
                ),
                (call, _) => likely("description-refused", format!("{call} was refused in the state {state}: {error}")),
            });
        }
    }

    /// Sections that one side has refused, or that have nothing in common.
    fn codecs(&self, findings: &mut Vec<Finding>) {
        let (Some((kind, local)), Some(remote)) = (&self.local, &self.remote) else {
            return;
        };
        for (own, other) in local.iter().zip(remote) {
            if own.kind == "application" || own.kind != other.kind {
                continue;
            }
            let common = own.codecs.iter().any(|codec| other.codecs.contains(codec));
            let (offer, answer) = match kind.as_str() {
                "answer" => (other, own),
                _ => (own, other),
            };
            if offer.refused || (!answer.refused && common) {
                continue;
            }
            let whose = match kind.as_str() {
                "answer" => ["the other side's offer", "the page's answer"],
                _ => ["the page's offer", "the other side's answer"],
            };
            findings.push(certain(
                "no-common-codec",
                format!(
                    "{} has {} only as {}, and {} refuses it: there is no codec that both know",
                    whose[0],
                    own.kind,
                    offer.codecs.join(", "),
                    whose[1],
                ),
            ));
        }
    }

    /// An offer that nobody answered, and that has nothing that those who are there understand.
    fn unanswered(&self, known: &[&str], findings: &mut Vec<Finding>) {
        let (Some((kind, local)), None) = (&self.local, &self.remote) else {
            return;
        };
        if kind != "offer" || known.is_empty() {
            return;
        }
        for section in local {
            let is_known =
                |codec: &String| known.iter().any(|known| known.eq_ignore_ascii_case(codec));
            if section.codecs.is_empty() || section.codecs.iter().any(is_known) {
                continue;
            }
            findings.push(certain(
                "no-common-codec",
                format!(
                    "the page's offer has {} only as {}, and nobody answered it: native peers know {}",
                    section.kind,
                    section.codecs.join(", "),
                    known.join(", "),
                ),
            ));
        }
    }

    /// Channels that were made and never came up.
    fn unopened(&self, findings: &mut Vec<Finding>) {
        for (label, channel) in &self.channels {
            if channel.theirs && !channel.heard {
                findings.push(likely(
                    "channel-unheard",
                    format!("the other side opened channel `{label}`, and nothing here listens: set `ondatachannel` before the offer is answered"),
                ));
            }
            if channel.opened || channel.theirs {
                continue;
            }
            let has_section = |sections: &Vec<Section>| {
                sections
                    .iter()
                    .any(|section| section.kind == "application" && !section.refused)
            };
            let offered = self
                .local
                .as_ref()
                .map(|(_, sections)| has_section(sections));
            let answered = self.remote.as_ref().map(has_section);
            let why = match (offered, answered) {
                (None, _) => "it made no offer or answer after that".to_owned(),
                (Some(false), _) => "the description of this side has no section for channels: it was made before createDataChannel, and nothing was negotiated after it; make the channel before the offer, or answer `negotiationneeded` with a new one".to_owned(),
                (_, None) => "the other side never answered".to_owned(),
                (_, Some(false)) => "the other side's description has no section for channels".to_owned(),
                (Some(true), Some(true)) if channel.negotiated => "it is negotiated by the application, and the other side has made none with the same id".to_owned(),
                (Some(true), Some(true)) => match self.state.as_str() {
                    "" | "new" | "connecting" => "the connection never came up".to_owned(),
                    state => format!("the connection is {state}"),
                },
            };
            findings.push(Finding {
                code: "channel-never-opened",
                message: format!("channel `{label}` was made and never opened: {why}"),
                // Nothing that is still to come can open it.
                certain: self.state == "connected" && offered == Some(false),
            });
        }
    }
}

fn certain(code: &'static str, message: String) -> Finding {
    Finding {
        code,
        message,
        certain: true,
    }
}

fn likely(code: &'static str, message: String) -> Finding {
    Finding {
        code,
        message,
        certain: false,
    }
}

fn candidates(count: u32) -> String {
    match count {
        1 => "1 candidate was".into(),
        count => format!("{count} candidates were"),
    }
}

fn plural(count: u32, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}
