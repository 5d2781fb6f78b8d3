//! The host of a room: who is told what, and what each has taken.

use super::MAX_GUESTS;
use super::error::ChatError;
use super::event::{Event, Said};
use super::log::{Entry, HISTORY, Log};
use super::message::{KeyDigest, Kind, Message, Person, WINDOW};
use super::name::Name;
use super::roster::unique;
use super::side::{Link, Side};
use crate::transfer::TransferId;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Messages that a guest is sent before it must have taken one of them.
const AHEAD: u64 = 256;

/// How long somebody may take nothing while the others have to wait for it.
pub(super) const STALL: Duration = Duration::from_secs(30);

/// How long somebody whose line broke may come back before it counts as gone: as long as a session heals.
pub(super) const AWAY: Duration = Duration::from_secs(120);

/// Guests that have gone and are remembered, so that nothing is shown twice if they come back.
const MAX_DEPARTED: usize = 256;

/// The number of the host among the people.
const OURSELVES: u32 = 0;

#[derive(Debug)]
pub(super) struct Host {
    /// Names the room.
    room: String,
    name: Name,
    log: Log,
    guests: Vec<Guest>,
    /// Lines on which nobody has entered yet.
    strangers: Vec<Link>,
    departed: VecDeque<Known>,
    /// The number of the newest guest.
    newest: u32,
}

/// What is remembered of somebody.
#[derive(Debug, Clone, Copy)]
struct Known {
    key: KeyDigest,
    id: u32,
    /// The last message of it that was taken.
    taken: u64,
    /// The last message of the room that it has, be it its own.
    has: u64,
}

#[derive(Debug)]
struct Guest {
    known: Known,
    name: Name,
    line: Line,
    /// When its line broke; when it last took something, or had everything.
    since: Instant,
}

#[derive(Debug)]
struct Line {
    link: Link,
    state: State,
    /// Whether the guest can be reached, as far as whoever looks after the line has said.
    reachable: bool,
}

#[derive(Debug)]
enum State {
    Broken,
    Up(Up),
}

#[derive(Debug)]
struct Up {
    welcome: Option<Message>,
    /// The last message that was sent on it, or need not be.
    sent: u64,
    /// The last message of the guest whose taking was told.
    told: u64,
    /// Whether the guest is to be told who is here.
    people: bool,
}

impl Host {
    pub(super) fn new(name: Name) -> Self {
        Self {
            room: TransferId::random().to_string(),
            name,
            log: Log::default(),
            guests: Vec::new(),
            strangers: Vec::new(),
            departed: VecDeque::new(),
            newest: OURSELVES,
        }
    }

    fn depart(&mut self, index: usize) -> Event {
        let guest = self.guests.remove(index);
        if self.departed.len() == MAX_DEPARTED {
            self.departed.pop_front();
        }
        self.departed.push_back(guest.known);
        self.tell_people();
        self.trim();
        Event::Left(guest.name)
    }

    fn index(&self, link: Link) -> Option<usize> {
        let is_it = |guest: &Guest| guest.line.link == link && !guest.is_broken();
        self.guests.iter().position(is_it)
    }

    fn tell_people(&mut self) {
        for guest in &mut self.guests {
            if let State::Up(up) = &mut guest.line.state {
                up.people = true;
            }
        }
    }

    fn people(&self) -> Vec<Person> {
        let person = |id, name: &Name, away| Person {
            id,
            name: name.to_string(),
            away,
        };
        let guests = self.guests.iter();
        let guests = guests.map(|guest| person(guest.known.id, &guest.name, guest.is_away()));
        let ourselves = person(OURSELVES, &self.name, false);
        std::iter::once(ourselves).chain(guests).collect()
    }

    /// A name like `wanted` that nobody else has.
    fn free_name(&self, wanted: &Name, id: u32) -> Name {
        let guests = self.guests.iter();
        let guests = guests.map(|guest| (guest.known.id, &guest.name));
        let others = guests.chain([(OURSELVES, &self.name)]);
        let others = others.filter(|(other, _)| *other != id);
        let others: Vec<&Name> = others.map(|(_, name)| name).collect();
        unique(wanted, &others)
    }

    fn push(&mut self, entry: Entry) {
        self.log.push(entry);
        for guest in &mut self.guests {
            guest.pass_own(&self.log);
        }
        self.trim();
    }

    fn trim(&mut self) {
        let slowest = self.guests.iter().map(|guest| guest.known.has).min();
        self.log.trim(slowest.unwrap_or(u64::MAX));
    }

