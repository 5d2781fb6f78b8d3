//! What all peers share: the rooms and the sources, each behind a lock that is held briefly and
//! never across an await. What is told to several peers is queued while the rooms are locked, so
//! that everybody sees comings, goings and messages in one order.
//!
//! Locks are taken in this order: a member's intake or absence, the rooms, a mailbox. The sources and the
//! clock are leaves.

mod admission;
mod arrivals;
mod shared;
mod writing;

pub(crate) use admission::ConnectionGuard;

use crate::{
    clock::Clock,
    closing::Closing,
    cluster::{Cluster, Entry, Owed},
    config::{AddressLimits, Limits},
    doors::Doors,
    feed::{Feeds, Listener},
    mailbox::Frame,
    metrics::{Metrics, Present, Way},
    refusal::Refusal,
    room::{Audience, Delivery, Departure},
    rooms::{Entered, Entrance, Rooms, Terms},
    session::{Carrier, Medium, Session, message_bucket},
    sources::{Source, Sources},
    token::{ResumeSecret, ResumeToken},
    turn::Minter,
};
use signaling_protocol::{
    ClientMessage, ErrorCode, IceServer, Joined, LeaveReason, PeerId, PeerInfo, RoomName,
    ServerMessage, limits::MESSAGE_BYTES,
};
use std::{
    sync::{Arc, Mutex, MutexGuard, RwLock},
    time::{Instant, SystemTime},
};

/// What a relayed frame may be longer than the one that came: `from` instead of `to`, and numbers
/// written differently. More would let a sender use the server as an amplifier.
const RELAY_SLACK: usize = 1024;

/// The state of one server.
#[derive(Debug)]
pub(crate) struct Hub {
    limits: Limits,
    ice_servers: Vec<IceServer>,
    minter: Minter,
    metrics: Arc<Metrics>,
    doors: RwLock<Arc<Doors>>,
    rooms: Mutex<Rooms<Arc<Session>>>,
    sources: Mutex<Sources>,
    clock: Clock,
    feeds: Feeds,
    /// With others, if there are such.
    cluster: Option<Arc<Cluster>>,
}

