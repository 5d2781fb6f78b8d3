//! The channels of a sender's lanes: polled together, opened and closed as the scaler wants it.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::FuturesUnordered;

use super::book::Book;
use super::flow::Flow;
use super::scaler::Scaler;
use crate::channel::{Channel, ChannelReceiver, Message, PolledSender};
use crate::session::OpenLane;
use crate::transfer::error::TransferError;
use crate::transfer::label::{LANE_PROTOCOL, TransferId};
use crate::transfer::lanes::{IN_ORDER, Lanes, MAX_LANES, MOST_AHEAD};
use crate::transfer::throttle::{Throttle, allows_lanes};

/// After a lane that did not come up, or was lost: the first time until the next one is tried.
const AGAIN: Duration = Duration::from_millis(500);

/// Failures in a row after which no more is tried: twice as long each time, a minute in all.
const FAILURES: u32 = 7;

/// How often it is looked for lanes that are stuck.
const STALL_CHECK: Duration = Duration::from_millis(250);

/// Lanes that one transfer opens in all; beyond this something is badly wrong with the path.
const IN_ALL: u16 = 4096;

type Opening = Pin<Box<dyn Future<Output = (u16, Option<Channel>)> + Send>>;

/// The lanes of a transfer while blocks are sent.
pub(super) struct LaneSet {
    pub(super) book: Book,
    channels: BTreeMap<u16, LaneChannel>,
    id: Option<TransferId>,
    opener: Option<Arc<dyn OpenLane>>,
    opening: FuturesUnordered<Opening>,
    scaler: Scaler,
    throttle: Throttle,
    next: u16,
    failures: u32,
    not_before: Option<Instant>,
    /// Most lanes that carried data at a time, and the largest packets.
    pub(super) used: u16,
    pub(super) packet: Option<u16>,
}

struct LaneChannel {
    sender: PolledSender,
    incoming: ChannelReceiver,
}

/// What happened to the lanes.
#[derive(Debug)]
pub(super) enum LaneEvent {
    /// A message left; there may be a place for another.
    Sent,
    /// A lane's channel is gone.
    Closed(u16),
    /// A lane came up, or did not.
    Opened,
    /// The receiver sent something on a lane.
    Spoke,
}

impl LaneSet {
    /// `allowed` is how many extra lanes the receiver takes.
    pub(super) fn new(
        now: Instant,
        first: Channel,
        lanes: Lanes,
        id: Option<TransferId>,
        allowed: u16,
        total: u64,
    ) -> Self {
        let Lanes {
            opener,
            count,
            round_trip,
            limit,
        } = lanes;
        let most = match (&opener, &id) {
            (Some(opener), Some(_)) if allows_lanes(limit) => {
                opener.most().min(allowed).min(MAX_LANES)
            }
            _ => 0,
        };
        let mut book = Book::new(now, most > 0, round_trip);
        if allowed == IN_ORDER {
            book.keep_within(MOST_AHEAD);
        }
        let packet = first.packet_size();
        let (sender, incoming) = first.split();
        let sender = sender.polled();
        Self {
            book,
            channels: BTreeMap::from([(0, LaneChannel { sender, incoming })]),
            id,
            opener: opener.map(Into::into),
            opening: FuturesUnordered::new(),
            scaler: Scaler::new(now, count, most, total, round_trip),
            throttle: Throttle::new(now, limit),
            next: 1,
            failures: 0,
            not_before: None,
            used: 1,
            packet,
        }
    }

    /// Opens and closes lanes so that there are as many as there shall be.
    pub(super) fn adjust(&mut self, now: Instant, taken: u64) {
        for lane in self.book.drained() {
            self.channels.remove(&lane);
        }
        let active = self.book.extra();
        let target = self.scaler.target(now, active, taken);
        for _ in target..active {
            if let Some(lane) = self.book.last_extra() {
                self.book.drain(lane);
            }
        }
        let coming = active + self.opening.len() as u16;
        let may = self.failures < FAILURES && self.not_before.is_none_or(|at| at <= now);
        if let (Some(opener), Some(id), true) = (&self.opener, &self.id, may) {
            for _ in coming..target {
                if self.next == IN_ALL {
                    break;
                }
                let (lane, opener, label) = (self.next, opener.clone(), id.lane_label(self.next));
                self.next += 1;
                self.opening.push(Box::pin(async move {
                    (lane, opener.open(label, LANE_PROTOCOL).await)
                }));
            }
        }
    }

