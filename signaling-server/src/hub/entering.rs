//! Coming into a room of this server.

use super::Hub;
use crate::{
    config::AddressLimits,
    mailbox::Frame,
    metrics::Way,
    refusal::Refusal,
    room::Delivery,
    rooms::{Entered, Entrance, Terms},
    session::{Medium, Session, message_bucket},
    sources::Source,
    token::ResumeSecret,
};
use signaling_protocol::{
    IceServer, Joined, PeerId, PeerInfo, RoomName, ServerMessage, limits::MESSAGE_BYTES,
};
use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

impl Hub {
    /// Lets a peer into a room. Those with a WebSocket find their `joined` in their mailbox, unless they
    /// are plain; those without are away until something carries their messages.
    pub(crate) fn enter(
        self: &Arc<Self>,
        entrance: Entrance,
        resumable: bool,
        medium: Medium,
        now: Instant,
    ) -> Result<(Arc<Session>, Joined), Refusal> {
        let (source, plain) = (entrance.source, entrance.plain);
        self.take_place(source, resumable, now)?;
        let terms = self.terms(source, now);
        let mut rng = rand::rng();
        let secret = resumable.then(|| ResumeSecret::draw(&mut rng));
        let messages = message_bucket(&self.limits, now);
        let session = |room: &RoomName, id: &PeerId| {
            let (room, id) = (room.clone(), id.clone());
            Arc::new(Session::new(room, id, source, plain, secret, messages, now))
        };
        let mut gone = Vec::new();
        let mut rooms = self.lock_rooms();
        let entered = rooms.enter(entrance, session, terms, &mut gone, &mut rng);
        for departure in &gone {
            self.see_off(&rooms, departure);
        }
        let Entered {
            room,
            id,
            peers,
            capacity,
            handle: session,
            delivery,
        } = match entered {
            Ok(entered) => entered,
            Err(refusal) => {
                drop(rooms);
                if resumable {
                    self.lock_sources().give_place_back(source);
                }
                return Err(refusal);
            }
        };
        let minted = |peer: &PeerId| self.ice_servers(&room, peer);
        // Those who wait get fresh credentials with each one who comes.
        let delivery = if self.minter.can_mint() {
            refresh(delivery, minted)
        } else {
            delivery
        };
        debug_assert_eq!((&session.room, &session.id), (&room, &id));
        let joined = self.welcome(&session, peers, capacity, medium);
        self.tell(&rooms, &session.room, &delivery);
        drop(rooms);
        self.begin(&session, medium, now);
        Ok((session, joined))
    }

    /// Counts somebody who wants in, with a place if it may come back.
    pub(super) fn take_place(
        &self,
        source: Source,
        resumable: bool,
        now: Instant,
    ) -> Result<(), Refusal> {
        let mut sources = self.lock_sources();
        sources.join(source, now)?;
        if resumable {
            sources.take_place(source, &self.limits)?;
        }
        Ok(())
    }

    pub(super) fn terms(&self, source: Source, now: Instant) -> Terms {
        let AddressLimits {
            rooms: max_rooms, ..
        } = *self.limits.of(source);
        Terms {
            max_rooms,
            max_all: self.limits.rooms,
            joins_per_minute: self.limits.room_joins_per_minute,
            now,
            hold: self.limits.place_hold,
        }
    }

    pub(super) fn ice_servers(&self, room: &RoomName, peer: &PeerId) -> Vec<IceServer> {
        let turn = self.minter.mint(room, peer, SystemTime::now());
        self.ice_servers.iter().cloned().chain(turn).collect()
    }

    /// What a new member is told; over a WebSocket it is the first thing in its mailbox.
    pub(super) fn welcome(
        &self,
        session: &Session,
        peers: Vec<PeerInfo>,
        capacity: u16,
        medium: Medium,
    ) -> Joined {
        let joined = Joined {
            room: session.room.clone(),
            own_id: session.id.clone(),
            peers,
            ice_servers: self.ice_servers(&session.room, &session.id),
            resume: session.token().map(|token| token.to_secret()),
            limits: signaling_protocol::Limits {
                message_bytes: u32::try_from(MESSAGE_BYTES).expect("64 KiB"),
                messages_per_second: self.limits.messages_per_second,
                peers: capacity.into(),
            },
        };
        if medium == Medium::Socket && !session.plain {
            let joined = ServerMessage::Joined(joined.clone());
            session.mailbox.push_aside(&joined);
        }
        joined
    }

    /// A member is in.
    pub(super) fn begin(&self, session: &Arc<Session>, medium: Medium, now: Instant) {
        self.metrics.joined(match medium {
            _ if session.plain => Way::Plain,
            Medium::Socket => Way::WebSocket,
            Medium::Requests => Way::Requests,
        });
        if medium == Medium::Requests {
            session.absence().since = Some(now);
            self.look_after(session, now);
        }
    }
}

/// Tells those who wait that somebody came, each with credentials of its own; what is left to deliver is
/// for plain peers, which have no field for them.
fn refresh(
    delivery: Delivery<Arc<Session>>,
    minted: impl Fn(&PeerId) -> Vec<IceServer>,
) -> Delivery<Arc<Session>> {
    let ServerMessage::PeerJoined { peer, .. } = &delivery.message else {
        return delivery;
    };
    let (plain, waiting): (Vec<_>, Vec<_>) =
        delivery.to.into_iter().partition(|session| session.plain);
    for session in waiting {
        let message = ServerMessage::PeerJoined {
            peer: peer.clone(),
            ice_servers: minted(&session.id),
        };
        session.mailbox.push(Frame::new(&message));
    }
    Delivery {
        to: plain,
        message: delivery.message,
    }
}
