//! Passing messages on, and letting those who only listen hear them.

use super::Hub;
use crate::{
    cluster::{Entry, Owed},
    feed::Listener,
    mailbox::Frame,
    refusal::Refusal,
    room::{Audience, Delivery},
    rooms::Rooms,
    session::Session,
};
use signaling_protocol::{
    ClientMessage, ErrorCode, LeaveReason, OpaqueMessage, PeerId, RoomName, ServerMessage,
    limits::MESSAGE_BYTES,
};
use std::{sync::Arc, time::Instant};

/// What a relayed frame may be longer than the one that came: `from` instead of `to`, and numbers
/// written differently. More would let a sender use the server as an amplifier.
const RELAY_SLACK: usize = 1024;

/// What a member says to others.
pub(crate) struct Relayed {
    to: Option<PeerId>,
    audience: Audience,
    /// Its type, as metrics count it.
    kind: &'static str,
    /// Whether those who only listen may hear it.
    public: bool,
    frame: Frame,
}

impl Relayed {
    /// `None` for what is meant for the server itself.
    pub(crate) fn new(message: ClientMessage, from: &PeerId) -> Option<Self> {
        let to = message.to().cloned();
        let audience = match message {
            ClientMessage::Sealed { .. } => Audience::Joined,
            _ => Audience::Everyone,
        };
        let relayed = message.into_relayed(from.clone())?;
        Some(Self {
            audience,
            kind: kind(&relayed),
            public: to.is_none() && is_talk(&relayed),
            frame: Frame::new(&relayed),
            to,
        })
    }

    /// Of a message whose payload was not read.
    pub(crate) fn opaque(message: OpaqueMessage<'_>, from: &PeerId) -> Self {
        let to = message.to.clone();
        Self {
            audience: Audience::Everyone,
            kind: "message",
            public: to.is_none(),
            frame: Frame::from_json(message.into_relayed(from)),
            to,
        }
    }
}

impl Hub {
    /// Passes a message on. `seq` is its number, if it has one.
    pub(crate) fn relay(
        &self,
        from: &Session,
        message: Relayed,
        seq: Option<u64>,
    ) -> Result<(), Refusal> {
        let Relayed {
            to,
            audience,
            kind,
            public,
            frame,
        } = message;
        if frame.len() > MESSAGE_BYTES + RELAY_SLACK {
            return Err(Refusal::new(
                ErrorCode::TooLarge,
                "too large once it was normalised",
            ));
        }
        let mut rooms = self.lock_rooms();
        if self.is_shared(&from.room) {
            self.metrics.message(kind);
            let joined_only = audience == Audience::Joined;
            let entry = Entry::Message {
                to,
                joined_only,
                public,
            };
            from.owe(Owed { seq, frame, entry });
            return Ok(());
        }
        let to = rooms.recipients(&from.room, &from.id, to.as_ref(), audience)?;
        self.metrics.message(kind);
        if audience == Audience::Joined
            && let Some(took) = rooms.sealed(&from.room, &from.id, Instant::now())
        {
            self.metrics.paired(took);
        }
        from.wrote(seq);
        self.pass_on(&mut rooms, to, &frame);
        self.publish(&rooms, from, &frame, public);
        Ok(())
    }

    pub(super) fn pass_on(
        &self,
        rooms: &mut Rooms<Arc<Session>>,
        to: Vec<Arc<Session>>,
        frame: &Frame,
    ) {
        self.metrics.bytes.inc_by(bytes(frame.len() * to.len()));
        for session in to {
            let overflow = session.mailbox.push(frame.clone());
            if overflow {
                self.metrics.slow.inc();
            }
            // Nobody else may be there to notice.
            if overflow
                && let Some(departure) =
                    rooms.leave(&session.room, &session.id, LeaveReason::Kicked)
            {
                self.see_off(rooms, &departure);
            }
        }
    }

    /// Lets listeners of an open room hear what was said to everybody.
    pub(super) fn publish(
        &self,
        rooms: &Rooms<Arc<Session>>,
        from: &Session,
        frame: &Frame,
        public: bool,
    ) {
        if public && self.listened(rooms, &from.room).is_some() {
            self.feeds.said(&from.room, frame.as_str());
        }
    }

    /// Adds somebody who only listens, to a room that anybody may listen to.
    pub(crate) fn listen(
        &self,
        room: &RoomName,
        last_id: Option<&str>,
        now: Instant,
    ) -> Result<Listener, Refusal> {
        let rooms = self.lock_rooms();
        let count = rooms.open_count(room).unwrap_or(0);
        self.feeds.listen(room, count, last_id, now)
    }

    /// How many members an open room has that somebody listens to.
    fn listened(&self, rooms: &Rooms<Arc<Session>>, room: &RoomName) -> Option<usize> {
        match self.feeds.has(room, Instant::now()) {
            true => rooms.open_count(room),
            false => None,
        }
    }

    /// Tells members and listeners that somebody came or went.
    pub(super) fn tell(
        &self,
        rooms: &Rooms<Arc<Session>>,
        room: &RoomName,
        delivery: &Delivery<Arc<Session>>,
    ) {
        self.deliver(room, delivery);
        if let Some(count) = self.listened(rooms, room) {
            self.feeds.moved(room, &delivery.message.to_json(), count);
        }
    }
}

pub(super) fn deliver(delivery: &Delivery<Arc<Session>>) {
    if delivery.to.is_empty() {
        return;
    }
    let frame = Frame::new(&delivery.message);
    for session in &delivery.to {
        // One that overflows by this is seen off by its own connection, or when its time is over.
        session.mailbox.push(frame.clone());
    }
}

pub(super) fn bytes(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The type of a relayed message, as metrics count it.
fn kind(message: &ServerMessage) -> &'static str {
    match message {
        ServerMessage::Offer { .. } => "offer",
        ServerMessage::Answer { .. } => "answer",
        ServerMessage::IceCandidate { .. } => "ice-candidate",
        ServerMessage::Sealed { .. } => "sealed",
        ServerMessage::Chat { .. } => "chat",
        _ => "message",
    }
}

/// What people and programs say to each other, as against how they connect.
fn is_talk(message: &ServerMessage) -> bool {
    matches!(
        message,
        ServerMessage::Chat { .. } | ServerMessage::Message { .. }
    )
}
