//! The lanes of a receiver: polled together, and what was taken from each.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::channel::{Channel, ChannelReceiver, ChannelSender, Message};
use crate::transfer::error::TransferError;
use crate::transfer::label::{Label, TransferId};
use crate::transfer::lanes::MAX_LANES;
use crate::transfer::message::ControlMessage;

/// The sender is told what was taken of a lane each time it is this much more; and less once there are
/// many, so that all that was not told yet stays a small part of the window. A sender lets 256 KiB be on
/// their way on every lane (`sender::book`): a larger step could make the two wait for each other.
const CREDIT_STEP: u64 = 192 << 10;
const SMALL_STEP: u64 = 64 << 10;
const MANY: usize = 4;

/// And after this long, however little it is: a sender gives a lane up of which it hears nothing for 2.5 s
/// (`sender::book`), also if all that is slow is what it reads from.
const CREDIT_INTERVAL: Duration = Duration::from_millis(500);

/// The same for a receiver in order, to which a sender keeps close (`docs/protocol.md` section 5.5): it waits for the end of
/// what a lane brought that gets nothing more, and has 24 MiB to send meanwhile.
pub(super) const PROMPT: Duration = Duration::from_millis(20);

/// Lanes that one transfer may use in all; a sender opens some dozens on the worst of paths.
const IN_ALL: usize = 8192;

/// What the lanes have for the receiver.
#[derive(Debug)]
pub(super) enum FromLane {
    Message(u16, Bytes),
    Ended(u16),
}

pub(super) struct LaneSet {
    lanes: BTreeMap<u16, Lane>,
    /// Where the next look begins, so that no lane starves the others.
    turn: u16,
    more: mpsc::Receiver<Channel>,
    numbers: HashSet<u16>,
    /// Lanes that have ended and are to be reported.
    ended: VecDeque<u16>,
    taken: u64,
    interval: Duration,
    /// Most lanes that carried data at a time, and the largest packets.
    pub(super) used: u16,
    pub(super) packet: Option<u16>,
}

struct Lane {
    channel: ChannelReceiver,
    /// Unused: a channel whose sending half is gone is closed.
    _sender: ChannelSender,
    packet: Option<u16>,
    taken: u64,
    told: u64,
    /// When the first message was taken that was not told yet.
    untold: Option<Instant>,
    open: bool,
}

impl Lane {
    fn tell(&mut self, number: u16, bytes: u64) -> ControlMessage {
        self.told = self.taken;
        self.untold = None;
        ControlMessage::Credit {
            bytes,
            lane: Some(number),
            lane_bytes: Some(self.taken),
        }
    }
}

impl LaneSet {
    /// With the first lane; others come through `more`.
    pub(super) fn new(first: Channel, more: mpsc::Receiver<Channel>) -> Self {
        let mut lanes = Self {
            lanes: BTreeMap::new(),
            turn: 0,
            more,
            numbers: HashSet::from([0]),
            ended: VecDeque::new(),
            taken: 0,
            interval: CREDIT_INTERVAL,
            used: 1,
            packet: first.packet_size(),
        };
        lanes.insert(0, first);
        lanes
    }

    /// The sender is told at the latest after this long.
    pub(super) fn tell_within(&mut self, interval: Duration) {
        self.interval = interval;
    }

    fn insert(&mut self, number: u16, channel: Channel) {
        let packet = channel.packet_size();
        let (sender, channel) = channel.split();
        let lane = Lane {
            channel,
            _sender: sender,
            packet,
            taken: 0,
            told: 0,
            untold: None,
            open: true,
        };
        self.lanes.insert(number, lane);
    }

    /// Whether any lane is left.
    pub(super) fn is_open(&self) -> bool {
        self.lanes.values().any(|lane| lane.open)
    }

