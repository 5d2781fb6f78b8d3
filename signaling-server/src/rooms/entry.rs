//! Coming in: which rooms are made, who gets a place, and who has to make way.

use super::Rooms;
use crate::{
    refusal::Refusal,
    room::{Delivery, Departure, Room},
    sources::Source,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rand::{CryptoRng, RngExt};
use signaling_protocol::{ErrorCode, LeaveReason, PeerId, PeerInfo, PeerName, RoomName};
use std::{
    collections::hash_map::Entry,
    time::{Duration, Instant},
};

/// Bytes of randomness in a peer id: it never repeats in a room's life, so that a late message to
/// one who left does not reach somebody else.
const PEER_ID_BYTES: usize = 9;

/// Who wants in, and how.
#[derive(Debug, Clone)]
pub(crate) struct Entrance {
    pub(crate) room: Option<RoomName>,
    pub(crate) create: Option<bool>,
    pub(crate) capacity: Option<u16>,
    pub(crate) name: Option<PeerName>,
    pub(crate) plain: bool,
    pub(crate) source: Source,
}

/// Somebody is in.
#[derive(Debug)]
pub(crate) struct Entered<H> {
    pub(crate) room: RoomName,
    pub(crate) id: PeerId,
    pub(crate) peers: Vec<PeerInfo>,
    pub(crate) capacity: u16,
    pub(crate) handle: H,
    pub(crate) delivery: Delivery<H>,
}

/// A place that somebody has.
#[derive(Debug)]
pub(crate) struct Seat<H> {
    pub(crate) room: RoomName,
    pub(crate) info: PeerInfo,
    pub(crate) capacity: u16,
    pub(crate) open: bool,
    pub(crate) source: Source,
    pub(crate) handle: H,
}

/// What the rooms have to know of the moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// How many rooms the source may keep alive.
    pub(crate) max_rooms: u32,
    /// How many rooms there may be altogether.
    pub(crate) max_all: usize,
    /// How often a room may be entered in a minute.
    pub(crate) joins_per_minute: u32,
    pub(crate) now: Instant,
    /// How long the place of a member that is away is kept from others who want it.
    pub(crate) hold: Duration,
}

impl<H: Clone> Rooms<H> {
    /// Lets somebody in, or says why not. `handle` makes what leads to the new member; whoever had to
    /// make way for it is added to `gone`.
    pub(crate) fn enter(
        &mut self,
        entrance: Entrance,
        handle: impl FnOnce(&RoomName, &PeerId) -> H,
        terms: Terms,
        gone: &mut Vec<Departure<H>>,
        rng: &mut impl CryptoRng,
    ) -> Result<Entered<H>, Refusal> {
        let Entrance {
            room,
            create,
            capacity,
            name,
            plain,
            source,
        } = entrance;
        let max_rooms = terms.max_rooms;
        let capacity = self.capacity(capacity)?;
        let room = match (room, create) {
            (Some(room), _) => room,
            (None, Some(true)) => self
                .numbers
                .draw(rng, |name| !self.rooms.contains_key(name)),
            (None, _) => {
                return Err(Refusal::new(
                    ErrorCode::BadMessage,
                    "`join` without `room` needs `create: true`",
                ));
            }
        };
        self.make_way(&room, create, terms, gone);
        let all = self.rooms.len();
        let found = match self.rooms.entry(room.clone()) {
            Entry::Occupied(_) if create == Some(true) => {
                return Err(Refusal::new(
                    ErrorCode::RoomTaken,
                    "somebody is in that room",
                ));
            }
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(_) if create == Some(false) => {
                return Err(Refusal::new(
                    ErrorCode::NoSuchRoom,
                    "nobody is in that room",
                ));
            }
            Entry::Vacant(_) if all >= terms.max_all => {
                return Err(Refusal::new(
                    ErrorCode::ServerFull,
                    "the server has no free room",
                ));
            }
            Entry::Vacant(entry) => {
                let made = self.made.entry(source).or_default();
                if *made >= max_rooms {
                    if max_rooms == 0 {
                        self.made.remove(&source);
                    }
                    return Err(Refusal::new(
                        ErrorCode::RateLimited,
                        format!("{max_rooms} rooms at once from one address"),
                    ));
                }
                *made += 1;
                self.numbers.add(&room);
                let joins = terms.joins_per_minute;
                entry.insert(Room::new(
                    capacity,
                    source,
                    create.is_none(),
                    joins,
                    terms.now,
                ))
            }
        };
        if found.is_full() {
            return Err(Refusal::new(
                ErrorCode::RoomFull,
                format!(
                    "the {} peers that this room holds are there",
                    found.capacity()
                ),
            ));
        }
        // Only who would get in counts: a crowd at a full room must not shut it for later.
        if !found.knock(terms.now) {
            let message = "too many joins into this room in a minute";
            return Err(Refusal::new(ErrorCode::RateLimited, message));
        }
        let id = loop {
            let id = random_id(rng);
            if !found.has(&id) {
                break id;
            }
        };
        let peers = found.peers();
        let handle = handle(&room, &id);
        let delivery = found.add(
            PeerInfo {
                id: id.clone(),
                name,
                plain,
                away: false,
            },
            handle.clone(),
            terms.now,
        );
        Ok(Entered {
            room,
            id,
            peers,
            capacity: found.capacity(),
            handle,
            delivery,
        })
    }