    /// Somebody comes in, or comes back.
    fn enter(
        &mut self,
        now: Instant,
        link: Link,
        wanted: &Name,
        (key, room, after, taken): (KeyDigest, Option<&String>, u64, u64),
    ) -> Result<Vec<Event>, ChatError> {
        let last = self.log.last();
        let was_here = room == Some(&self.room);
        if was_here && after > last {
            return Err(ChatError::Protocol("it took what was never said"));
        }
        let present = self.guests.iter().position(|guest| guest.known.key == key);
        if present.is_none() && self.guests.len() >= MAX_GUESTS {
            return Err(ChatError::Full);
        }
        let before = present.map(|index| self.guests.remove(index));
        let departed = self.departed.iter().position(|known| known.key == key);
        let departed = departed.and_then(|index| self.departed.remove(index));
        let returning = before.as_ref().map(|guest| guest.known).or(departed);
        let mut known = returning.unwrap_or_else(|| {
            self.newest += 1;
            Known {
                key,
                id: self.newest,
                taken,
                has: 0,
            }
        });
        let missed = if was_here {
            known.has = known.has.max(after);
            self.log.gone().saturating_sub(known.has)
        } else {
            known.has = last.saturating_sub(HISTORY);
            0
        };
        known.has = known.has.max(self.log.gone());
        let follows = (known.has + 1..=last).filter_map(|n| self.log.get(n));
        let old = follows
            .filter(|entry| !was_here && entry.from != known.id)
            .count() as u64;
        let name = self.free_name(wanted, known.id);
        let was_seen = before.is_some_and(|guest| !guest.is_away());
        self.guests.push(Guest {
            known,
            name: name.clone(),
            line: Line {
                link,
                reachable: true,
                state: State::Up(Up {
                    welcome: None,
                    sent: known.has,
                    told: known.taken,
                    people: false,
                }),
            },
            since: now,
        });
        self.tell_people();
        let people = self.people();
        let guest = self.guests.last_mut().expect("it was just pushed");
        guest.pass_own(&self.log);
        if let State::Up(up) = &mut guest.line.state {
            up.people = false;
            up.welcome = Some(Message::Welcome {
                room: self.room.clone(),
                you: known.id,
                people,
                taken: known.taken,
                old,
                missed,
            });
        }
        self.trim();
        Ok((!was_seen)
            .then_some(Event::Came(name))
            .into_iter()
            .collect())
    }
}

impl Guest {
    fn is_broken(&self) -> bool {
        matches!(self.line.state, State::Broken)
    }

    /// Whether the others are told that it is away.
    fn is_away(&self) -> bool {
        !self.line.reachable
    }

    /// Its own messages are not sent to it.
    fn pass_own(&mut self, log: &Log) {
        let is_own = |n: u64| log.get(n).is_some_and(|entry| entry.from == self.known.id);
        let mut sent = u64::MAX;
        if let State::Up(up) = &mut self.line.state {
            while is_own(up.sent + 1) {
                up.sent += 1;
            }
            sent = up.sent;
        }
        while self.known.has < sent && is_own(self.known.has + 1) {
            self.known.has += 1;
        }
    }
}

impl Side for Host {
    fn link(&mut self, link: Link) {
        self.strangers.push(link);
    }

    fn receive(
        &mut self,
        now: Instant,
        link: Link,
        message: Message,
    ) -> Result<Vec<Event>, ChatError> {
        let stranger = self.strangers.iter().position(|other| *other == link);
        if let Message::Enter {
            key,
            name,
            room,
            after,
            taken,
        } = message
        {
            let stranger = stranger.ok_or(ChatError::Protocol("it entered twice"))?;
            let key = key
                .digest()
                .ok_or(ChatError::Protocol("its key is no key"))?;
            let who = (key, room.as_ref(), after, taken);
            let events = self.enter(now, link, &Name::new(&name), who)?;
            self.strangers.swap_remove(stranger);
            return Ok(events);
        }
        if stranger.is_some() {
            return Err(ChatError::Protocol("it did not enter"));
        }
        let index = self.index(link).ok_or(ChatError::GivenUp)?;
        let guest = &mut self.guests[index];
        let State::Up(up) = &mut guest.line.state else {
            return Err(ChatError::GivenUp);
        };
        match message {
            Message::Unknown => Ok(Vec::new()),
            Message::Say { n, at, kind, text } => {
                if n != guest.known.taken + 1 || n - up.told > WINDOW {
                    return Err(ChatError::Protocol("its message is out of turn"));
                }
                guest.known.taken = n;
                let (from, name) = (guest.known.id, guest.name.clone());
                self.push(Entry {
                    from,
                    name: name.to_string(),
                    at,
                    kind,
                    text: text.clone(),
                });
                Ok(vec![Event::Said(Said {
                    name,
                    at,
                    kind,
                    text,
                    old: false,
                })])
            }
            Message::Ack { n } => {
                if n > up.sent {
                    return Err(ChatError::Protocol("it took what was never sent"));
                }
                // Its own messages count although it does not say so.
                guest.known.has = guest.known.has.max(n);
                guest.since = now;
                guest.pass_own(&self.log);
                self.trim();
                Ok(Vec::new())
            }
            Message::Name { name } => {
                let id = guest.known.id;
                let to = self.free_name(&Name::new(&name), id);
                let from = std::mem::replace(&mut self.guests[index].name, to.clone());
                self.tell_people();
                Ok((from != to)
                    .then_some(Event::Renamed { from, to })
                    .into_iter()
                    .collect())
            }
            _ => Err(ChatError::Protocol("it spoke as if it were the host")),
        }
    }

