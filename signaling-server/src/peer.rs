//! One WebSocket's peer: what it may do when, and what it is told. It knows neither the socket nor the
//! clock: the socket's task feeds it texts and times, sends what comes next, and ends the connection when
//! told to. Dropping it leaves the room, or leaves a place to come back to.

mod clustered;

use crate::{
    access::{Decision, Grant, Wish},
    bucket::TokenBucket,
    closing::Closing,
    hub::Hub,
    mailbox::Frame,
    refusal::Refusal,
    rooms::Entrance,
    session::{Carrier, Medium, message_bucket, too_fast, too_large},
    sources::Source,
};
use signaling_protocol::{
    ClientMessage, ErrorCode, Join, LeaveReason, RoomName, Secret, ServerMessage,
    limits::MESSAGE_BYTES_BEFORE_JOIN,
};
use std::{
    net::IpAddr,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::task::AbortOnDropHandle;

/// What is due when a peer's deadline has passed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing after all.
    Nothing,
    /// A ping of the transport.
    Ping,
}

/// Where a peer is, and since when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) source: Source,
    pub(crate) address: IpAddr,
    /// When its connection was accepted.
    pub(crate) since: Instant,
}

/// What a peer waits for.
#[derive(Debug)]
pub(crate) enum News {
    /// A frame to send.
    Frame(Frame),
    /// Whether it may enter; for [`Peer::judged`].
    Verdict(Result<Grant, Refusal>),
    /// Whether it is in; for [`Peer::admitted`].
    Entered(Result<Carrier, Refusal>),
}

/// The protocol side of one connection.
#[derive(Debug)]
pub(crate) struct Peer {
    hub: Arc<Hub>,
    origin: Origin,
    state: State,
    heard: Instant,
    pinged: Instant,
}

#[derive(Debug)]
enum State {
    /// Nothing but `join` is welcome, and soon.
    Waiting {
        since: Instant,
        messages: TokenBucket,
    },
    /// Somebody else is asked whether it may enter. Nothing of it is read meanwhile, and the question has
    /// a limit of its own.
    Asking {
        join: Box<Join>,
        answer: AbortOnDropHandle<Result<Grant, Refusal>>,
        messages: TokenBucket,
    },
    /// The cluster is asked to let it in, or to give it its place back. Nothing of it is read meanwhile.
    Entering {
        answer: AbortOnDropHandle<Result<Carrier, Refusal>>,
        purpose: Purpose,
        messages: TokenBucket,
    },
    /// A plain peer that has not sent anything yet.
    Fresh(Carrier),
    /// A plain peer for good.
    Plain(Carrier),
    /// An ordinary member.
    Joined(Carrier),
    /// The server goes away before this peer was anywhere.
    Stranded,
}

/// What becomes of a peer that a cluster has let in.
#[derive(Debug)]
enum Purpose {
    /// A plain peer.
    Plain,
    /// An ordinary member.
    Join,
    /// The same, at its old place; if that is not known, this counts as a new one.
    Resume(Box<Join>),
}

/// What a message leads to at once: an answer, for those who have no mailbox yet, or the end.
pub(crate) type Flow = ControlFlow<Closing, Option<Frame>>;

impl Peer {
    /// A peer that has yet to send `join`.
    pub(crate) fn new(hub: Arc<Hub>, origin: Origin, now: Instant) -> Self {
        let messages = message_bucket(hub.limits(), now);
        Self {
            hub,
            origin,
            state: State::Waiting {
                since: now,
                messages,
            },
            heard: now,
            pinged: now,
        }
    }

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

    /// The next frame, as soon as there is one, or the answer to whether it may enter. Cancelled, it has
    /// taken nothing.
    pub(crate) async fn next(&mut self) -> Result<News, Closing> {
        if let State::Asking { answer, .. } = &mut self.state {
            let verdict = answer.await.unwrap_or_else(|_| {
                let message = "this server could not find out who may enter";
                Err(Refusal::new(ErrorCode::Internal, message))
            });
            return Ok(News::Verdict(verdict));
        }
        if let State::Entering { answer, .. } = &mut self.state {
            let entered = answer.await.unwrap_or_else(|_| {
                let message = "this server could not let anybody in";
                Err(Refusal::new(ErrorCode::Internal, message))
            });
            return Ok(News::Entered(entered));
        }
        match self.carrier() {
            Some(carrier) => {
                let outgoing = carrier.next().await?;
                Ok(News::Frame(outgoing.frame))
            }
            None => std::future::pending().await,
        }
    }

    /// The next frame, if there is one already.
    pub(crate) fn take(&self) -> Option<Frame> {
        let outgoing = self.carrier()?.take()?;
        Some(outgoing.ok()?.frame)
    }

