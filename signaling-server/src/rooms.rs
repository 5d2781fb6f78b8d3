//! All rooms: making, finding and forgetting them.

use crate::{
    numbers::Numbers,
    refusal::Refusal,
    room::{Audience, Delivery, Departure, Room},
    sources::Source,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rand::{CryptoRng, RngExt};
use signaling_protocol::{ErrorCode, LeaveReason, PeerId, PeerInfo, PeerName, RoomName};
use std::{
    collections::{HashMap, hash_map::Entry},
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

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};
    use signaling_protocol::ServerMessage;

    struct Fixture {
        rooms: Rooms<u32>,
        rng: StdRng,
        next: u32,
        now: Instant,
        gone: Vec<Departure<u32>>,
        joins_per_minute: u32,
    }

    impl Fixture {
        fn new() -> Self {
            Self {
                rooms: Rooms::new(3),
                rng: StdRng::seed_from_u64(1),
                next: 0,
                now: Instant::now(),
                gone: Vec::new(),
                joins_per_minute: 1000,
            }
        }

        fn enter(
            &mut self,
            room: Option<&str>,
            create: Option<bool>,
            capacity: Option<u16>,
        ) -> Result<Entered<u32>, ErrorCode> {
            self.next += 1;
            let entrance = Entrance {
                room: room.map(|name| name.parse().unwrap()),
                create,
                capacity,
                name: None,
                plain: false,
                source: Source::LOOPBACK,
            };
            let terms = Terms {
                max_rooms: 4,
                max_all: 6,
                joins_per_minute: self.joins_per_minute,
                now: self.now,
                hold: Duration::from_secs(3),
            };
            let (gone, rng) = (&mut self.gone, &mut self.rng);
            let entered = self
                .rooms
                .enter(entrance, |_, _| self.next, terms, gone, rng);
            entered.map_err(|refusal| refusal.code)
        }
    }

    #[test]
    fn create_decides_between_new_and_old_rooms() {
        let mut fixture = Fixture::new();
        let refused = |result: Result<_, _>| result.map(|_: Entered<u32>| ()).unwrap_err();
        assert_eq!(
            refused(fixture.enter(Some("a"), Some(false), None)),
            ErrorCode::NoSuchRoom
        );
        assert_eq!(
            refused(fixture.enter(None, None, None)),
            ErrorCode::BadMessage
        );
        assert_eq!(
            refused(fixture.enter(None, Some(false), None)),
            ErrorCode::BadMessage
        );
        for capacity in [0, 1, 4, u16::MAX] {
            let result = fixture.enter(Some("a"), None, Some(capacity));
            assert_eq!(refused(result), ErrorCode::BadMessage, "{capacity}");
        }
        let first = fixture.enter(Some("a"), Some(true), Some(2)).unwrap();
        assert_eq!((first.capacity, first.peers.len()), (2, 0));
        assert_eq!(
            refused(fixture.enter(Some("a"), Some(true), None)),
            ErrorCode::RoomTaken
        );
        let second = fixture.enter(Some("a"), Some(false), Some(3)).unwrap();
        assert_eq!(second.capacity, 2, "only the maker chooses");
        assert_eq!(second.peers[0].id, first.id);
        assert!(matches!(
            second.delivery.message,
            ServerMessage::PeerJoined { .. }
        ));
        assert_eq!(
            refused(fixture.enter(Some("a"), None, None)),
            ErrorCode::RoomFull
        );
    }

    #[test]
    fn a_number_of_the_servers_choice() {
        let mut fixture = Fixture::new();
        let entered = fixture.enter(None, Some(true), Some(2)).unwrap();
        let number: u32 = entered.room.as_str().parse().unwrap();
        assert!((1_000..10_000).contains(&number), "{number}");
    }

    #[test]
    fn a_source_keeps_a_bounded_number_of_rooms_and_gets_them_back() {
        let mut fixture = Fixture::new();
        let made: Vec<_> = (0..4)
            .map(|_| fixture.enter(None, Some(true), None).unwrap())
            .collect();
        assert_eq!(
            fixture.enter(Some("x"), None, None).unwrap_err(),
            ErrorCode::RateLimited
        );
        let room = made[0].room.to_string();
        fixture
            .enter(Some(&room), None, None)
            .expect("entering what exists is not making");
        let gone = fixture
            .rooms
            .leave(&made[1].room, &made[1].id, LeaveReason::Left)
            .unwrap();
        assert!(gone.delivery.to.is_empty());
        fixture.enter(Some("x"), None, None).unwrap();
    }

    #[test]
    fn one_room_and_all_rooms_have_limits() {
        let mut fixture = Fixture::new();
        fixture.joins_per_minute = 3;
        let made: Vec<_> = (0..4)
            .map(|_| fixture.enter(None, Some(true), None).unwrap())
            .collect();
        let name = made[0].room.to_string();
        let enter = |fixture: &mut Fixture| {
            let entered = fixture.enter(Some(&name), Some(false), None)?;
            fixture
                .rooms
                .leave(&entered.room, &entered.id, LeaveReason::Left);
            Ok::<_, ErrorCode>(())
        };
        assert_eq!(enter(&mut fixture), Ok(()));
        assert_eq!(enter(&mut fixture), Ok(()));
        assert_eq!(enter(&mut fixture), Err(ErrorCode::RateLimited));
        fixture.now += Duration::from_secs(20);
        assert_eq!(enter(&mut fixture), Ok(()));
        assert_eq!(enter(&mut fixture), Err(ErrorCode::RateLimited));
        // Who finds it full is told so, however often.
        fixture.now += Duration::from_secs(60);
        for _ in 0..2 {
            fixture.enter(Some(&name), Some(false), None).unwrap();
        }
        for _ in 0..10 {
            let full = fixture.enter(Some(&name), Some(false), None).unwrap_err();
            assert_eq!(full, ErrorCode::RoomFull);
        }
        // Others make rooms too: the server's own limit is above that of one source.
        fixture.rooms.made.clear();
        for expected in [None, None, Some(ErrorCode::ServerFull)] {
            assert_eq!(fixture.enter(None, Some(true), None).err(), expected);
        }
    }

    #[test]
    fn two_are_paired_when_both_have_sent_something_sealed() {
        let mut fixture = Fixture::new();
        let a = fixture.enter(Some("r"), None, None).unwrap();
        let room = a.room.clone();
        let (start, later) = (fixture.now, fixture.now + Duration::from_secs(2));
        assert_eq!(fixture.rooms.sealed(&room, &a.id, start), None, "alone");
        let b = fixture.enter(Some("r"), None, None).unwrap();
        assert_eq!(fixture.rooms.sealed(&room, &b.id, start), None);
        assert_eq!(fixture.rooms.sealed(&room, &b.id, start), None);
        let took = fixture.rooms.sealed(&room, &a.id, later);
        assert_eq!(took, Some(Duration::from_secs(2)));
        assert_eq!(fixture.rooms.sealed(&room, &b.id, later), None, "once");
        fixture.rooms.leave(&room, &b.id, LeaveReason::Left);
        let c = fixture.enter(Some("r"), None, None).unwrap();
        assert_eq!(fixture.rooms.sealed(&room, &a.id, later), None);
        assert!(fixture.rooms.sealed(&room, &c.id, later).is_some(), "again");
        assert_eq!(fixture.rooms.counts(), (1, 2, 0));
    }

    #[test]
    fn nothing_remains_of_a_room_that_was_left() {
        let mut fixture = Fixture::new();
        let entered = fixture.enter(None, Some(true), None).unwrap();
        fixture
            .rooms
            .leave(&entered.room, &entered.id, LeaveReason::Left);
        assert_eq!(
            fixture
                .rooms
                .leave(&entered.room, &entered.id, LeaveReason::Left),
            None
        );
        assert!(fixture.rooms.rooms.is_empty() && fixture.rooms.made.is_empty());
        let code = fixture
            .rooms
            .recipients(&entered.room, &entered.id, None, Audience::Everyone);
        assert_eq!(code.unwrap_err().code, ErrorCode::Internal);
    }

    #[test]
    fn who_is_away_makes_way_for_who_comes() {
        let mut fixture = Fixture::new();
        let a = fixture.enter(Some("r"), Some(true), Some(2)).unwrap();
        let b = fixture.enter(Some("r"), None, None).unwrap();
        let away = Some(fixture.now);
        fixture.rooms.set_away(&b.room, &b.id, away).unwrap();
        let held = fixture.enter(Some("r"), Some(false), None).unwrap_err();
        assert_eq!(held, ErrorCode::RoomFull);

        fixture.now += Duration::from_secs(3);
        let taken = fixture.enter(Some("r"), Some(true), None).unwrap_err();
        assert_eq!(taken, ErrorCode::RoomTaken, "one is still there");
        let c = fixture.enter(Some("r"), Some(false), None).unwrap();
        let left = fixture.gone.pop().unwrap();
        assert_eq!((left.gone, left.delivery.to), (b.handle, vec![a.handle]));
        assert_eq!(c.peers.len(), 1);

        for entered in [&a, &c] {
            fixture
                .rooms
                .set_away(&entered.room, &entered.id, Some(fixture.now));
        }
        let held = fixture.enter(Some("r"), Some(true), None).unwrap_err();
        assert_eq!(held, ErrorCode::RoomTaken);
        fixture.now += Duration::from_secs(3);
        let new = fixture.enter(Some("r"), Some(true), Some(2)).unwrap();
        assert_eq!((new.peers.len(), fixture.gone.len()), (0, 2));
        assert_eq!(fixture.rooms.made.values().sum::<u32>(), 1);
    }

    #[test]
    fn the_only_member_makes_way_in_a_room_that_stays() {
        let mut fixture = Fixture::new();
        fixture.rooms.max_peers = 2;
        let ids: Vec<_> = (0..2)
            .map(|_| fixture.enter(Some("r"), None, None).unwrap().id)
            .collect();
        let room: RoomName = "r".parse().unwrap();
        for id in &ids {
            fixture.rooms.set_away(&room, id, Some(fixture.now));
        }
        fixture.now += Duration::from_secs(3);
        let next = fixture.enter(Some("r"), Some(false), None).unwrap();
        assert_eq!((next.peers.len(), next.capacity), (1, 2));
    }
}
