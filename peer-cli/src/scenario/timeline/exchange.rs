//! What the timeline is told, and what it wants done.

use serde_json::Value;

use super::super::inbox::Seen;
use super::super::plan::{Act, PeerId, ServerAct};
use super::super::watch::Finding;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Input {
    /// Time has passed.
    Tick,
    /// A peer is there. Native peers are there with their lines.
    Up(PeerId),
    /// A line is there.
    Connected(usize),
    /// A peer, or one of its lines, did not come up.
    Broken {
        peer: PeerId,
        why: String,
    },
    /// What was to be performed is done, or not.
    Done(Result<(), String>),
    /// A page has answered.
    Answer(Result<Value, String>),
    Seen {
        peer: PeerId,
        seen: Seen,
    },
    /// Ctrl-C.
    Interrupted,
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Bring a peer up: reported by `Up`, or `Broken`.
    Start(PeerId),
    /// Connect the two ends of a line: reported by `Connected`, or `Broken`.
    Connect(usize),
    /// Make a peer do something: reported by `Done`.
    Perform {
        peer: PeerId,
        act: Act,
    },
    /// Do something to the server: reported by `Done`.
    Server(ServerAct),
    /// Nothing arrives over this line, or everything again.
    Cut(usize),
    Restore(usize),
    /// Ask a page for the value of an expression: reported by `Answer`.
    Ask {
        peer: PeerId,
        expression: String,
    },
    /// It is over.
    End(Verdict),
}

/// How it ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    Passed,
    Failed(Failure),
    /// Somebody stopped it.
    Stopped,
}

/// Why a scenario failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Where in the file.
    pub(crate) line: usize,
    /// What is written there.
    pub(crate) step: String,
    pub(crate) expected: String,
    pub(crate) seen: String,
    /// What is wrong with which page.
    pub(crate) findings: Vec<(String, Finding)>,
}
