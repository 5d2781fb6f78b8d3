//! Coming into a cluster: new members, and those that were at another node.

use super::{Hub, writing::WRITE_LIMIT};
use crate::{
    closing::Closing,
    cluster::{Cluster, Joining, Leaver},
    refusal::Refusal,
    rooms::{Entrance, Seat, random_id},
    session::{Medium, Session, message_bucket},
    sources::Source,
    token::{ResumeSecret, ResumeToken},
};
use signaling_protocol::{ErrorCode, Joined, LeaveReason, PeerInfo, ServerMessage};
use std::{sync::Arc, time::Instant};

/// How often another number is tried for a room whose number somebody else has.
const DRAWS: usize = 20;

/// A place that was taken for somebody who is not in yet. Dropped, it is given back, here and in Redis.
struct Arrival {
    hub: Arc<Hub>,
    source: Source,
    resumable: bool,
    leaver: Option<Leaver>,
}

impl Drop for Arrival {
    fn drop(&mut self) {
        if self.resumable {
            self.hub.lock_sources().give_place_back(self.source);
        }
        if let Some((cluster, leaver)) = self.hub.cluster.as_ref().zip(self.leaver.take()) {
            cluster.leave(leaver);
        }
    }
}

impl Arrival {
    fn done(mut self) {
        (self.resumable, self.leaver) = (false, None);
    }
}

impl Hub {
    /// [`Hub::enter`] in a cluster.
    pub(crate) async fn enter_shared(
        self: Arc<Self>,
        entrance: Entrance,
        resumable: bool,
        medium: Medium,
        now: Instant,
    ) -> Result<(Arc<Session>, Joined), Refusal> {
        let Some(cluster) = self.cluster.clone() else {
            return self.enter(entrance, resumable, medium, now);
        };
        let (source, plain) = (entrance.source, entrance.plain);
        if !cluster.is_up() {
            return Err(unreachable());
        }
        self.take_place(source, resumable, now)?;
        let mut arrival = Arrival {
            hub: Arc::clone(&self),
            source,
            resumable,
            leaver: None,
        };
        let terms = self.terms(source, now);
        let (capacity, may_create) = {
            let rooms = self.lock_rooms();
            let capacity = rooms.capacity(entrance.capacity)?;
            (capacity, rooms.may_make(source, terms))
        };
        let (id, secret) = {
            let mut rng = rand::rng();
            let secret = resumable.then(|| ResumeSecret::draw(&mut rng));
            (random_id(&mut rng), secret)
        };
        let digest = secret.as_ref().map(ResumeSecret::digest);
        let info = PeerInfo {
            id: id.clone(),
            name: entrance.name.clone(),
            plain,
            away: false,
        };
        let peer_joined = ServerMessage::PeerJoined {
            peer: info.clone(),
            ice_servers: Vec::new(),
        };
        let name = Cluster::session_name();
        let joining = Joining {
            id: id.as_str(),
            session: &name,
            secret: digest.as_deref(),
            name: entrance.name.as_ref(),
            plain,
            capacity,
            create: entrance.create,
            may_create: may_create.is_ok(),
            joined: &peer_joined.to_json(),
        };
        let mut draws = 0..DRAWS;
        let (room, answer) = loop {
            let room = match &entrance.room {
                Some(room) => room.clone(),
                None if entrance.create == Some(true) => self.lock_rooms().draw(&mut rand::rng()),
                None => {
                    let message = "`join` without `room` needs `create: true`";
                    return Err(Refusal::new(ErrorCode::BadMessage, message));
                }
            };
            arrival.leaver = Some(Leaver {
                room: room.clone(),
                id: id.clone(),
                session: name.clone(),
                reason: LeaveReason::Left,
            });
            let joined = cluster.join(&room, joining.clone()).await;
            let answer = joined.map_err(|_| unreachable())?;
            let Some(error) = answer.error.clone() else {
                break (room, answer);
            };
            arrival.leaver = None;
            let capacity = answer.capacity.unwrap_or(capacity);
            self.take_in(&room, answer, None);
            if error == "room-taken" && entrance.room.is_none() && draws.next().is_some() {
                continue;
            }
            return Err(match error.as_str() {
                "may-not-create" => may_create.err().unwrap_or_else(unreachable),
                error => refused(error, capacity),
            });
        };
        let messages = message_bucket(&self.limits, now);
        let session = Session::new(room.clone(), id, source, plain, secret, messages, now);
        let session = Arc::new(session.shared(name));
        let capacity = answer.capacity.unwrap_or(capacity);
        let seat = Seat {
            room: room.clone(),
            info,
            capacity,
            open: answer.open,
            source,
            handle: Arc::clone(&session),
        };
        let joined = {
            let mut rooms = self.lock_rooms();
            rooms.seat(seat, now);
            cluster.note(&room, &answer);
            self.welcome(&session, answer.peers.clone(), capacity, medium)
        };
        arrival.done();
        self.take_in(&room, answer, None);
        // What was said since was for a member that was not here yet.
        cluster.look_at(&room);
        self.begin(&session, medium, now);
        Ok((session, joined))
    }

