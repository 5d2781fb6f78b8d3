//! The lane that this side opens: one at a time.

use super::PROTOCOL;
use crate::channel::{Channel, ChannelReceiver, ChannelSender, Message};
use crate::net::packet::Packets;
use crate::session::OpenLane;
use bytes::Bytes;
use std::future::pending;
use std::sync::Arc;
use tokio_util::task::AbortOnDropHandle;

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Change {
    Opened,
    /// It is gone, or did not come up.
    Lost,
    /// It is no better than the channel, or nobody can open one.
    Useless,
}

/// The lane that this side opens.
pub(in super::super) struct Ours {
    opener: Option<Arc<dyn OpenLane>>,
    /// How the channel's messages travel.
    packets: Option<Packets>,
    state: State,
}

enum State {
    None,
    Opening(AbortOnDropHandle<Option<Channel>>),
    Open(ChannelSender, ChannelReceiver),
}

impl Ours {
    pub(in super::super) fn new(
        opener: Option<Arc<dyn OpenLane>>,
        packets: Option<Packets>,
    ) -> Self {
        Self {
            opener,
            packets,
            state: State::None,
        }
    }

    /// Opens lane `number`, in place of the one before.
    pub(in super::super) fn open(&mut self, number: u32) {
        let opener = self.opener.clone();
        let opening = async move { opener?.open(number.to_string(), PROTOCOL).await };
        self.state = State::Opening(AbortOnDropHandle::new(tokio::spawn(opening)));
    }

    /// Waits for a change. Cancelled, it has lost nothing.
    pub(in super::super) async fn changed(&mut self) -> Change {
        let (state, change) = match &mut self.state {
            State::None => pending().await,
            State::Opening(opening) => match opening.await.ok().flatten() {
                Some(lane) if !is_better(lane.packets(), self.packets) => {
                    (State::None, Change::Useless)
                }
                Some(lane) => {
                    let (sender, receiver) = lane.split();
                    (State::Open(sender, receiver), Change::Opened)
                }
                None if self.opener.is_none() => (State::None, Change::Useless),
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

    /// Whether it is not known yet what becomes of it.
    pub(in super::super) fn is_opening(&self) -> bool {
        matches!(self.state, State::Opening(_))
    }

    /// Sends a message through it; `false` if it is gone.
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

/// Whether a lane carries more than the channel does. On a path that is repaired, which is a long one, what counts is not
/// the work of each packet; a lane would only have to find out anew how much that path takes.
fn is_better(lane: Option<Packets>, channel: Option<Packets>) -> bool {
    match (lane, channel) {
        (Some(lane), Some(channel)) => lane.size > channel.size && !lane.repaired,
        // In memory.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;

    struct Opener(Option<Packets>);

    #[async_trait]
    impl OpenLane for Opener {
        fn most(&self) -> u16 {
            1
        }

        async fn open(&self, label: String, _: &'static str) -> Option<Channel> {
            let (lane, _) = Channel::pair(&label);
            Some(lane.in_packets(self.0?))
        }
    }

    const LARGE: Packets = Packets {
        size: 1452,
        repaired: false,
    };

    #[tokio::test]
    async fn a_lane_must_come_up_and_be_better_than_the_channel() {
        let repaired = Packets {
            repaired: true,
            ..LARGE
        };
        for (packets, expected) in [
            (None, Change::Lost),
            (Some(Packets::EVERYWHERE), Change::Useless),
            (Some(repaired), Change::Useless),
            (Some(LARGE), Change::Opened),
        ] {
            let mut lane = Ours::new(Some(Arc::new(Opener(packets))), Some(Packets::SESSION));
            lane.open(1);
            assert!(lane.is_opening());
            assert_eq!(lane.changed().await, expected, "{packets:?}");
            assert!(!lane.is_opening());
        }
        let mut none = Ours::new(None, None);
        none.open(1);
        assert_eq!(none.changed().await, Change::Useless);
    }

    #[tokio::test]
    async fn a_lane_that_is_gone_is_noticed_by_who_waits_and_by_who_sends() {
        for waits in [true, false] {
            let mut lane = Ours::new(Some(Arc::new(Opener(Some(LARGE)))), Some(Packets::SESSION));
            lane.open(1);
            assert_eq!(lane.changed().await, Change::Opened);
            match waits {
                true => assert_eq!(lane.changed().await, Change::Lost),
                false => assert!(!lane.send(Bytes::from_static(b"x")).await),
            }
            assert!(!lane.is_opening());
        }
    }
}