    /// A number that no room here has.
    pub(crate) fn draw(&self, rng: &mut impl CryptoRng) -> RoomName {
        self.numbers
            .draw(rng, |name| !self.rooms.contains_key(name))
    }

    /// Whether this source may make another room.
    pub(crate) fn may_make(&self, source: Source, terms: Terms) -> Result<(), Refusal> {
        if self.rooms.len() >= terms.max_all {
            let message = "the server has no free room";
            return Err(Refusal::new(ErrorCode::ServerFull, message));
        }
        let max_rooms = terms.max_rooms;
        if self
            .made
            .get(&source)
            .is_some_and(|made| *made >= max_rooms)
            || max_rooms == 0
        {
            let message = format!("{max_rooms} rooms at once from one address");
            return Err(Refusal::new(ErrorCode::RateLimited, message));
        }
        Ok(())
    }

    /// Seats somebody who was let in elsewhere, or was here before.
    pub(crate) fn seat(&mut self, seat: Seat<H>, now: Instant) {
        let Seat {
            room,
            info,
            capacity,
            open,
            source,
            handle,
        } = seat;
        let found = self.rooms.entry(room).or_insert_with_key(|room| {
            *self.made.entry(source).or_default() += 1;
            self.numbers.add(room);
            Room::new(capacity, source, open, u32::MAX, now)
        });
        // The others are told by whoever let it in.
        let _ = found.add(info, handle, now);
    }

    /// Takes out who is away for longer than its place is held: everybody, if there is nobody else and
    /// the room is wanted as a new one, or the first of them if the room is full.
    fn make_way(
        &mut self,
        name: &RoomName,
        create: Option<bool>,
        terms: Terms,
        gone: &mut Vec<Departure<H>>,
    ) {
        let Some(room) = self.rooms.get(name) else {
            return;
        };
        let mut abandoned = room.abandoned(terms.now, terms.hold);
        match create {
            Some(true) if abandoned.len() == room.len() => {}
            Some(true) => return,
            _ if room.is_full() => abandoned.truncate(1),
            _ => return,
        }
        let keep = create != Some(true);
        for id in abandoned {
            gone.extend(self.take_out(name, &id, LeaveReason::Lost, keep));
        }
    }

    /// How many places a room gets.
    pub(crate) fn capacity(&self, wanted: Option<u16>) -> Result<u16, Refusal> {
        let capacity = wanted.unwrap_or(self.max_peers);
        if !(2..=self.max_peers).contains(&capacity) {
            return Err(Refusal::new(
                ErrorCode::BadMessage,
                format!("`capacity` goes from 2 to {}", self.max_peers),
            ));
        }
        Ok(capacity)
    }
}

pub(crate) fn random_id(rng: &mut impl CryptoRng) -> PeerId {
    let bytes: [u8; PEER_ID_BYTES] = rng.random();
    BASE64_URL_SAFE_NO_PAD
        .encode(bytes)
        .parse()
        .expect("base64url is within a peer id's alphabet")
}