    /// The sender can send no more on this lane: what is still on its way comes again on another.
    pub(super) fn lost(&mut self, number: u16) {
        if let Some(lane) = self.lanes.get_mut(&number)
            && std::mem::replace(&mut lane.open, false)
        {
            self.ended.push_back(number);
        } else if !self.numbers.contains(&number) && self.numbers.len() < IN_ALL {
            // Its channel never came, or comes too late.
            self.numbers.insert(number);
            self.ended.push_back(number);
        }
    }

    /// What comes next on any lane. Cancelled, it has lost nothing.
    pub(super) async fn next(&mut self, id: &TransferId) -> Result<FromLane, TransferError> {
        poll_fn(|cx| self.poll(cx, id)).await
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        id: &TransferId,
    ) -> Poll<Result<FromLane, TransferError>> {
        if let Some(number) = self.ended.pop_front() {
            return Poll::Ready(Ok(FromLane::Ended(number)));
        }
        while let Poll::Ready(Some(channel)) = self.more.poll_recv(cx) {
            self.arrived(channel, id)?;
        }
        let turn = self.turn;
        let numbers = self.lanes.range(turn..).chain(self.lanes.range(..turn));
        let numbers: Vec<u16> = numbers
            .filter(|(_, lane)| lane.open)
            .map(|(number, _)| *number)
            .collect();
        for number in numbers {
            let Some(lane) = self.lanes.get_mut(&number) else {
                continue;
            };
            match lane.channel.poll_recv(cx) {
                Poll::Pending => {}
                Poll::Ready(Some(Message::Binary(bytes))) => {
                    if lane.taken == 0 {
                        self.packet = self.packet.max(lane.packet);
                    }
                    lane.taken += bytes.len() as u64;
                    lane.untold.get_or_insert_with(Instant::now);
                    self.taken += bytes.len() as u64;
                    self.turn = number.wrapping_add(1);
                    self.used = self.used.max(self.extra());
                    return Poll::Ready(Ok(FromLane::Message(number, bytes)));
                }
                Poll::Ready(Some(Message::Text(_))) => {
                    return Poll::Ready(Err(TransferError::protocol("text on a lane")));
                }
                Poll::Ready(None) => {
                    lane.open = false;
                    return Poll::Ready(Ok(FromLane::Ended(number)));
                }
            }
        }
        Poll::Pending
    }

    fn extra(&self) -> u16 {
        let used = |(number, lane): &(&u16, &Lane)| **number != 0 && lane.open && lane.taken > 0;
        self.lanes.iter().filter(used).count() as u16
    }

    fn arrived(&mut self, channel: Channel, id: &TransferId) -> Result<(), TransferError> {
        let Some(Label::Lane(owner, number)) = Label::parse(channel.label()) else {
            return Err(TransferError::protocol("a strange channel label"));
        };
        if owner != *id || !self.numbers.insert(number) {
            // Of another transfer, or one that was given up before it came.
            return Ok(());
        }
        // The first one, those in use and as many again that are just ending.
        let open = self.lanes.values().filter(|lane| lane.open).count();
        if open > 2 * usize::from(MAX_LANES) || self.numbers.len() > IN_ALL {
            return Err(TransferError::protocol("too many lanes"));
        }
        self.insert(number, channel);
        Ok(())
    }

    /// What the sender should be told now that a message of this lane is with the disk, if it is time.
    pub(super) fn credit(&mut self, number: u16) -> Option<ControlMessage> {
        let step = match self.numbers.len() {
            ..=MANY => CREDIT_STEP,
            _ => SMALL_STEP,
        };
        let bytes = self.taken;
        let lane = self.lanes.get_mut(&number)?;
        (lane.taken - lane.told >= step).then(|| lane.tell(number, bytes))
    }

    /// When the sender should be told what was taken, though it is little.
    pub(super) fn credit_due(&self) -> Option<Instant> {
        let untold = self.lanes.values().filter_map(|lane| lane.untold).min();
        untold.map(|since| since + self.interval)
    }

