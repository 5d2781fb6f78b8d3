//! A scenario as it is run: everything is named, resolved and within its bounds. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use peerline::channel::Delivery;
use peerline::media::{Codec, Kind};
use peerline::net::link::LinkConfig;

/// Most peers of one scenario: each may have a connection with each other one.
pub(crate) const MAX_PEERS: usize = 32;

/// Most steps.
pub(crate) const MAX_STEPS: usize = 1000;

/// A peer, by its place in [`Scenario::peers`].
pub(crate) type PeerId = usize;

/// What is to be done, and what has to come of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    /// Seed of every random decision.
    pub(crate) seed: u64,
    /// The longest that all of it may take.
    pub(crate) timeout: Duration,
    pub(crate) server: ServerChoice,
    pub(crate) peers: Vec<Peer>,
    /// Native peers that have a session with each other, host first.
    pub(crate) lines: Vec<Line>,
    pub(crate) steps: Vec<Step>,
}

/// Where everybody meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServerChoice {
    /// A server of this scenario's own.
    Embedded,
    /// One that is there already, by its URL.
    Given(String),
}

/// Somebody who takes part.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Peer {
    pub(crate) name: String,
    /// Where the file describes it.
    pub(crate) line: usize,
    /// Whether it is there from the beginning.
    pub(crate) starts: bool,
    pub(crate) kind: PeerKind,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PeerKind {
    /// Sessions of the library with other native peers, under codes.
    Native {
        /// How many times faster than usual it heals and gives up.
        faster: u32,
    },
    /// A member of an open room, for pages and programs.
    Member {
        room: String,
        /// What it sends from the beginning: the test clip.
        sends: Vec<Codec>,
        /// What is between it and the others.
        network: LinkConfig,
    },
    /// A page in a browser.
    Page {
        /// A URL or a file, with placeholders.
        page: String,
        /// Findings that are no failure.
        allows: Vec<String>,
    },
    /// A program.
    Program {
        /// With placeholders.
        words: Vec<String>,
        variables: BTreeMap<String, String>,
    },
}

impl PeerKind {
    /// What it is called in messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Native { .. } => "a native peer",
            Self::Member { .. } => "a member of an open room",
            Self::Page { .. } => "a page",
            Self::Program { .. } => "a command",
        }
    }
}

/// Two native peers with a session, and what is between them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) ends: [PeerId; 2],
    /// The same each way, but for the seeds.
    pub(crate) network: LinkConfig,
}

impl Line {
    /// The one who is at the other end.
    pub(crate) fn other(&self, peer: PeerId) -> Option<PeerId> {
        match self.ends {
            [a, b] if a == peer => Some(b),
            [a, b] if b == peer => Some(a),
            _ => None,
        }
    }
}

/// One thing after the other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) line: usize,
    /// As it is written.
    pub(crate) text: String,
    /// How long it may take.
    pub(crate) within: Duration,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// Something that a peer is made to do. Done when it has been begun.
    Act { peer: PeerId, act: Act },
    /// Something that has to come.
    Expect { peer: PeerId, expected: Expected },
    /// From now on nothing arrives at the other end of these lines.
    Cut {
        lines: Vec<usize>,
        /// Until it does again by itself.
        lasts: Option<Duration>,
    },
    /// Everything arrives again.
    Restore { lines: Vec<usize> },
    /// The signaling server.
    Server(ServerAct),
    /// Nothing, for so long.
    Pause(Duration),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Act {
    Start,
    /// A goodbye; for a program, SIGINT.
    Leave,
    /// No goodbye.
    Kill,
    Open {
        to: PeerId,
        channel: String,
        delivery: Delivery,
    },
    Send {
        to: PeerId,
        channel: String,
        text: String,
        /// More than one are numbered.
        count: u32,
    },
    Transfer {
        to: PeerId,
        load: Load,
    },
    Call {
        to: PeerId,
        codecs: Vec<Codec>,
    },
    /// Text for a program's stdin.
    Write(String),
}

/// What is transferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// So many random bytes in so many files.
    Random { bytes: u64, files: u32 },
    /// What is there: relative to the scenario.
    Path(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerAct {
    /// Killed, and there again after so long, having forgotten everything.
    Restart {
        down: Duration,
    },
    Stop,
    Start,
}

/// What has to come.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expected {
    /// Text on a channel; more than one are numbered, and come in order, once each.
    Message {
        from: PeerId,
        channel: String,
        text: String,
        count: u32,
    },
    /// A channel that the other side opened; of a page, any.
    Opened {
        from: Option<PeerId>,
        channel: String,
    },
    State {
        with: Option<PeerId>,
        state: State,
    },
    /// A transfer that is complete, of so many bytes if that is said.
    Received {
        from: PeerId,
        bytes: Option<u64>,
    },
    /// The same, at its sender.
    Sent {
        to: PeerId,
    },
    /// So many more frames from now on.
    Frames {
        from: Option<PeerId>,
        kind: Kind,
        count: u64,
    },
    /// A line of a program's stdout or stderr that has this in it.
    Output(String),
    /// A program's end.
    Exit(i32),
    /// A line of a page's console.
    Console(String),
    /// A page's element or expression.
    Page(Probe),
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    Connected,
    Interrupted,
    Ended,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connected => "connected",
            Self::Interrupted => "interrupted",
            Self::Ended => "ended",
        })
    }
}

/// Something asked of a page again and again until the answer is right.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Probe {
    /// Clicked, as soon as it is there, visible and enabled.
    Click { selector: String },
    /// Filled, as soon as it is there, visible and enabled.
    Fill { selector: String, text: String },
    /// The text of an element, or what is in a field.
    Text { selector: String, matcher: Matcher },
    /// An element that can be seen.
    Visible { selector: String },
    /// A JavaScript expression; promises are awaited.
    Check {
        expression: String,
        matcher: Matcher,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Matcher {
    /// Anything that JavaScript takes for true.
    Truth,
    Is(serde_json::Value),
    Contains(String),
}

impl Scenario {
    /// The lines of a peer, by their places.
    pub(crate) fn lines_of(&self, peer: PeerId) -> impl Iterator<Item = (usize, PeerId)> {
        let ends = self.lines.iter().enumerate();
        ends.filter_map(move |(index, line)| Some((index, line.other(peer)?)))
    }

    /// What a peer is called.
    pub(crate) fn name_of(&self, peer: PeerId) -> &str {
        self.peers.get(peer).map_or("nobody", |peer| &peer.name)
    }
}

/// The seed of one direction of one line, for links that are alike to differ.
pub(crate) fn link_seed(seed: u64, line: usize, direction: u64) -> u64 {
    // SplitMix64's increment: neighbouring seeds have nothing in common.
    seed.wrapping_add((2 * line as u64 + direction + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
