//! The task between a resource and its session: it moves messages, and [`Resource`] decides.

use super::fragment::Fragment;
use super::reply::Reply;
use super::resource::{Action, Input, RequestId, Resource};
use crate::signaling::Carried;
use signaling_protocol::{ClientMessage, ServerMessage};
use std::collections::BTreeMap;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// What HTTP asks of a session that is there.
pub(super) enum Ask {
    Patch {
        if_match: Option<String>,
        fragment: Fragment,
        reply: oneshot::Sender<Reply>,
    },
    Delete(oneshot::Sender<Reply>),
}

/// Why whoever owns the sessions does not want one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is nothing to play, or not yet.
    NothingToPlay,
    /// It is over.
    Closing,
}

impl Refusal {
    pub(super) fn reply(self) -> Reply {
        match self {
            // WHEP draft section 4.3.
            Self::NothingToPlay => Reply::later(409, "nobody publishes this yet"),
            Self::Closing => Reply::later(503, "the server is closing"),
        }
    }
}

/// A session and its resource.
pub(super) struct Conversation<Seat> {
    resource: Resource,
    carried: Carried,
    asks: mpsc::Receiver<Ask>,
    refusal: oneshot::Receiver<Refusal>,
    waiting: BTreeMap<RequestId, oneshot::Sender<Reply>>,
    next: u64,
    /// Held until the session has ended.
    _seat: Seat,
}

/// The first request of a session.
pub(super) const FIRST: RequestId = RequestId(0);

impl<Seat> Conversation<Seat> {
    /// Begins with what the resource wants at first, and the request that made it.
    pub(super) fn begin(
        (resource, actions): (Resource, Vec<Action>),
        carried: Carried,
        asks: mpsc::Receiver<Ask>,
        refusal: oneshot::Receiver<Refusal>,
        first: oneshot::Sender<Reply>,
        seat: Seat,
    ) -> Self {
        let mut conversation = Self {
            resource,
            carried,
            asks,
            refusal,
            waiting: BTreeMap::from([(FIRST, first)]),
            next: 1,
            _seat: seat,
        };
        conversation.perform(actions);
        conversation
    }

    /// Until the session has ended, or was deleted.
    pub(super) async fn run(mut self) {
        let mut is_decided = false;
        loop {
            let deadline = self.resource.deadline();
            let due = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            let input = tokio::select! {
                // A session that is refused ends as well.
                biased;
                refused = &mut self.refusal, if !is_decided => {
                    is_decided = true;
                    match refused {
                        Ok(refusal) => Input::Refused(refusal.reply()),
                        // It was taken.
                        Err(_) => continue,
                    }
                }
                message = self.carried.next() => match message {
                    Some(ClientMessage::Answer { sdp, .. }) => Input::Answer(sdp),
                    Some(ClientMessage::IceCandidate { candidate: Some(candidate), .. }) => {
                        Input::Candidate(candidate)
                    }
                    Some(ClientMessage::IceCandidate { candidate: None, .. }) => Input::Gathered,
                    Some(_) => continue,
                    None => Input::Ended,
                },
                Some(ask) = self.asks.recv() => self.asked(ask),
                () = due => Input::Tick,
            };
            let actions = self.resource.handle(Instant::now(), input);
            if self.perform(actions) {
                return;
            }
        }
    }

    fn asked(&mut self, ask: Ask) -> Input {
        let request = RequestId(self.next);
        self.next += 1;
        match ask {
            Ask::Patch {
                if_match,
                fragment,
                reply,
            } => {
                self.waiting.insert(request, reply);
                Input::Patch {
                    request,
                    if_match,
                    fragment,
                }
            }
            Ask::Delete(reply) => {
                self.waiting.insert(request, reply);
                Input::Delete(request)
            }
        }
    }

    /// Whether it is over.
    fn perform(&mut self, actions: Vec<Action>) -> bool {
        for action in actions {
            match action {
                Action::Offer(sdp) => self
                    .carried
                    .deliver(|from| ServerMessage::Offer { from, sdp }),
                Action::Trickle(candidates) => {
                    for candidate in candidates {
                        let candidate = Some(candidate);
                        self.carried
                            .deliver(|from| ServerMessage::IceCandidate { from, candidate });
                    }
                }
                Action::Reply(request, reply) => {
                    if let Some(waiting) = self.waiting.remove(&request) {
                        // A client that has gone hears nothing; its session times out.
                        let _ = waiting.send(reply);
                    }
                }
                Action::End => {
                    self.carried.left();
                    return true;
                }
            }
        }
        false
    }
}