impl Hub {
    pub(crate) fn new(
        limits: Limits,
        ice_servers: Vec<IceServer>,
        minter: Minter,
        metrics: Arc<Metrics>,
        doors: Doors,
        cluster: Option<Arc<Cluster>>,
    ) -> Self {
        let rooms = Mutex::new(Rooms::new(limits.peers_per_room));
        Self {
            limits,
            ice_servers,
            minter,
            metrics,
            doors: RwLock::new(Arc::new(doors)),
            rooms,
            sources: Mutex::default(),
            clock: Clock::default(),
            feeds: Feeds::default(),
            cluster,
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What there is now.
    pub(crate) fn present(&self, draining: bool) -> Present {
        let (rooms, members, away) = self.lock_rooms().counts();
        Present {
            connections: self.lock_sources().connections(),
            rooms,
            members,
            away,
            draining,
        }
    }

    /// Reads all rooms at one moment. `read` must be quick: nobody moves meanwhile.
    pub(crate) fn with_rooms<T>(&self, read: impl FnOnce(&Rooms<Arc<Session>>) -> T) -> T {
        read(&self.lock_rooms())
    }

    /// Throws a member, or all of a room, out; says how many.
    pub(crate) fn kick(&self, room: &RoomName, peer: Option<&PeerId>) -> usize {
        let members: Vec<_> = self.with_rooms(|rooms| {
            let members = rooms.get(room).into_iter().flat_map(|room| room.members());
            members
                .filter(|member| peer.is_none_or(|peer| member.info.id == *peer))
                .map(|member| Arc::clone(member.handle))
                .collect()
        });
        for member in &members {
            self.remove(member, LeaveReason::Kicked, Closing::kicked());
        }
        members.len()
    }

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
    fn take_place(&self, source: Source, resumable: bool, now: Instant) -> Result<(), Refusal> {
        let mut sources = self.lock_sources();
        sources.join(source, now)?;
        if resumable {
            sources.take_place(source, &self.limits)?;
        }
        Ok(())
    }

    fn terms(&self, source: Source, now: Instant) -> Terms {
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

    fn ice_servers(&self, room: &RoomName, peer: &PeerId) -> Vec<IceServer> {
        let turn = self.minter.mint(room, peer, SystemTime::now());
        self.ice_servers.iter().cloned().chain(turn).collect()
    }

    /// What a new member is told; over a WebSocket it is the first thing in its mailbox.
    fn welcome(
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
    fn begin(&self, session: &Arc<Session>, medium: Medium, now: Instant) {
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

    /// Finds a member by its token, or says why not. Guesses are counted as joins.
    pub(crate) fn find(
        &self,
        token: &str,
        source: Source,
        now: Instant,
    ) -> Result<Arc<Session>, Refusal> {
        let found = ResumeToken::parse(token).and_then(|ResumeToken { secret, id, room }| {
            let rooms = self.lock_rooms();
            let session = rooms.find(&room, &id)?;
            session.is_opened_by(&secret).then(|| Arc::clone(session))
        });
        if found.is_none() {
            self.metrics.resumed(false);
            self.lock_sources().join(source, now)?;
        }
        found.ok_or_else(|| {
            let message = "this token is not known here, or its time is over";
            Refusal::new(ErrorCode::ResumeFailed, message)
        })
    }

    /// Makes a connection the one that carries a member's messages: everything behind `ack` follows,
    /// behind a `resumed` if the connection wants one.
    pub(crate) fn attach(
        self: &Arc<Self>,
        session: &Arc<Session>,
        medium: Medium,
        ack: Option<u64>,
        greet: bool,
    ) -> Result<Carrier, Refusal> {
        let mut absence = session.absence();
        let received = session.received();
        let greeting = greet.then_some(ServerMessage::Resumed { received });
        let attached = session.mailbox.attach(ack, greeting.as_ref());
        if greet {
            self.metrics.resumed(attached.is_ok());
        }
        let id = attached?;
        absence.since = None;
        if std::mem::take(&mut absence.announced) {
            self.set_away(session, None);
        }
        drop(absence);
        let (hub, session) = (Arc::clone(self), Arc::clone(session));
        Ok(Carrier::new(hub, session, id, medium))
    }

    /// A connection carries a member's messages no more.
    pub(crate) fn detach(&self, carrier: &Carrier, reason: LeaveReason) {
        let session = carrier.session();
        let mut absence = session.absence();
        if !carrier.is_current() {
            return;
        }
        if !session.is_resumable() || reason != LeaveReason::Lost {
            drop(absence);
            return self.remove(session, reason, Closing::gone());
        }
        let now = Instant::now();
        absence.since = Some(now);
        if carrier.medium() == Medium::Socket {
            absence.announced = true;
            self.set_away(session, Some(now));
        }
        drop(absence);
        self.look_after(session, now);
    }

    /// Does what is due for members that are away, for as long as the server lives.
    pub(crate) async fn keep_time(&self) -> std::convert::Infallible {
        loop {
            let session = self.clock.next().await;
            session.absence().watched = false;
            self.look_after(&session, Instant::now());
        }
    }

    /// Tells the others that a member is away, gives its place up, or comes back to it later.
    fn look_after(&self, session: &Arc<Session>, now: Instant) {
        let mut absence = session.absence();
        let Some(since) = absence.since else {
            return;
        };
        if now >= since + self.limits.resume_window {
            drop(absence);
            return self.remove(session, LeaveReason::Lost, Closing::gone());
        }
        let pause_ends = since + self.limits.request_pause;
        if !absence.announced && now >= pause_ends {
            absence.announced = true;
            self.set_away(session, Some(since));
        }
        let next = match absence.announced {
            true => since + self.limits.resume_window,
            false => pause_ends.min(since + self.limits.resume_window),
        };
        if !std::mem::replace(&mut absence.watched, true) {
            self.clock.watch(Arc::clone(session), next);
        }
    }

    fn set_away(&self, session: &Session, away: Option<Instant>) {
        let mut rooms = self.lock_rooms();
        if is_seated(&rooms, session)
            && let Some(delivery) = rooms.set_away(&session.room, &session.id, away)
        {
            self.deliver(&session.room, &delivery);
            self.look_at(&session.room);
        }
    }

    /// Takes a member out of its room; whatever still carries its messages is told `closing`.
    pub(crate) fn remove(&self, session: &Session, reason: LeaveReason, closing: Closing) {
        session.mailbox.end(closing);
        let mut rooms = self.lock_rooms();
        if is_seated(&rooms, session)
            && let Some(departure) = rooms.leave(&session.room, &session.id, reason)
        {
            self.see_off(&rooms, &departure);
            self.report_left(&rooms, session, reason);
        }
    }

    /// Passes a message on. A message for the server itself goes to nobody.
    /// `seq` is its number, if it has one.
    pub(crate) fn relay(
        &self,
        from: &Session,
        message: ClientMessage,
        seq: Option<u64>,
    ) -> Result<(), Refusal> {
        let to = message.to().cloned();
        let audience = match message {
            ClientMessage::Sealed { .. } => Audience::Joined,
            _ => Audience::Everyone,
        };
        let Some(relayed) = message.into_relayed(from.id.clone()) else {
            return Ok(());
        };
        let frame = Frame::new(&relayed);
        if frame.len() > MESSAGE_BYTES + RELAY_SLACK {
            return Err(Refusal::new(
                ErrorCode::TooLarge,
                "too large once it was normalised",
            ));
        }
        let public = to.is_none() && is_talk(&relayed);
        let mut rooms = self.lock_rooms();
        if self.is_shared(&from.room) {
            self.metrics.message(kind(&relayed));
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
        self.metrics.message(kind(&relayed));
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

    fn pass_on(&self, rooms: &mut Rooms<Arc<Session>>, to: Vec<Arc<Session>>, frame: &Frame) {
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
    fn publish(&self, rooms: &Rooms<Arc<Session>>, from: &Session, frame: &Frame, public: bool) {
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
    fn tell(
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

    /// What is left to do for a member that is out of its room.
    fn see_off(
        &self,
        rooms: &Rooms<Arc<Session>>,
        Departure { gone, delivery }: &Departure<Arc<Session>>,
    ) {
        gone.mailbox.end(Closing::gone());
        if gone.is_resumable() {
            self.lock_sources().give_place_back(gone.source);
        }
        self.tell(rooms, &gone.room, delivery);
    }

    fn lock_rooms(&self) -> MutexGuard<'_, Rooms<Arc<Session>>> {
        self.rooms
            .lock()
            .expect("nothing panics while it holds the rooms")
    }

    fn lock_sources(&self) -> MutexGuard<'_, Sources> {
        self.sources
            .lock()
            .expect("nothing panics while it holds the sources")
    }
}

/// Whether it is this session that has the place, and not a later one of the same member, which has been
/// elsewhere in between.
fn is_seated(rooms: &Rooms<Arc<Session>>, session: &Session) -> bool {
    let found = rooms.find(&session.room, &session.id);
    found.is_some_and(|found| std::ptr::eq(Arc::as_ptr(found), session))
}

fn deliver(delivery: &Delivery<Arc<Session>>) {
    if delivery.to.is_empty() {
        return;
    }
    let frame = Frame::new(&delivery.message);
    for session in &delivery.to {
        // One that overflows by this is seen off by its own connection, or when its time is over.
        session.mailbox.push(frame.clone());
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

fn bytes(count: usize) -> u64 {
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