    /// What it should be told then.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<ControlMessage> {
        let interval = self.interval;
        let is_due = |lane: &Lane| lane.untold.is_some_and(|since| since + interval <= now);
        let bytes = self.taken;
        let mut lanes = self.lanes.iter_mut();
        let (number, lane) = lanes.find(|(_, lane)| is_due(lane))?;
        Some(lane.tell(*number, bytes))
    }

    /// What the sender is told of a lane that has ended.
    pub(super) fn account(&mut self, number: u16) -> ControlMessage {
        let bytes = self.lanes.remove(&number).map_or(0, |lane| lane.taken);
        ControlMessage::LaneEnded {
            lane: number,
            bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> (LaneSet, Channel, mpsc::Sender<Channel>, TransferId) {
        let id = TransferId::random();
        let (near, far) = Channel::pair(&id.lane_label(0));
        let (sender, more) = mpsc::channel(8);
        (LaneSet::new(far, more), near, sender, id)
    }

    async fn lane(id: &TransferId, number: u16, more: &mpsc::Sender<Channel>) -> Channel {
        let (near, far) = Channel::pair(&id.lane_label(number));
        more.send(far).await.unwrap();
        near
    }

    fn bytes(length: usize) -> Bytes {
        vec![0; length].into()
    }

    #[tokio::test]
    async fn each_lane_is_accounted_for() {
        let (mut set, first, more, id) = set();
        let second = lane(&id, 1, &more).await;
        first.send(bytes(10)).await.unwrap();
        second.send(bytes(20)).await.unwrap();
        for _ in 0..2 {
            assert!(matches!(set.next(&id).await, Ok(FromLane::Message(..))));
        }
        drop(second);
        assert!(matches!(set.next(&id).await, Ok(FromLane::Ended(1))));
        assert_eq!(
            set.account(1),
            ControlMessage::LaneEnded { lane: 1, bytes: 20 }
        );
        assert!(set.is_open());
        drop(first);
        assert!(matches!(set.next(&id).await, Ok(FromLane::Ended(0))));
        assert!(!set.is_open());
    }

    #[tokio::test]
    async fn a_lane_that_was_given_up_is_not_read_even_if_it_comes_late() {
        let (mut set, _first, more, id) = set();
        set.lost(1);
        set.lost(1);
        assert!(matches!(set.next(&id).await, Ok(FromLane::Ended(1))));
        assert_eq!(
            set.account(1),
            ControlMessage::LaneEnded { lane: 1, bytes: 0 }
        );
        let late = lane(&id, 1, &more).await;
        let _ = late.send(bytes(5)).await;
        let second = lane(&id, 2, &more).await;
        second.send(bytes(7)).await.unwrap();
        assert!(matches!(set.next(&id).await, Ok(FromLane::Message(2, _))));
    }

    #[tokio::test]
    async fn credit_comes_in_smaller_steps_when_there_are_more_lanes() {
        let (mut set, first, more, id) = set();
        let mut lanes = vec![first];
        for number in 1..8 {
            lanes.push(lane(&id, number, &more).await);
        }
        for _ in 0..2 {
            lanes[3].send(bytes(40_000)).await.unwrap();
            assert!(matches!(set.next(&id).await, Ok(FromLane::Message(3, _))));
        }
        let expected = ControlMessage::Credit {
            bytes: 80_000,
            lane: Some(3),
            lane_bytes: Some(80_000),
        };
        assert_eq!(set.credit(3), Some(expected));
        assert_eq!(set.credit(3), None);
    }

    #[tokio::test]
    async fn what_no_sender_does_ends_the_transfer() {
        let (mut set, _first, more, id) = set();
        let mut kept = Vec::new();
        for number in 1..=40 {
            let (near, far) = Channel::pair(&id.lane_label(number));
            kept.push(near);
            if more.try_send(far).is_err() {
                let looked = tokio::time::timeout(Duration::from_millis(1), set.next(&id)).await;
                if let Ok(Err(error)) = looked {
                    assert!(error.to_string().contains("too many lanes"), "{error}");
                    return;
                }
            }
        }
        let error = set.next(&id).await.unwrap_err();
        assert!(error.to_string().contains("too many lanes"), "{error}");
    }
}
