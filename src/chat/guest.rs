//! One who came to the room: what of its own was not taken yet, and what of the others was shown already.

use super::error::ChatError;
use super::event::{Event, Said};
use super::message::{Key, Kind, Message, WINDOW};
use super::name::Name;
use super::roster::Roster;
use super::side::{Link, Side};
use std::collections::VecDeque;
use std::time::Instant;

/// Messages of our own that are kept until they are taken; whoever says more waits.
const MAX_KEPT: usize = 256;

#[derive(Debug)]
pub(super) struct Guest {
    key: Key,
    /// What we want to be called.
    wanted: Name,
    /// The room in which we were.
    room: Option<String>,
    /// The last message of it that was shown.
    after: u64,
    /// The last message of ours that was taken.
    taken: u64,
    /// What follows that.
    kept: VecDeque<(u64, Kind, String)>,
    me: u32,
    roster: Roster,
    line: Option<Line>,
}

#[derive(Debug)]
struct Line {
    link: Link,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Nothing was said on it.
    New,
    /// We have asked to come in.
    Entering,
    In {
        /// The last message of ours that was sent on it.
        sent: u64,
        /// The last message whose taking we have told.
        told: u64,
        /// How many of those that come next were said before we came.
        old: u64,
        /// Whether our name is to be told.
        renamed: bool,
    },
}

impl Guest {
    pub(super) fn new(name: Name) -> Self {
        Self {
            key: Key::random(),
            wanted: name,
            room: None,
            after: 0,
            taken: 0,
            kept: VecDeque::new(),
            me: 0,
            roster: Roster::default(),
            line: None,
        }
    }

    fn enter(&self) -> Message {
        Message::Enter {
            key: self.key.clone(),
            name: self.wanted.to_string(),
            room: self.room.clone(),
            after: self.after,
            taken: self.taken,
        }
    }

    /// Everything of ours up to `n` was taken.
    fn forget(&mut self, n: u64) {
        let count = n.saturating_sub(self.taken);
        self.kept.drain(
            ..usize::try_from(count)
                .unwrap_or(usize::MAX)
                .min(self.kept.len()),
        );
        self.taken = self.taken.max(n);
    }

    /// The last message of ours that we have.
    fn last(&self) -> u64 {
        self.taken + self.kept.len() as u64
    }

    fn changed(&mut self, roster: Roster) -> Vec<Event> {
        let events = roster.changes(&self.roster, self.me);
        self.roster = roster;
        events
    }
}

impl Side for Guest {
    /// Takes the place of the line before.
    fn link(&mut self, link: Link) {
        let stage = Stage::New;
        self.line = Some(Line { link, stage });
    }

    fn receive(
        &mut self,
        _now: Instant,
        link: Link,
        message: Message,
    ) -> Result<Vec<Event>, ChatError> {
        let last = self.last();
        let Some(line) = self.line.as_mut().filter(|line| line.link == link) else {
            return Err(ChatError::GivenUp);
        };
        match (&mut line.stage, message) {
            (_, Message::Unknown) => Ok(Vec::new()),
            (
                stage @ Stage::Entering,
                Message::Welcome {
                    room,
                    you,
                    people,
                    taken,
                    old,
                    missed,
                },
            ) => {
                if taken < self.taken || taken > last {
                    return Err(ChatError::Protocol("it took what was never said"));
                }
                let is_same = self.room.as_ref() == Some(&room);
                if !is_same {
                    self.after = 0;
                }
                *stage = Stage::In {
                    sent: taken,
                    told: self.after,
                    old,
                    renamed: false,
                };
                self.room = Some(room);
                self.me = you;
                self.forget(taken);
                self.roster = Roster::new(&people);
                let name = self.roster.name(you).unwrap_or(&self.wanted).clone();
                self.wanted = name.clone();
                Ok(vec![Event::Entered {
                    name,
                    others: self.roster.others(you),
                    old,
                    missed,
                }])
            }
            (
                Stage::In { old, .. },
                Message::Said {
                    n,
                    name,
                    at,
                    kind,
                    text,
                    ..
                },
            ) => {
                let is_old = *old > 0;
                *old = old.saturating_sub(1);
                if n <= self.after {
                    return Ok(Vec::new());
                }
                self.after = n;
                Ok(vec![Event::Said(Said {
                    name: Name::new(&name),
                    at,
                    kind,
                    text,
                    old: is_old,
                })])
            }
            (Stage::In { sent, .. }, Message::Ack { n }) => {
                if n > *sent {
                    return Err(ChatError::Protocol("it took what was never sent"));
                }
                self.forget(n);
                Ok(Vec::new())
            }
            (Stage::In { .. }, Message::People { people }) => {
                let events = self.changed(Roster::new(&people));
                if let Some(name) = self.roster.name(self.me) {
                    self.wanted = name.clone();
                }
                Ok(events)
            }
            _ => Err(ChatError::Protocol("it spoke out of turn")),
        }
    }

    fn next(&mut self, _now: Instant, link: Link) -> Result<Option<Message>, ChatError> {
        let enter = self.enter();
        let Some(line) = self.line.as_mut().filter(|line| line.link == link) else {
            return Err(ChatError::GivenUp);
        };
        match &mut line.stage {
            stage @ Stage::New => {
                *stage = Stage::Entering;
                Ok(Some(enter))
            }
            Stage::Entering => Ok(None),
            Stage::In {
                sent,
                told,
                renamed,
                ..
            } => {
                if *told < self.after {
                    *told = self.after;
                    return Ok(Some(Message::Ack { n: *told }));
                }
                if std::mem::take(renamed) {
                    let name = self.wanted.to_string();
                    return Ok(Some(Message::Name { name }));
                }
                let ahead = *sent - self.taken;
                if ahead >= WINDOW {
                    return Ok(None);
                }
                let next = self.kept.get(usize::try_from(ahead).unwrap_or(usize::MAX));
                Ok(next.map(|(at, kind, text)| {
                    *sent += 1;
                    Message::Say {
                        n: *sent,
                        at: *at,
                        kind: *kind,
                        text: text.clone(),
                    }
                }))
            }
        }
    }

    fn unlink(&mut self, _now: Instant, link: Link) {
        self.line.take_if(|line| line.link == link);
    }

    fn reach(&mut self, _link: Link, _reachable: bool) -> Vec<Event> {
        Vec::new()
    }

    fn forget(&mut self, _link: Link) -> Vec<Event> {
        Vec::new()
    }

    fn tick(&mut self, _now: Instant) -> Vec<Event> {
        Vec::new()
    }

    fn has_room(&self) -> bool {
        self.kept.len() < MAX_KEPT
    }

    fn say(&mut self, at: u64, kind: Kind, text: String) {
        self.kept.push_back((at, kind, text));
    }

    fn rename(&mut self, name: &Name) -> Vec<Event> {
        self.wanted = name.clone();
        if let Some(Line {
            stage: Stage::In { renamed, .. },
            ..
        }) = &mut self.line
        {
            *renamed = true;
        }
        Vec::new()
    }

    fn unsettled(&self) -> u64 {
        self.kept.len() as u64
    }

    fn others(&self) -> Vec<Name> {
        self.roster.others(self.me)
    }
}
