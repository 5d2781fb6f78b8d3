//! Why a scenario failed: what took too long, what was seen last, and what is wrong with pages.

use std::time::Instant;

use peerline::media::Codec;

use super::super::plan::{Peer, PeerKind, What};
use super::super::watch::Finding;
use super::super::words;
use super::{Doing, Failure, Phase, START_LIMIT, Timeline};

impl Timeline {
    /// What took too long.
    pub(super) fn late(&self, now: Instant) -> Option<Failure> {
        let timeout = self.scenario.timeout;
        if now >= self.deadline && !matches!(self.phase, Phase::Over) {
            let why = format!("all of it may take {timeout:?}, which are over");
            return Some(self.failure(&why));
        }
        match &self.phase {
            Phase::Gathering { missing, until } if now >= *until => {
                let line = missing
                    .lines
                    .first()
                    .map(|line| self.scenario.lines[*line].ends[1]);
                let peer = missing.peers.first().copied().or(line)?;
                Some(Failure {
                    line: self.scenario.peers[peer].line,
                    step: format!("peers.{}", self.scenario.name_of(peer)),
                    expected: format!(
                        "{} to start within {START_LIMIT:?}",
                        self.scenario.name_of(peer)
                    ),
                    seen: "it is not up".into(),
                    findings: self.findings(|_| true),
                })
            }
            Phase::Step { until, doing, .. } if now >= *until => match doing {
                Doing::Pausing => None,
                _ => Some(self.failure("")),
            },
            _ => None,
        }
    }

    /// The step that is on has failed; `why`, or what was seen last.
    pub(super) fn failure(&self, why: &str) -> Failure {
        let Phase::Step { index, doing, .. } = &self.phase else {
            return Failure {
                line: 1,
                step: self.scenario.name.clone(),
                expected: "its peers to start".into(),
                seen: why.to_owned(),
                findings: self.findings(|_| true),
            };
        };
        let step = &self.scenario.steps[*index];
        let mut expected = match &step.what {
            What::Act { peer, act } => words::act(&self.scenario, *peer, act),
            What::Expect { peer, expected } => words::expected(&self.scenario, *peer, expected),
            What::Server(_) => "the server to do that".into(),
            What::Cut { .. } | What::Restore { .. } | What::Pause(_) => "this step to end".into(),
        };
        let seen = match (why, doing) {
            ("", Doing::Looking { seen, .. }) => seen.clone(),
            ("", Doing::Asking(asking)) => asking.seen.clone(),
            ("", _) => "it is not done".into(),
            (why, _) => why.to_owned(),
        };
        if why.is_empty() {
            expected = format!("{expected} within {:?}", step.within);
        }
        Failure {
            line: step.line,
            step: step.text.clone(),
            expected,
            seen,
            findings: self.findings(|_| true),
        }
    }

    /// What is wrong with pages, but for what they are allowed; the surest first.
    pub(super) fn findings(&self, wanted: impl Fn(&Finding) -> bool) -> Vec<(String, Finding)> {
        let mut peers = self.scenario.peers.iter();
        let is_member = |peer: &Peer| matches!(peer.kind, PeerKind::Member { .. });
        let known: Vec<&str> = match peers.any(is_member) {
            true => Codec::ALL.map(Codec::name).into(),
            false => Vec::new(),
        };
        let mut all = Vec::new();
        for (inbox, peer) in self.inboxes.iter().zip(&self.scenario.peers) {
            let PeerKind::Page { allows, .. } = &peer.kind else {
                continue;
            };
            let found = inbox.diagnosis.findings(&known).into_iter();
            let found = found.filter(|finding| !allows.iter().any(|code| code == finding.code));
            all.extend(
                found
                    .filter(&wanted)
                    .map(|finding| (peer.name.clone(), finding)),
            );
        }
        all.sort_by_key(|(_, finding)| !finding.certain);
        all
    }

    /// What is wrong although every step went well.
    pub(super) fn last_look(&self) -> Option<Failure> {
        for (id, peer) in self.scenario.peers.iter().enumerate() {
            let inbox = &self.inboxes[id];
            let failure = |expected: &str, seen: String| Failure {
                line: peer.line,
                step: format!("peers.{}", peer.name),
                expected: expected.to_owned(),
                seen,
                findings: self.findings(|finding| finding.certain),
            };
            if let Some((with, why)) = inbox.failed_transfer() {
                let with = self.scenario.name_of(with);
                return Some(failure(
                    "no transfer to fail",
                    format!("one with {with} did: {why}"),
                ));
            }
            if let Some(text) = inbox.exceptions().first() {
                return Some(failure(
                    "no exception that the page does not catch",
                    text.clone(),
                ));
            }
        }
        let findings = self.findings(|finding| finding.certain);
        let (name, _) = findings.first()?;
        let peer = self.scenario.peers.iter().find(|peer| peer.name == *name)?;
        Some(Failure {
            line: peer.line,
            step: format!("peers.{name}"),
            expected: "WebRTC to be used as it works everywhere".into(),
            seen: "every step went well, and it would not with other browsers or networks".into(),
            findings,
        })
    }
}
