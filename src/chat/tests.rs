//! Both sides together, without a clock, over lines that break anywhere.

use super::host::{AWAY, STALL};
use super::log::{HISTORY, MAX_ENTRIES};
use super::message::{Message, Person, WINDOW};
use super::side::{Link, Side};
use super::{ChatError, Event, Kind, Name, host::Host};
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// A room without channels: messages travel when they are moved.
struct Room {
    now: Instant,
    host: Host,
    guests: Vec<Guest>,
    links: u64,
    /// What the host was shown, by name.
    shown: BTreeMap<String, Vec<String>>,
    said: u64,
}

struct Guest {
    core: super::guest::Guest,
    line: Option<Line>,
    shown: BTreeMap<String, Vec<String>>,
    said: u64,
}

struct Line {
    link: Link,
    up: VecDeque<Message>,
    down: VecDeque<Message>,
}

pub(super) fn note(shown: &mut BTreeMap<String, Vec<String>>, events: Vec<Event>) {
    for event in events {
        if let Event::Said(said) = event {
            let of = shown.entry(said.name.to_string()).or_default();
            of.push(said.text);
        }
    }
}

impl Room {
    fn new(guests: usize) -> Self {
        let guest = |number| Guest {
            core: super::guest::Guest::new(Name::new(&format!("guest {number}"))),
            line: None,
            shown: BTreeMap::new(),
            said: 0,
        };
        Self {
            now: Instant::now(),
            host: Host::new(Name::new("host")),
            guests: (0..guests).map(guest).collect(),
            links: 0,
            shown: BTreeMap::new(),
            said: 0,
        }
    }

    fn connect(&mut self, guest: usize) {
        self.links += 1;
        let link = Link(self.links);
        self.host.link(link);
        self.guests[guest].core.link(link);
        self.guests[guest].line = Some(Line {
            link,
            up: VecDeque::new(),
            down: VecDeque::new(),
        });
    }

    /// What is under way is lost.
    fn cut(&mut self, guest: usize) {
        if let Some(line) = self.guests[guest].line.take() {
            self.host.unlink(self.now, line.link);
            self.host.reach(line.link, false);
            self.guests[guest].core.unlink(self.now, line.link);
        }
    }

    /// Moves up to so many messages of each kind on one line; whether anything moved.
    fn step(&mut self, guest: usize, most: usize) -> bool {
        let guest = &mut self.guests[guest];
        let Some(line) = &mut guest.line else {
            return false;
        };
        let mut moved = false;
        for _ in 0..most {
            let next = guest.core.next(self.now, line.link).unwrap();
            moved |= next.is_some();
            line.up.extend(next);
            let next = self.host.next(self.now, line.link).unwrap();
            moved |= next.is_some();
            line.down.extend(next);
            if let Some(message) = line.up.pop_front() {
                note(
                    &mut self.shown,
                    self.host.receive(self.now, line.link, message).unwrap(),
                );
                moved = true;
            }
            if let Some(message) = line.down.pop_front() {
                note(
                    &mut guest.shown,
                    guest.core.receive(self.now, line.link, message).unwrap(),
                );
                moved = true;
            }
        }
        moved
    }

    fn say(&mut self, guest: usize) {
        let guest = &mut self.guests[guest];
        if guest.core.has_room() {
            guest.said += 1;
            guest.core.say(0, Kind::Text, guest.said.to_string());
        }
    }

    fn host_says(&mut self) {
        if self.host.has_room() {
            self.said += 1;
            self.host.say(0, Kind::Text, self.said.to_string());
        }
    }

    fn settle(&mut self) {
        for guest in 0..self.guests.len() {
            if self.guests[guest].line.is_none() {
                self.connect(guest);
            }
        }
        let all = self.guests.len();
        while (0..all).filter(|guest| self.step(*guest, 8)).count() > 0 {}
    }

