//! What a session that lost its path does, and for how long: limits, and what is told of it.

use std::time::{Duration, Instant};

/// The limits of a session whose path stopped working.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Healing {
    /// Nothing from the peer on the path in use for this long: it is lost.
    pub path_lost: Duration,
    /// From then on until ICE gives up by itself, and only a restart helps.
    pub path_failed: Duration,
    /// ICE asks for a sign of life of the path this often.
    pub keepalive: Duration,
    /// A connected peer is asked for a sign of life of its session this often.
    pub heartbeat: Duration,
    /// From the loss until ICE is restarted; the polite side waits twice as long for the other's restart.
    pub restart_after: Duration,
    /// No message for this long on a path that works counts as an interruption too.
    pub silence: Duration,
    /// From the beginning of an interruption until the session is lost.
    pub give_up: Duration,
}

impl Default for Healing {
    /// ICE's limits are the engine's own (RFC 7675 wants consent lost within 30 s). Three heartbeats are
    /// silence, so that two may be lost. A signaling server keeps a place for 120 s: who is away for longer
    /// has to be found again.
    fn default() -> Self {
        Self {
            path_lost: Duration::from_secs(5),
            path_failed: Duration::from_secs(25),
            keepalive: Duration::from_secs(2),
            heartbeat: Duration::from_secs(5),
            restart_after: Duration::from_secs(3),
            silence: Duration::from_secs(15),
            give_up: Duration::from_secs(120),
        }
    }
}

impl Healing {
    /// Everything as many times faster, for tests that cannot wait.
    #[must_use]
    pub fn faster(self, times: u32) -> Self {
        Self {
            path_lost: self.path_lost / times,
            path_failed: self.path_failed / times,
            keepalive: self.keepalive / times,
            heartbeat: self.heartbeat / times,
            restart_after: self.restart_after / times,
            silence: self.silence / times,
            give_up: self.give_up / times,
        }
    }
}

/// Whether the peer can be reached now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connectivity {
    /// It can.
    Connected,
    /// It cannot; the session looks for another way and keeps everything that is to be sent.
    Interrupted(Interruption),
}

/// A session that cannot reach its peer for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interruption {
    /// When it was noticed.
    pub since: Instant,
    /// When the session gives up.
    pub until: Instant,
    /// What is known of the cause.
    pub cause: Cause,
}

/// What is known of the cause of an interruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The path to the peer stopped working.
    PathLost,
    /// So it did, and the signaling server does not answer either: most likely it is this side's network.
    NetworkLost,
    /// The path works, and the peer says nothing.
    Silent,
}