    /// [`Hub::find`] in a cluster: a member that is, or was, on another node comes here. With `ack` it is
    /// also made sure that one which is here has gone nowhere else.
    pub(crate) async fn find_shared(
        self: Arc<Self>,
        token: &str,
        source: Source,
        ack: Option<u64>,
        now: Instant,
    ) -> Result<Arc<Session>, Refusal> {
        let Some(cluster) = self.cluster.clone() else {
            return self.find(token, source, now);
        };
        let found = self.find_here(token);
        let Some(ResumeToken { secret, id, room }) = ResumeToken::parse(token) else {
            return self.find(token, source, now);
        };
        match &found {
            Some(session) if ack.is_none() => return Ok(Arc::clone(session)),
            Some(session) if cluster.goes_alone(&room) => return Ok(Arc::clone(session)),
            _ => {}
        }
        let here = found.as_ref().and_then(|session| session.name());
        let name = here.map_or_else(Cluster::session_name, str::to_owned);
        let until = Instant::now() + WRITE_LIMIT;
        let answer = loop {
            let resumed = cluster
                .resume(&room, &id, &secret.digest(), ack, &name)
                .await;
            match (resumed, &found) {
                (Ok(answer), Some(session))
                    if answer.error.as_deref() == Some("unknown")
                        && !session.mailbox.has_ended()
                        && Instant::now() < until =>
                {
                    // Redis has lost it, or it is lost: whoever looks will know.
                    cluster.look_at(&room);
                    cluster.restoration().await;
                }
                (Ok(answer), _) => break answer,
                (Err(_), Some(session)) if cluster.is_alone(&room) => {
                    return Ok(Arc::clone(session));
                }
                (Err(_), _) => return Err(unreachable()),
            }
        };
        match answer.error.as_deref() {
            None => {}
            Some("gone") => {
                let message = "what follows that number was acknowledged before and is gone";
                return Err(Refusal::new(ErrorCode::ResumeFailed, message));
            }
            Some("bad-message") => {
                let message = "a number was acknowledged that was never sent";
                return Err(Refusal::new(ErrorCode::BadMessage, message));
            }
            Some(_) => return self.find(token, source, now),
        }
        match found {
            Some(session) if session.mailbox.has_ended() => self.unseat(&session, Closing::moved()),
            Some(session) => {
                self.take_in(&room, answer, None);
                return Ok(session);
            }
            None => {}
        }
        self.lock_sources().take_place(source, &self.limits)?;
        let messages = message_bucket(&self.limits, now);
        let info = PeerInfo {
            id: id.clone(),
            name: answer.name.clone(),
            plain: false,
            away: false,
        };
        let session = Session::new(room.clone(), id, source, false, Some(secret), messages, now);
        let session = session.continued(answer.received, answer.first);
        let session = Arc::new(session.shared(name));
        let seat = Seat {
            room: room.clone(),
            info,
            capacity: answer.capacity.unwrap_or(self.limits.peers_per_room),
            open: answer.open,
            source,
            handle: Arc::clone(&session),
        };
        {
            let mut rooms = self.lock_rooms();
            rooms.seat(seat, now);
            cluster.note(&room, &answer);
        }
        self.take_in(&room, answer, None);
        cluster.look_at(&room);
        cluster.took_over();
        Ok(session)
    }

    fn find_here(&self, token: &str) -> Option<Arc<Session>> {
        let ResumeToken { secret, id, room } = ResumeToken::parse(token)?;
        let rooms = self.lock_rooms();
        let session = rooms.find(&room, &id)?;
        session.is_opened_by(&secret).then(|| Arc::clone(session))
    }
}

fn unreachable() -> Refusal {
    let message = "this node cannot reach its cluster now";
    Refusal::new(ErrorCode::ServerFull, message)
}

fn refused(error: &str, capacity: u16) -> Refusal {
    match error {
        "room-taken" => Refusal::new(ErrorCode::RoomTaken, "somebody is in that room"),
        "no-such-room" => Refusal::new(ErrorCode::NoSuchRoom, "nobody is in that room"),
        "room-full" => {
            let message = format!("the {capacity} peers that this room holds are there");
            Refusal::new(ErrorCode::RoomFull, message)
        }
        "rate-limited" => {
            let message = "too many joins into this room in a minute";
            Refusal::new(ErrorCode::RateLimited, message)
        }
        _ => Refusal::new(ErrorCode::Internal, "the cluster let nobody in"),
    }
}