    /// Everybody was shown everything of everybody else, once and in order.
    fn check(&self) {
        let numbers = |said: u64| (1..=said).map(|n| n.to_string()).collect::<Vec<_>>();
        let name = |index: usize| format!("guest {index}");
        for (index, guest) in self.guests.iter().enumerate() {
            assert_eq!(guest.core.unsettled(), 0);
            let of_host = guest.shown.get("host").cloned().unwrap_or_default();
            assert_eq!(of_host, numbers(self.said), "of the host, to {index}");
            let here = self.shown.get(&name(index)).cloned().unwrap_or_default();
            assert_eq!(here, numbers(guest.said), "of {index}, to the host");
            for (other, shown) in self
                .guests
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != index)
            {
                let shown = shown.shown.get(&name(index)).cloned().unwrap_or_default();
                assert_eq!(shown, numbers(guest.said), "of {index}, to {other}");
            }
        }
        assert_eq!(self.host.unsettled(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Lines break at any time and lose what is under way.
    #[test]
    fn each_message_is_shown_once_in_order(steps in proptest::collection::vec((0u8..8, 0usize..3, 1usize..9), 1..500)) {
        let mut room = Room::new(3);
        // Nobody new is shown everything: all are there from the beginning.
        room.settle();
        for (what, guest, count) in steps {
            match what {
                0 => room.cut(guest),
                1 => room.connect(guest),
                2 => (0..count * 16).for_each(|_| room.say(guest)),
                3 => (0..count * 16).for_each(|_| room.host_says()),
                _ => drop(room.step(guest, count * 4)),
            }
        }
        room.settle();
        room.check();
    }
}

#[test]
fn who_takes_nothing_keeps_the_others_waiting_and_is_then_given_up() {
    let mut room = Room::new(2);
    room.settle();
    for _ in 0..2 * MAX_ENTRIES {
        room.host_says();
        room.step(0, 4);
    }
    // The first one has everything; the second one nothing, and its part is kept.
    assert!(!room.host.has_room());
    assert_eq!(room.said, MAX_ENTRIES as u64);
    // A message of the first one is shown, and told to be taken only when there is room again.
    room.say(0);
    while room.step(0, 4) {}
    assert_eq!(room.shown["guest 0"], ["1"]);
    assert_eq!(room.guests[0].core.unsettled(), 1);
    room.now += STALL;
    let events = room.host.tick(room.now);
    assert_eq!(events, [Event::Left(Name::new("guest 1"))]);
    while room.step(0, 4) {}
    assert_eq!(room.guests[0].core.unsettled(), 0);
    let link = room.guests[1].line.as_ref().unwrap().link;
    assert_eq!(room.host.next(room.now, link), Err(ChatError::GivenUp));
    // Whoever was given up hears how much is missing.
    for _ in 0..10 {
        room.host_says();
        room.step(0, 4);
    }
    room.cut(1);
    room.connect(1);
    let guest = &mut room.guests[1];
    let line = guest.line.as_ref().unwrap();
    let enter = guest.core.next(room.now, line.link).unwrap().unwrap();
    room.host.receive(room.now, line.link, enter).unwrap();
    let welcome = room.host.next(room.now, line.link).unwrap().unwrap();
    assert!(
        matches!(welcome, Message::Welcome { old: 0, missed, .. } if missed > 0),
        "{welcome:?}"
    );
}

#[test]
fn who_is_away_for_too_long_has_left_and_is_still_known() {
    let mut room = Room::new(1);
    room.settle();
    room.say(0);
    while room.step(0, 1) {}
    room.cut(0);
    assert!(room.host.tick(room.now + AWAY / 2).is_empty());
    assert_eq!(
        room.host.tick(room.now + AWAY),
        [Event::Left(Name::new("guest 0"))]
    );
    room.say(0);
    room.settle();
    room.check();
}

#[test]
fn somebody_new_is_shown_the_newest_of_before() {
    let mut room = Room::new(2);
    room.connect(0);
    while room.step(0, 1) {}
    for _ in 0..HISTORY + 50 {
        room.host_says();
        room.say(0);
        room.step(0, 4);
    }
    room.connect(1);
    while (0..2).filter(|guest| room.step(*guest, 1)).count() > 0 {}
    let shown: usize = room.guests[1].shown.values().map(Vec::len).sum();
    assert_eq!(shown as u64, HISTORY);
}

#[test]
fn a_guest_that_breaks_the_rules_is_hung_up_on() {
    let say = |n| Message::Say {
        n,
        at: 0,
        kind: Kind::Text,
        text: String::new(),
    };
    let enter = |key: &str, room: Option<&str>, after| {
        let room = room.map_or_else(String::new, |room| format!(r#","room":"{room}""#));
        let json = format!(r#"{{"type":"enter","key":"{key}","name":"x"{room},"after":{after}}}"#);
        Message::parse(&json).unwrap()
    };
    let key = "AAECAwQFBgcICQoLDA0ODw";
    let mut rows: Vec<(&str, Vec<Message>)> = vec![
        ("no enter", vec![say(1)]),
        ("no key", vec![enter("AA", None, 0)]),
        ("twice", vec![enter(key, None, 0), enter(key, None, 0)]),
        ("a gap", vec![enter(key, None, 0), say(2)]),
        ("again", vec![enter(key, None, 0), say(1), say(1)]),
        (
            "took what is not there",
            vec![enter(key, None, 0), Message::Ack { n: 1 }],
        ),
        (
            "as the host",
            vec![
                enter(key, None, 0),
                Message::People {
                    people: Vec::<Person>::new(),
                },
            ],
        ),
    ];
    // Nothing is acknowledged in between: it does not read.
    let flood = (1..=WINDOW + 1).map(say);
    rows.push((
        "too much",
        std::iter::once(enter(key, None, 0)).chain(flood).collect(),
    ));
    for (what, messages) in rows {
        let mut host = Host::new(Name::new("host"));
        let (now, link) = (Instant::now(), Link(1));
        host.link(link);
        let count = messages.len();
        for (index, message) in messages.into_iter().enumerate() {
            let received = host.receive(now, link, message);
            let broken = matches!(received, Err(ChatError::Protocol(_)));
            assert_eq!(broken, index + 1 == count, "{what}: {received:?}");
        }
    }
    let mut host = Host::new(Name::new("host"));
    let room = {
        host.link(Link(1));
        host.receive(Instant::now(), Link(1), enter(key, None, 0))
            .unwrap();
        let welcome = host.next(Instant::now(), Link(1)).unwrap();
        let Some(Message::Welcome { room, .. }) = welcome else {
            panic!("{welcome:?}")
        };
        room
    };
    host.link(Link(2));
    let lies = host.receive(Instant::now(), Link(2), enter(key, Some(&room), 99));
    assert!(matches!(lies, Err(ChatError::Protocol(_))));
}

#[test]
fn a_room_has_an_end() {
    let mut host = Host::new(Name::new("host"));
    for number in 0..=super::MAX_GUESTS as u64 {
        let link = Link(number);
        host.link(link);
        let mut guest = super::guest::Guest::new(Name::new("anna"));
        guest.link(link);
        let enter = guest.next(Instant::now(), link).unwrap().unwrap();
        let entered = host.receive(Instant::now(), link, enter);
        match number < super::MAX_GUESTS as u64 {
            true => assert!(entered.is_ok()),
            false => assert_eq!(entered, Err(ChatError::Full)),
        }
    }
    // Nobody is called like somebody else.
    let mut names: Vec<String> = host.others().iter().map(ToString::to_string).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), super::MAX_GUESTS);
}

#[test]
fn whoever_cannot_be_reached_is_away_for_the_others_and_keeps_its_line() {
    let mut room = Room::new(2);
    room.settle();
    let link = room.guests[1].line.as_ref().unwrap().link;
    let name = || Name::new("guest 1");
    assert_eq!(room.host.reach(link, false), [Event::Away(name())]);
    assert!(room.host.reach(link, false).is_empty());
    assert_eq!(room.host.others().len(), 1);
    // Its line breaks as well, which is no news, and it comes back on another one.
    room.cut(1);
    room.say(0);
    room.settle();
    room.check();
    assert_eq!(room.host.others().len(), 2);
    let link = room.guests[1].line.as_ref().unwrap().link;
    room.host.reach(link, false);
    assert_eq!(room.host.reach(link, true), [Event::Came(name())]);
}
