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
