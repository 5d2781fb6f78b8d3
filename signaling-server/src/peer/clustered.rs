//! A peer of a node in a cluster: what it has to wait for.

use super::{Flow, Peer, Purpose, State};
use crate::{
    closing::Closing,
    refusal::Refusal,
    rooms::Entrance,
    session::{Carrier, Medium, message_bucket},
};
use signaling_protocol::{ErrorCode, Join, Secret};
use std::{ops::ControlFlow, sync::Arc, time::Instant};
use tokio_util::task::AbortOnDropHandle;

impl Peer {
    /// Asks the cluster to let it in. The answer goes to [`Peer::admitted`].
    pub(super) fn ask_cluster(
        &mut self,
        entrance: Entrance,
        resumable: bool,
        purpose: Purpose,
        now: Instant,
    ) {
        let hub = Arc::clone(&self.hub);
        let entering = async move {
            let entering = Arc::clone(&hub).enter_shared(entrance, resumable, Medium::Socket, now);
            let (session, _) = entering.await?;
            Ok(Carrier::first(hub, session))
        };
        self.state = State::Entering {
            answer: AbortOnDropHandle::new(tokio::spawn(entering)),
            purpose,
            messages: message_bucket(self.hub.limits(), now),
        };
    }

    /// Asks the cluster to give it its place back.
    pub(super) fn ask_for_place(&mut self, join: Join, token: Secret, now: Instant) {
        let (hub, source) = (Arc::clone(&self.hub), self.origin.source);
        let ack = join.ack.or(Some(0));
        let resuming = async move {
            let finding = Arc::clone(&hub).find_shared(token.expose(), source, ack, now);
            let session = finding.await?;
            session.count(hub.limits(), now)?;
            hub.attach(&session, Medium::Socket, ack, true)
        };
        self.state = State::Entering {
            answer: AbortOnDropHandle::new(tokio::spawn(resuming)),
            purpose: Purpose::Resume(Box::new(join)),
            messages: message_bucket(self.hub.limits(), now),
        };
    }

    /// What the cluster answered.
    pub(crate) fn admitted(&mut self, now: Instant, result: Result<Carrier, Refusal>) -> Flow {
        let state = std::mem::replace(&mut self.state, State::Stranded);
        let State::Entering {
            purpose, messages, ..
        } = state
        else {
            self.state = state;
            return ControlFlow::Continue(None);
        };
        self.state = State::Waiting {
            since: now,
            messages,
        };
        match (purpose, result) {
            (Purpose::Plain, Ok(carrier)) => {
                self.state = State::Fresh(carrier);
                ControlFlow::Continue(None)
            }
            (Purpose::Resume(join), Err(refusal))
                if refusal.code == ErrorCode::ResumeFailed && join.room.is_some() =>
            {
                self.join_anew(now, *join)
            }
            (Purpose::Plain, Err(refusal)) => ControlFlow::Break(Closing::refused(&refusal)),
            (_, result) => self.entered(now, result),
        }
    }

    /// Whether [`Peer::settle`] has something to do.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.carrier()
            .is_some_and(|carrier| carrier.session().is_unsettled())
    }

    /// Waits until what came from it is written down.
    pub(crate) async fn settle(&self) {
        if let Some(carrier) = self.carrier() {
            carrier.settle().await;
        }
    }
}
