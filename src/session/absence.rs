//! A peer that the signaling server misses, and from when on it is gone for good (docs/protocol.md section 3.6).
//!
//! Pure. A peer may lose the server and keep its path, or the other way round, and comes back. One that has lost both, or
//! the server before there was a path, most likely has no process any more.

use std::time::{Duration, Instant};

/// Leaving the room and losing the path within this time is leaving for good: a process that died is
/// missed by the server at once and by ICE after 5 s.
const TOGETHER: Duration = Duration::from_secs(10);

/// How long a peer whose connection to the server broke is waited for. One that lives and has a network comes back at
/// once, after 0.2, 0.4, 0.8 s and so on.
pub(super) const AWAY_LIMIT: Duration = Duration::from_secs(10);

/// The peer is not in the room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Absence {
    pub(super) since: Instant,
    /// Whether it left the room, or only its connection to the server broke.
    pub(super) on_purpose: bool,
}

impl Absence {
    /// From when on a peer is gone that was never verified, and to which there is no path.
    pub(super) fn ends_handshakes(&self) -> Instant {
        self.since + AWAY_LIMIT
    }

    /// From when on a verified peer is gone whose path was lost at `lost`; `None` if it may come back.
    pub(super) fn ends_session(&self, lost: Instant) -> Option<Instant> {
        let before = lost.saturating_duration_since(self.since) < TOGETHER;
        let after = self.since.saturating_duration_since(lost) < TOGETHER;
        match self.on_purpose {
            true => before.then_some(self.since.max(lost)),
            false => (before && after).then_some(self.since + AWAY_LIMIT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_verified_peer_is_gone_that_lost_its_path_and_the_server_together() {
        let begin = Instant::now();
        let at = |seconds| begin + SECOND * seconds;
        let gone = |on_purpose, since, lost| {
            let absence = Absence {
                since: at(since),
                on_purpose,
            };
            let ends = absence.ends_session(at(lost));
            ends.map(|ends| (ends - begin).as_secs())
        };
        for (since, lost, left, away) in [
            // Together, in either order.
            (20, 25, Some(25), Some(30)),
            (25, 20, Some(25), Some(35)),
            // Apart: one that left long before lives from its path, and one that leaves later has given up.
            (20, 30, None, None),
            (30, 20, Some(30), None),
        ] {
            assert_eq!(gone(true, since, lost), left, "{since} {lost}");
            assert_eq!(gone(false, since, lost), away, "{since} {lost}");
        }
    }
}