    /// When to adjust again, whatever happens.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let look = (self.book.extra() > 0).then(|| now + STALL_CHECK);
        let again = self.not_before.filter(|at| *at > now);
        [self.scaler.deadline(), again, look, self.throttle.wait(now)]
            .into_iter()
            .flatten()
            .min()
    }

    /// A lane to give up: it is stuck while others are not.
    pub(super) fn stalled(&self, now: Instant) -> Option<u16> {
        self.book.stalled(now)
    }

    /// Whether a lane is there or may still come.
    pub(super) fn is_open(&self) -> bool {
        self.book.is_open() || !self.opening.is_empty()
    }

    /// Whether the receiver gives account of each lane.
    pub(super) fn is_accountable(&self) -> bool {
        self.opener.is_some()
    }

    /// A lane's channel is of no use any more. Returns whether that is news.
    pub(super) fn lost(&mut self, now: Instant, lane: u16) -> bool {
        // One that was given up is neither here nor in the book any more.
        self.channels.remove(&lane);
        let news = self.book.lost(lane);
        if news {
            self.failed(now);
        }
        news
    }

    fn failed(&mut self, now: Instant) {
        self.not_before = Some(now + AGAIN * 2u32.pow(self.failures.min(FAILURES)));
        self.failures += 1;
    }

    /// What happens next. Cancelled, it has lost nothing.
    pub(super) async fn next(&mut self, flow: &mut Flow) -> LaneEvent {
        poll_fn(|cx| self.poll(cx, flow)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>, flow: &mut Flow) -> Poll<LaneEvent> {
        // The deadline is when it is over.
        let throttled = self.throttle.wait(Instant::now()).is_some();
        for (lane, channel) in &mut self.channels {
            match channel.incoming.poll_recv(cx) {
                Poll::Ready(Some(_)) => return Poll::Ready(LaneEvent::Spoke),
                Poll::Ready(None) => return Poll::Ready(LaneEvent::Closed(*lane)),
                Poll::Pending => {}
            }
            let Some(length) = self.book.next(*lane).map(Bytes::len) else {
                continue;
            };
            if throttled || !flow.allows(length) {
                continue;
            }
            match channel.sender.poll_room(cx) {
                Poll::Pending => {}
                Poll::Ready(Err(_)) => return Poll::Ready(LaneEvent::Closed(*lane)),
                Poll::Ready(Ok(())) => {
                    let now = Instant::now();
                    if let Some(message) = self.book.sent(now, *lane) {
                        flow.sent(message.len());
                        self.throttle.spend(now, message.len());
                        if channel.sender.send(Message::Binary(message)).is_err() {
                            return Poll::Ready(LaneEvent::Closed(*lane));
                        }
                    }
                    return Poll::Ready(LaneEvent::Sent);
                }
            }
        }
        match Pin::new(&mut self.opening).poll_next(cx) {
            Poll::Ready(Some((lane, channel))) => {
                self.opened(lane, channel);
                Poll::Ready(LaneEvent::Opened)
            }
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn opened(&mut self, lane: u16, channel: Option<Channel>) {
        let now = Instant::now();
        let Some(channel) = channel else {
            return self.failed(now);
        };
        self.failures = 0;
        self.not_before = None;
        self.packet = self.packet.max(channel.packet_size());
        let (sender, incoming) = channel.split();
        let sender = sender.polled();
        self.channels.insert(lane, LaneChannel { sender, incoming });
        self.book.add(now, lane);
        self.used = self.used.max(self.book.extra());
    }

    /// The receiver will take no more from a lane than this.
    pub(super) fn ended(
        &mut self,
        lane: u16,
        taken: u64,
        flow: &mut Flow,
    ) -> Result<(), TransferError> {
        self.lost(Instant::now(), lane);
        flow.lost(self.book.ended(lane, taken)?);
        Ok(())
    }
}
