//! What this node knows of the rooms that it has members in.

use super::call::Answer;
use signaling_protocol::RoomName;
use std::collections::{BTreeSet, HashMap};

/// One room, as it was when a script answered last.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    pub(super) epoch: String,
    pub(super) elsewhere: bool,
    pub(super) nodes: Vec<String>,
    pub(super) capacity: u16,
    pub(super) open: bool,
    pub(super) apart: Apart,
    /// In which era of Redis this was: one ends when everything is gone.
    pub(super) era: u64,
}

/// Whether a room does without Redis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Apart {
    #[default]
    No,
    Yes,
    /// What went on is being written down; what comes waits for that.
    Ending,
}

/// All of them; none without a member here.
#[derive(Debug, Default)]
pub(super) struct Standings(HashMap<RoomName, Standing>);

impl Standings {
    pub(super) fn get(&self, room: &RoomName) -> Option<&Standing> {
        self.0.get(room)
    }

    pub(super) fn get_mut(&mut self, room: &RoomName) -> Option<&mut Standing> {
        self.0.get_mut(room)
    }

    pub(super) fn rooms(&self) -> Vec<RoomName> {
        self.0.keys().cloned().collect()
    }

    /// A member is here now.
    pub(super) fn add(&mut self, room: &RoomName, answer: &Answer, era: u64) {
        let standing = self.0.entry(room.clone()).or_default();
        standing.capacity = answer.capacity.unwrap_or(standing.capacity);
        standing.open = answer.open;
        // Who was let in is in the room that there is, whatever was here before.
        standing.epoch.clear();
        self.learn(room, answer, Some(era));
    }

    /// What a script answered; in this era, if the members that are here are in Redis as well.
    pub(super) fn learn(&mut self, room: &RoomName, answer: &Answer, era: Option<u64>) {
        let Some(standing) = self.0.get_mut(room) else {
            return;
        };
        // Of another room with this name nothing holds for the members that are here.
        match &answer.epoch {
            Some(epoch) if standing.epoch.is_empty() || standing.epoch == *epoch => {
                standing.epoch.clone_from(epoch);
                standing.era = era.unwrap_or(standing.era);
                standing.elsewhere = answer.elsewhere;
                standing.nodes.clone_from(&answer.nodes);
            }
            _ => {}
        }
    }

    pub(super) fn remove(&mut self, room: &RoomName) {
        self.0.remove(room);
    }

    /// All other nodes that share a room with this one.
    pub(super) fn nodes(&self) -> BTreeSet<String> {
        // Few nodes share many rooms: only the few are copied, since this is asked every second.
        let nodes = self.0.values().flat_map(|standing| &standing.nodes);
        let few: BTreeSet<&String> = nodes.collect();
        few.into_iter().cloned().collect()
    }

    pub(super) fn rooms_with(&self, nodes: &[String]) -> Vec<RoomName> {
        let with = |standing: &Standing| standing.nodes.iter().any(|node| nodes.contains(node));
        let rooms = self.0.iter().filter(|(_, standing)| with(standing));
        rooms.map(|(room, _)| room.clone()).collect()
    }
}