    fn next(&mut self, now: Instant, link: Link) -> Result<Option<Message>, ChatError> {
        let may_take = !self.log.is_full();
        if self.strangers.contains(&link) {
            return Ok(None);
        }
        let index = self.index(link).ok_or(ChatError::GivenUp)?;
        let people = self.people();
        let guest = &mut self.guests[index];
        let State::Up(up) = &mut guest.line.state else {
            return Err(ChatError::GivenUp);
        };
        if let Some(welcome) = up.welcome.take() {
            return Ok(Some(welcome));
        }
        if up.told < guest.known.taken && may_take {
            up.told = guest.known.taken;
            return Ok(Some(Message::Ack { n: up.told }));
        }
        if up.sent - guest.known.has < AHEAD
            && let Some(entry) = self.log.get(up.sent + 1)
        {
            if up.sent == guest.known.has {
                guest.since = now;
            }
            up.sent += 1;
            let said = entry.said(up.sent);
            guest.pass_own(&self.log);
            return Ok(Some(said));
        }
        // After what was said before somebody left.
        let tell = std::mem::take(&mut up.people);
        Ok(tell.then_some(Message::People { people }))
    }

    fn unlink(&mut self, now: Instant, link: Link) {
        self.strangers.retain(|other| *other != link);
        if let Some(index) = self.index(link) {
            let guest = &mut self.guests[index];
            guest.line.state = State::Broken;
            guest.since = now;
        }
    }

    fn reach(&mut self, link: Link, reachable: bool) -> Vec<Event> {
        let is_it = |guest: &&mut Guest| guest.line.link == link;
        let Some(guest) = self.guests.iter_mut().find(is_it) else {
            return Vec::new();
        };
        if guest.line.reachable == reachable {
            return Vec::new();
        }
        guest.line.reachable = reachable;
        let name = guest.name.clone();
        self.tell_people();
        vec![match reachable {
            true => Event::Came(name),
            false => Event::Away(name),
        }]
    }

    fn forget(&mut self, link: Link) -> Vec<Event> {
        let is_it = |guest: &Guest| guest.line.link == link && guest.is_broken();
        let index = self.guests.iter().position(is_it);
        index.map(|index| self.depart(index)).into_iter().collect()
    }

    fn tick(&mut self, now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        let waits = self.log.is_full();
        let gone = self.log.gone();
        let given_up = |guest: &Guest| {
            let since = now.saturating_duration_since(guest.since);
            guest.is_broken() && since >= AWAY || waits && guest.known.has <= gone && since >= STALL
        };
        while let Some(index) = self.guests.iter().position(given_up) {
            events.push(self.depart(index));
        }
        events
    }

    fn has_room(&self) -> bool {
        !self.log.is_full()
    }

    fn say(&mut self, at: u64, kind: Kind, text: String) {
        self.push(Entry {
            from: OURSELVES,
            name: self.name.to_string(),
            at,
            kind,
            text,
        });
    }

    fn rename(&mut self, name: &Name) -> Vec<Event> {
        self.name = self.free_name(name, OURSELVES);
        self.tell_people();
        vec![Event::Called(self.name.clone())]
    }

    fn unsettled(&self) -> u64 {
        let slowest = self.guests.iter().map(|guest| guest.known.has).min();
        slowest.map_or(0, |has| self.log.last() - has)
    }

    fn others(&self) -> Vec<Name> {
        let here = self.guests.iter().filter(|guest| !guest.is_away());
        here.map(|guest| guest.name.clone()).collect()
    }
}
