//! The connections that carry a member's messages, one at a time.

use super::Session;
use crate::{
    closing::Closing,
    cluster::ACK_SLACK_BYTES,
    hub::Hub,
    mailbox::{CarrierId, Outgoing},
};
use signaling_protocol::LeaveReason;
use std::{ops::ControlFlow, sync::Arc};

/// How a member's messages travel, as far as it says when the member is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Medium {
    /// A connection that lasts: its end is news.
    Socket,
    /// Requests, with pauses between them.
    Requests,
}

/// What carries a member's messages now. Dropped, the member is away, or gone if it cannot come back.
#[derive(Debug)]
pub(crate) struct Carrier {
    hub: Arc<Hub>,
    session: Arc<Session>,
    id: CarrierId,
    medium: Medium,
    reason: LeaveReason,
}

impl Carrier {
    pub(crate) fn new(hub: Arc<Hub>, session: Arc<Session>, id: CarrierId, medium: Medium) -> Self {
        Self {
            hub,
            session,
            id,
            medium,
            reason: LeaveReason::Lost,
        }
    }

    /// The WebSocket on which a member came. Its mailbox has served nobody else yet, and what is in it
    /// already is for this one.
    pub(crate) fn first(hub: Arc<Hub>, session: Arc<Session>) -> Self {
        Self::new(hub, session, 0, Medium::Socket)
    }

    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    pub(crate) fn medium(&self) -> Medium {
        self.medium
    }

    /// Whether no other connection has taken its place.
    pub(crate) fn is_current(&self) -> bool {
        self.session.mailbox.is_carried_by(self.id)
    }

    /// Takes one message.
    pub(crate) fn receive(&self, text: &str) -> ControlFlow<Closing> {
        self.session.receive(&self.hub, text)
    }

    /// The next frame, as soon as there is one. Cancelled, it has taken nothing.
    pub(crate) async fn next(&self) -> Result<Outgoing, Closing> {
        let next = self.session.mailbox.next(self.id).await;
        self.report();
        next
    }

    /// Waits until what came is written down, where that takes time.
    pub(crate) async fn settle(&self) {
        self.session.settle(&self.hub).await;
        self.report();
    }

    /// Has the cluster forget what the member has for sure, now and then.
    fn report(&self) {
        if self.session.shared.is_some() && self.session.mailbox.done_bytes() > ACK_SLACK_BYTES / 2
        {
            self.hub.look_at(&self.session.room);
        }
    }

    /// The next frame, if there is one.
    pub(crate) fn take(&self) -> Option<Result<Outgoing, Closing>> {
        self.session.mailbox.take(self.id)
    }

    /// Waits until there is nothing more to carry.
    pub(crate) async fn over(&self) -> Closing {
        self.session.mailbox.over(self.id).await
    }

    /// Stops carrying. With anything but `lost` the member is gone, and the others are told so.
    pub(crate) fn leave(mut self, reason: LeaveReason) {
        self.reason = reason;
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.hub.detach(self, self.reason);
    }
}
