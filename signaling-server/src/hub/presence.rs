//! Whether a member is there: connections that come and go, members that are away for a while, and those
//! that are gone.

use super::Hub;
use crate::{
    closing::Closing,
    refusal::Refusal,
    room::Departure,
    rooms::Rooms,
    session::{Carrier, Medium, Session},
    sources::Source,
    token::ResumeToken,
};
use signaling_protocol::{ErrorCode, LeaveReason, PeerId, RoomName, ServerMessage};
use std::{sync::Arc, time::Instant};

impl Hub {
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
    pub(super) fn look_after(&self, session: &Arc<Session>, now: Instant) {
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

    pub(super) fn set_away(&self, session: &Session, away: Option<Instant>) {
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

    /// What is left to do for a member that is out of its room.
    pub(super) fn see_off(
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
}

/// Whether it is this session that has the place, and not a later one of the same member, which has been
/// elsewhere in between.
pub(super) fn is_seated(rooms: &Rooms<Arc<Session>>, session: &Session) -> bool {
    let found = rooms.find(&session.room, &session.id);
    found.is_some_and(|found| std::ptr::eq(Arc::as_ptr(found), session))
}
