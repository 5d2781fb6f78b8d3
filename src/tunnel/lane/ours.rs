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
    /// It is gone, did not come up, or is no better than the channel.
    Lost,
}

/// The lane that this side opens.
pub(in super::super) struct Ours {
    opener: Option<Arc<dyn OpenLane>>,
    /// The packets of the channel, which those of a lane must exceed.
    packet: Option<u16>,
    state: State,
}

enum State {
    None,
    Opening(AbortOnDropHandle<Option<Channel>>),
    Open(ChannelSender, ChannelReceiver),
}

impl Ours {
    pub(in super::super) fn new(opener: Option<Arc<dyn OpenLane>>, packet: Option<u16>) -> Self {
        Self {
            opener,
            packet,
            state: State::None,
        }
    }

    /// Opens lane `number`, in place of the one before.
    pub(in super::super) fn open(&mut self, number: u32) {
        let (opener, packet) = (self.opener.clone(), self.packet);
        let opening = async move {
            let lane = opener?.open(number.to_string(), PROTOCOL).await?;
            let better = lane.packet_size().is_none() || lane.packet_size() > packet;
            better.then_some(lane)
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

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;

    struct Opener(Option<u16>);

    #[async_trait]
    impl OpenLane for Opener {
        fn most(&self) -> u16 {
            1
        }

        async fn open(&self, label: String, _: &'static str) -> Option<Channel> {
            let (lane, _) = Channel::pair(&label);
            Some(lane.in_packets_of(self.0?))
        }
    }

    #[tokio::test]
    async fn a_lane_must_come_up_and_have_larger_packets() {
        for (packet, expected) in [
            (None, Change::Lost),
            (Some(1191), Change::Lost),
            (Some(1452), Change::Opened),
        ] {
            let mut lane = Ours::new(Some(Arc::new(Opener(packet))), Some(1191));
            lane.open(1);
            assert!(lane.is_opening());
            assert_eq!(lane.changed().await, expected, "{packet:?}");
            assert!(!lane.is_opening());
        }
        let mut none = Ours::new(None, None);
        none.open(1);
        assert_eq!(none.changed().await, Change::Lost);
    }

    #[tokio::test]
    async fn a_lane_that_is_gone_is_noticed_by_who_waits_and_by_who_sends() {
        for waits in [true, false] {
            let mut lane = Ours::new(Some(Arc::new(Opener(Some(1452)))), Some(1191));
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
