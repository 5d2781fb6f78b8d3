//! One WebSocket's peer: what it may do when, and what it is told. It knows neither the socket nor the
//! clock: the socket's task feeds it texts and times, sends what comes next, and ends the connection when
//! told to. Dropping it leaves the room, or leaves a place to come back to.

mod clustered;
mod entering;
mod timing;

pub(crate) use timing::Due;

use crate::{
    access::Grant,
    bucket::TokenBucket,
    closing::Closing,
    hub::Hub,
    mailbox::Frame,
    refusal::Refusal,
    session::{Carrier, message_bucket, too_fast, too_large},
    sources::Source,
};
use signaling_protocol::{ErrorCode, Join, LeaveReason, ServerMessage};
use std::{
    net::IpAddr,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::task::AbortOnDropHandle;

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

    /// Waits until there is nothing more to send, and why.
    pub(crate) async fn over(&self) -> Closing {
        match self.carrier() {
            Some(carrier) => carrier.over().await,
            None => std::future::pending().await,
        }
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
}
