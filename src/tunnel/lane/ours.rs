//! The lane that this side opens: one at a time.

use super::PROTOCOL;
use crate::channel::{Channel, ChannelReceiver, ChannelSender, Message};
use crate::session::OpenLane;
use bytes::Bytes;
use std::future::pending;
use std::sync::Arc;
use tokio_util::task::AbortOnDropHandle;

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Change {
    Opened,
    /// It is gone, did not come up, or does not pay.
    Lost,
}

/// The lane that this side opens.
pub(in super::super) struct Ours {
    opener: Option<Arc<dyn OpenLane>>,
    state: State,
}

enum State {
    None,
    Opening(AbortOnDropHandle<Option<Channel>>),
    Open(ChannelSender, ChannelReceiver),
}

impl Ours {
    pub(in super::super) fn new(opener: Option<Arc<dyn OpenLane>>) -> Self {
        Self {
            opener,
            state: State::None,
        }
    }

    /// Opens lane `number`, in place of the one before.
    pub(in super::super) fn open(&mut self, number: u32) {
        let opener = self.opener.clone();
        let opening = async move {
            let label = number.to_string();
            opener?.open_if_it_pays(label, PROTOCOL).await
        };
        self.state = State::Opening(AbortOnDropHandle::new(tokio::spawn(opening)));
    }

    /// Waits for a change. Cancelled, it has lost nothing.
    pub(in super::super) async fn changed(&mut self) -> Change {
        let (state, change) = match &mut self.state {
            State::None => pending().await,
            State::Opening(opening) => match opening.await.ok().flatten() {
                Some(lane) => {
                    let (sender, receiver) = lane.split();
                    (State::Open(sender, receiver), Change::Opened)
                }
                None => (State::None, Change::Lost),
            },
            State::Open(_, receiver) => {
                // The peer has nothing to say on it.
                while receiver.recv().await.is_some() {}
                (State::None, Change::Lost)
            }
        };
        self.state = state;
        change
    }

    /// Gives it up.
    pub(in super::super) fn leave(&mut self) {
        self.state = State::None;
    }

    /// Whether it is up.
    pub(in super::super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(..))
    }

    /// Sends a message through it; `false` if it is gone. Cancelled, it has sent nothing.
    pub(in super::super) async fn send(&mut self, message: Bytes) -> bool {
        let sent = match &self.state {
            State::Open(sender, _) => sender.send(Message::Binary(message)).await.is_ok(),
            State::None | State::Opening(_) => false,
        };
        if !sent {
            self.state = State::None;
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;

    /// Opens lanes whose other end is gone, or none.
    struct Opener(bool);

    #[async_trait]
    impl OpenLane for Opener {
        fn most(&self) -> u16 {
            1
        }

        async fn open(&self, label: String, _: &'static str) -> Option<Channel> {
            self.0.then(|| Channel::pair(&label).0)
        }
    }

    #[tokio::test]
    async fn a_lane_that_does_not_come_up_is_lost() {
        let opener: Arc<dyn OpenLane> = Arc::new(Opener(false));
        for opener in [None, Some(opener)] {
            let mut lane = Ours::new(opener);
            lane.open(1);
            assert_eq!(lane.changed().await, Change::Lost);
            assert!(!lane.is_open());
        }
    }

    #[tokio::test]
    async fn a_lane_that_is_gone_is_noticed_by_who_waits_and_by_who_sends() {
        for waits in [true, false] {
            let mut lane = Ours::new(Some(Arc::new(Opener(true))));
            lane.open(1);
            assert_eq!(lane.changed().await, Change::Opened);
            assert!(lane.is_open());
            match waits {
                true => assert_eq!(lane.changed().await, Change::Lost),
                false => assert!(!lane.send(Bytes::from_static(b"x")).await),
            }
            assert!(!lane.is_open());
        }
    }
}