    /// Whether what it sends may be read: not while somebody else is asked about it.
    pub(crate) fn may_be_read(&self) -> bool {
        !matches!(self.state, State::Asking { .. } | State::Entering { .. })
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

    /// Waits until there is nothing more to send, and why.
    pub(crate) async fn over(&self) -> Closing {
        match self.carrier() {
            Some(carrier) => carrier.over().await,
            None => std::future::pending().await,
        }
    }

    /// Something came, if only a pong.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Something came that costs work, but is no message: a ping of the transport.
    pub(crate) fn heard_ping(&mut self, now: Instant) -> Flow {
        self.heard = now;
        self.count(now)
    }

    /// One message came.
    pub(crate) fn receive(&mut self, now: Instant, text: &str) -> Flow {
        self.heard = now;
        self.count(now)?;
        if matches!(self.state, State::Fresh(_)) {
            self.choose(now, text);
        }
        match &self.state {
            State::Fresh(carrier) | State::Plain(carrier) | State::Joined(carrier) => {
                carrier.receive(text).map_continue(|()| None)
            }
            State::Waiting { .. }
            | State::Asking { .. }
            | State::Entering { .. }
            | State::Stranded => self.receive_first(now, text),
        }
    }

    /// A message came that the transport did not even read to its end.
    pub(crate) fn too_large(limit: usize) -> Flow {
        ControlFlow::Break(Closing::refused(&too_large(limit)))
    }

    /// Binary data came.
    pub(crate) fn receive_binary() -> Flow {
        ControlFlow::Break(Closing::refused(&Refusal::new(
            ErrorCode::BadJson,
            "a binary frame; messages are JSON text",
        )))
    }

    /// The server is about to go away. What is returned is to be sent.
    pub(crate) fn drain(&mut self, reconnect_after: Duration) -> Option<Frame> {
        let reconnect_after_ms = u64::try_from(reconnect_after.as_millis()).unwrap_or(u64::MAX);
        let draining = ServerMessage::Draining { reconnect_after_ms };
        match &self.state {
            State::Fresh(_) | State::Plain(_) | State::Stranded => None,
            State::Joined(carrier) => {
                carrier.session().mailbox.push_aside(&draining);
                None
            }
            State::Waiting { .. } | State::Asking { .. } | State::Entering { .. } => {
                self.state = State::Stranded;
                Some(Frame::new(&draining))
            }
        }
    }

    /// How long one frame may take to be sent: whoever reads nothing for so long is as good as gone.
    pub(crate) fn write_limit(&self) -> Duration {
        self.hub.limits().idle_timeout
    }

    /// When [`Peer::due`] wants to be called at the latest.
    pub(crate) fn deadline(&self) -> Instant {
        let limits = self.hub.limits();
        let next = (self.heard + limits.idle_timeout).min(self.pinged + limits.ping_interval);
        match self.state {
            State::Waiting { since, .. } => next.min(since + limits.hello_timeout),
            _ => next,
        }
    }

    /// What is due now.
    pub(crate) fn due(&mut self, now: Instant) -> ControlFlow<Closing, Due> {
        let limits = self.hub.limits();
        if let State::Waiting { since, .. } = self.state
            && now >= since + limits.hello_timeout
        {
            let waited = limits.hello_timeout;
            let refusal = Refusal::new(
                ErrorCode::HelloTimeout,
                format!("no `join` within {waited:?}"),
            );
            return ControlFlow::Break(Closing::refused(&refusal));
        }
        if now >= self.heard + limits.idle_timeout {
            let silent = limits.idle_timeout;
            let refusal = Refusal::new(
                ErrorCode::IdleTimeout,
                format!("nothing came for {silent:?}"),
            );
            return ControlFlow::Break(Closing::refused(&refusal));
        }
        if now >= self.pinged + limits.ping_interval {
            self.pinged = now;
            return ControlFlow::Continue(Due::Ping);
        }
        ControlFlow::Continue(Due::Nothing)
    }

    /// Ends the connection. With `lost`, a member that may come back keeps its place for a while;
    /// otherwise the others are told why it left.
    pub(crate) fn leave(self, reason: LeaveReason) {
        match self.state {
            State::Fresh(carrier) | State::Plain(carrier) | State::Joined(carrier) => {
                carrier.leave(reason);
            }
            State::Waiting { .. }
            | State::Asking { .. }
            | State::Entering { .. }
            | State::Stranded => {}
        }
    }

    fn carrier(&self) -> Option<&Carrier> {
        match &self.state {
            State::Fresh(carrier) | State::Plain(carrier) | State::Joined(carrier) => Some(carrier),
            State::Waiting { .. }
            | State::Asking { .. }
            | State::Entering { .. }
            | State::Stranded => None,
        }
    }

    fn count(&mut self, now: Instant) -> Flow {
        let limits = self.hub.limits();
        let counted = match &mut self.state {
            State::Waiting { messages, .. }
            | State::Asking { messages, .. }
            | State::Entering { messages, .. } => match messages.take(now) {
                true => Ok(()),
                false => Err(too_fast(limits)),
            },
            State::Fresh(carrier) | State::Plain(carrier) | State::Joined(carrier) => {
                carrier.session().count(limits, now)
            }
            State::Stranded => Ok(()),
        };
        match counted {
            Ok(()) => ControlFlow::Continue(None),
            Err(refusal) => ControlFlow::Break(Closing::refused(&refusal)),
        }
    }

    /// A message of somebody who is not in a room.
    fn receive_first(&mut self, now: Instant, text: &str) -> Flow {
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

    fn join_anew(&mut self, now: Instant, join: Join) -> Flow {
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

    /// What an attempt to enter led to.
    fn entered(&mut self, now: Instant, result: Result<Carrier, Refusal>) -> Flow {
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

    /// A plain peer has said its first word, which decides what it is. To `join` it leaves its
    /// plain room first: the place may be the one that it asks for.
    fn choose(&mut self, now: Instant, first: &str) {
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
