//! Which track has to go to which member of a room: to everybody but its publisher.

use std::collections::{BTreeMap, BTreeSet};

/// Names a member.
pub(super) type MemberKey = u64;

/// Names a track.
pub(super) type TrackKey = u64;

/// What has to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Send it there from now on.
    Carry { track: TrackKey, to: MemberKey },
    /// Send it there no more.
    Drop { track: TrackKey, to: MemberKey },
    /// It is over.
    End { track: TrackKey },
}

/// Tracks of one member: a camera, a microphone and a few screens. Everybody else has to take them all.
const PUBLISHED: usize = 8;

/// Members that are connected, and what each publishes.
#[derive(Debug, Default)]
pub(super) struct Roster(BTreeMap<MemberKey, BTreeSet<TrackKey>>);

impl Roster {
    /// A member is connected.
    pub(super) fn joined(&mut self, to: MemberKey) -> Vec<Change> {
        let tracks = self.0.values().flatten();
        let changes = tracks.map(|track| Change::Carry { track: *track, to });
        let changes = changes.collect();
        self.0.insert(to, BTreeSet::new());
        changes
    }

    /// A member is gone, and so is what it published.
    pub(super) fn left(&mut self, member: MemberKey) -> Vec<Change> {
        let tracks = self.0.remove(&member).unwrap_or_default();
        tracks
            .into_iter()
            .flat_map(|track| self.over(track))
            .collect()
    }

    /// Whether a member is connected.
    pub(super) fn has(&self, member: MemberKey) -> bool {
        self.0.contains_key(&member)
    }

    /// Whether a member may publish one more track: it is here, and has not published too many.
    pub(super) fn may_publish(&self, member: MemberKey) -> bool {
        let tracks = self.0.get(&member);
        tracks.is_some_and(|tracks| tracks.len() < PUBLISHED)
    }

    /// A member publishes a track. Nothing if it is not here, or not any more.
    pub(super) fn published(&mut self, member: MemberKey, track: TrackKey) -> Vec<Change> {
        let Some(tracks) = self.0.get_mut(&member) else {
            return Vec::new();
        };
        tracks.insert(track);
        let others = self.0.keys().filter(|other| **other != member);
        others.map(|to| Change::Carry { track, to: *to }).collect()
    }

    /// A member publishes a track no more.
    pub(super) fn unpublished(&mut self, member: MemberKey, track: TrackKey) -> Vec<Change> {
        let tracks = self.0.get_mut(&member);
        if !tracks.is_some_and(|tracks| tracks.remove(&track)) {
            return Vec::new();
        }
        let changes = self.over(track).into_iter();
        changes
            .filter(|change| !matches!(change, Change::Drop { to, .. } if *to == member))
            .collect()
    }

    fn over(&self, track: TrackKey) -> Vec<Change> {
        let drops = self.0.keys().map(|to| Change::Drop { track, to: *to });
        drops.chain([Change::End { track }]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carry(track: TrackKey, to: MemberKey) -> Change {
        Change::Carry { track, to }
    }

    fn lose(track: TrackKey, to: MemberKey) -> Change {
        Change::Drop { track, to }
    }

    #[test]
    fn everybody_gets_what_the_others_publish() {
        let mut roster = Roster::default();
        assert_eq!(roster.published(1, 10), [], "it is not here");
        assert_eq!(roster.joined(1), []);
        assert_eq!(roster.published(1, 10), []);
        assert_eq!(roster.joined(2), [carry(10, 2)]);
        assert_eq!(roster.published(2, 20), [carry(20, 1)]);
        assert_eq!(roster.joined(3), [carry(10, 3), carry(20, 3)]);
        assert_eq!(roster.published(1, 11), [carry(11, 2), carry(11, 3)]);
        let end = Change::End { track: 10 };
        assert_eq!(roster.unpublished(1, 10), [lose(10, 2), lose(10, 3), end]);
        assert_eq!(roster.unpublished(1, 10), []);
        let end = Change::End { track: 11 };
        assert_eq!(roster.left(1), [lose(11, 2), lose(11, 3), end]);
        assert_eq!(roster.left(1), []);
        assert_eq!(roster.joined(4), [carry(20, 4)]);
    }

    #[test]
    fn nobody_fills_the_room_alone() {
        let mut roster = Roster::default();
        assert!(!roster.may_publish(1), "it is not here");
        roster.joined(1);
        for track in 0..PUBLISHED {
            assert!(roster.may_publish(1));
            roster.published(1, track as TrackKey);
        }
        assert!(!roster.may_publish(1));
        roster.unpublished(1, 0);
        assert!(roster.may_publish(1));
    }
}
