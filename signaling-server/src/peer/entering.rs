//! How a peer comes into a room: what it sends first, and who has to be asked about it.

use super::{Flow, Origin, Peer, Purpose, State};
use crate::{
    access::{Decision, Grant, Wish},
    closing::Closing,
    hub::Hub,
    mailbox::Frame,
    refusal::Refusal,
    rooms::Entrance,
    session::{Carrier, Medium, message_bucket},
};
use signaling_protocol::{
    ClientMessage, ErrorCode, Join, LeaveReason, RoomName, Secret,
    limits::MESSAGE_BYTES_BEFORE_JOIN,
};
use std::{ops::ControlFlow, sync::Arc, time::Instant};

impl Peer {
    /// A plain peer, which is in its room from the first moment.
    pub(crate) fn plain(
        hub: Arc<Hub>,
        origin: Origin,
        room: RoomName,
        now: Instant,
    ) -> Result<Self, Refusal> {
        if !hub.doors().access.is_open() {
            let message =
                "this server lets nobody in without a token, which a plain page has no way to show";
            return Err(Refusal::new(ErrorCode::Unauthorized, message));
        }
        let source = origin.source;
        let mut peer = Self::new(hub, origin, now);
        let entrance = Entrance {
            room: Some(room),
            create: None,
            capacity: None,
            name: None,
            plain: true,
            source,
        };
        if peer.hub.cluster().is_some() {
            peer.ask_cluster(entrance, false, Purpose::Plain, now);
            return Ok(peer);
        }
        peer.state = State::Fresh(peer.enter_as(entrance, false, now)?);
        Ok(peer)
    }

    /// The answer to whether it may enter.
    pub(crate) fn judged(&mut self, now: Instant, verdict: Result<Grant, Refusal>) -> Flow {
        let state = std::mem::replace(&mut self.state, State::Stranded);
        let State::Asking { join, messages, .. } = state else {
            self.state = state;
            return ControlFlow::Continue(None);
        };
        self.hub.answered(&verdict);
        // For errors that leave the connection: it may try again.
        self.state = State::Waiting {
            since: now,
            messages,
        };
        self.enter(*join, verdict, now)
    }

    /// A message of somebody who is not in a room.
    pub(super) fn receive_first(&mut self, now: Instant, text: &str) -> Flow {
        if text.len() > MESSAGE_BYTES_BEFORE_JOIN {
            return Self::too_large(MESSAGE_BYTES_BEFORE_JOIN);
        }
        let result = match ClientMessage::parse(text) {
            Ok(ClientMessage::Leave) => return ControlFlow::Break(Closing::normal()),
            Ok(ClientMessage::Join(_)) if matches!(self.state, State::Stranded) => {
                Err(Refusal::draining())
            }
            Ok(ClientMessage::Join(join)) => return self.join(now, join),
            Ok(_) => Err(Refusal::new(ErrorCode::NotJoined, "`join` comes first")),
            Err(error) => Err(error.into()),
        };
        self.entered(now, result)
    }

    fn join(&mut self, now: Instant, join: Join) -> Flow {
        if let Some(token) = &join.resume {
            if self.hub.cluster().is_some() {
                let token = token.clone();
                self.ask_for_place(join, token, now);
                return ControlFlow::Continue(None);
            }
            match self.resume(now, token, join.ack) {
                Err(refusal) if refusal.code == ErrorCode::ResumeFailed && join.room.is_some() => {}
                result => return self.entered(now, result),
            }
        }
        self.join_anew(now, join)
    }

    pub(super) fn join_anew(&mut self, now: Instant, join: Join) -> Flow {
        let wish = Wish {
            source: self.origin.source,
            address: self.origin.address,
            token: join.token.clone(),
            room: join.room.clone(),
            create: join.create,
        };
        match self.hub.authorise(&wish, now) {
            Decision::Now(verdict) => self.enter(join, verdict, now),
            Decision::Later(answer) => {
                let messages = message_bucket(self.hub.limits(), now);
                self.state = State::Asking {
                    join: Box::new(join),
                    answer,
                    messages,
                };
                ControlFlow::Continue(None)
            }
        }
    }

    fn resume(&self, now: Instant, token: &Secret, ack: Option<u64>) -> Result<Carrier, Refusal> {
        let session = self.hub.find(token.expose(), self.origin.source, now)?;
        session.count(self.hub.limits(), now)?;
        let ack = ack.or(Some(0));
        self.hub.attach(&session, Medium::Socket, ack, true)
    }

    /// Enters as far as is granted.
    fn enter(&mut self, join: Join, verdict: Result<Grant, Refusal>, now: Instant) -> Flow {
        let had_token = join.token.is_some();
        let Join {
            room,
            create,
            capacity,
            name,
            resumable,
            token: _,
            resume: _,
            ack: _,
        } = join;
        let source = self.origin.source;
        let mut entrance = Entrance {
            room,
            create,
            capacity,
            name,
            plain: false,
            source,
        };
        let granted = verdict.and_then(|grant| grant.apply(&mut entrance));
        self.hub.judged(source, had_token, &granted, now);
        if self.hub.cluster().is_some() && granted.is_ok() {
            self.ask_cluster(entrance, resumable, Purpose::Join, now);
            return ControlFlow::Continue(None);
        }
        let result = granted.and_then(|()| self.enter_as(entrance, resumable, now));
        self.entered(now, result)
    }

    fn enter_as(
        &self,
        entrance: Entrance,
        resumable: bool,
        now: Instant,
    ) -> Result<Carrier, Refusal> {
        let (session, _) = self.hub.enter(entrance, resumable, Medium::Socket, now)?;
        Ok(Carrier::first(Arc::clone(&self.hub), session))
    }

    /// What an attempt to enter led to.
    pub(super) fn entered(&mut self, now: Instant, result: Result<Carrier, Refusal>) -> Flow {
        match result {
            Ok(carrier) => {
                self.state = State::Joined(carrier);
                let took = now.saturating_duration_since(self.origin.since);
                self.hub.metrics().shook_hands(took);
                ControlFlow::Continue(None)
            }
            Err(refusal) if refusal.code.is_fatal() => {
                ControlFlow::Break(Closing::refused(&refusal))
            }
            Err(refusal) => ControlFlow::Continue(Some(Frame::new(&refusal.to_message()))),
        }
    }

    /// A plain peer has said its first word, which decides what it is. To `join` it leaves its
    /// plain room first: the place may be the one that it asks for.
    pub(super) fn choose(&mut self, now: Instant, first: &str) {
        let joins = matches!(ClientMessage::parse(first), Ok(ClientMessage::Join(_)));
        let State::Fresh(carrier) = std::mem::replace(&mut self.state, State::Stranded) else {
            return;
        };
        if !joins {
            self.state = State::Plain(carrier);
            return;
        }
        carrier.leave(LeaveReason::Left);
        self.state = State::Waiting {
            since: now,
            messages: message_bucket(self.hub.limits(), now),
        };
    }
}
