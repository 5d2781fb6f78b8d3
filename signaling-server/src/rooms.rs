//! All rooms: making, finding and forgetting them.

mod entry;

pub(crate) use entry::{Entered, Entrance, Seat, Terms, random_id};

use crate::{
    numbers::Numbers,
    refusal::Refusal,
    room::{Audience, Delivery, Departure, Room},
    sources::Source,
};
use signaling_protocol::{ErrorCode, LeaveReason, PeerId, RoomName};
use std::{
    collections::{HashMap, hash_map::Entry},
    time::{Duration, Instant},
};

/// Every room with somebody in it.
#[derive(Debug)]
pub(crate) struct Rooms<H> {
    rooms: HashMap<RoomName, Room<H>>,
    numbers: Numbers,
    /// Living rooms by who made them; no zeros.
    made: HashMap<Source, u32>,
    /// Members of one room at most.
    max_peers: u16,
}

impl<H: Clone> Rooms<H> {
    pub(crate) fn new(max_peers: u16) -> Self {
        Self {
            rooms: HashMap::new(),
            numbers: Numbers::default(),
            made: HashMap::new(),
            max_peers: max_peers.max(2),
        }
    }

    /// A sealed record was sent: how long the pairing took, if this is the one that completes it.
    pub(crate) fn sealed(
        &mut self,
        room: &RoomName,
        from: &PeerId,
        now: Instant,
    ) -> Option<Duration> {
        self.rooms.get_mut(room)?.sealed(from, now)
    }

    /// How many rooms, members, and members that are away there are.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let add = |(members, away), room: &Room<H>| (members + room.len(), away + room.away());
        let (members, away) = self.rooms.values().fold((0, 0), add);
        (self.rooms.len(), members, away)
    }

    /// Every room, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&RoomName, &Room<H>)> {
        self.rooms.iter()
    }

    pub(crate) fn get(&self, room: &RoomName) -> Option<&Room<H>> {
        self.rooms.get(room)
    }

    /// The handle of a member.
    pub(crate) fn find(&self, room: &RoomName, id: &PeerId) -> Option<&H> {
        self.rooms.get(room)?.handle(id)
    }

    /// How many members a room has that anybody may listen to; `None` of one that was made for a code.
    /// A room that does not exist yet counts as open, so that nobody learns which ones do.
    pub(crate) fn open_count(&self, room: &RoomName) -> Option<usize> {
        match self.rooms.get(room) {
            Some(room) if room.is_open() => Some(room.len()),
            Some(_) => None,
            None => Some(0),
        }
    }

    /// A member's connection broke at this time, or it is back; the others are told.
    pub(crate) fn set_away(
        &mut self,
        room: &RoomName,
        id: &PeerId,
        away: Option<Instant>,
    ) -> Option<Delivery<H>> {
        self.rooms.get_mut(room)?.set_away(id, away)
    }

    /// Takes a member out; an empty room is forgotten.
    pub(crate) fn leave(
        &mut self,
        room: &RoomName,
        id: &PeerId,
        reason: LeaveReason,
    ) -> Option<Departure<H>> {
        self.take_out(room, id, reason, false)
    }

    /// `keep`: somebody enters in the same moment, so the room lives on.
    fn take_out(
        &mut self,
        room: &RoomName,
        id: &PeerId,
        reason: LeaveReason,
        keep: bool,
    ) -> Option<Departure<H>> {
        let found = self.rooms.get_mut(room)?;
        let delivery = found.remove(id, reason);
        if found.is_empty() && !keep {
            let maker = found.maker();
            self.rooms.remove(room);
            self.numbers.remove(room);
            if let Entry::Occupied(mut made) = self.made.entry(maker) {
                *made.get_mut() -= 1;
                if *made.get() == 0 {
                    made.remove();
                }
            }
        }
        delivery
    }

    /// Who gets a message from `from`.
    pub(crate) fn recipients(
        &self,
        room: &RoomName,
        from: &PeerId,
        to: Option<&PeerId>,
        audience: Audience,
    ) -> Result<Vec<H>, Refusal> {
        match self.rooms.get(room) {
            Some(room) => room.recipients(from, to, audience),
            None => Err(Refusal::new(ErrorCode::Internal, "the room is gone")),
        }
    }
}

#[cfg(test)]
mod tests;
