//! What the transfers of one sender share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::blocks::{BlockMap, Span};
use super::plan::{Changed, Known, Next, Plan};
use crate::pairing::Code;
use crate::transfer::Channels;
use crate::transfer::digest::Digest;
use crate::transfer::error::TransferError;
use crate::transfer::event::{Event, Summary};
use crate::transfer::kept::{Digests, Kept};
use crate::transfer::lanes::Lanes;
use crate::transfer::message::{ControlMessage, KnownRun, Side};
use crate::transfer::sender;
use crate::transfer::source::Source;

/// How often it is looked again whether a receiver needs the sender after all.
const LOOK: Duration = Duration::from_millis(100);

/// Digests of small blocks are told together.
const TELL: Duration = Duration::from_millis(10);

/// Messages that wait for one receiver: introductions and what is relayed for them. More are dropped, and the
/// introduction in question fails.
const OUTBOX: usize = 256;

/// Messages that one receiver may send another through us. Two descriptions and their candidates take far less.
const RELAYED: u32 = 512;

/// What the name of a pair's room is; it exists nowhere, and only the words are secret.
const PAIR: &str = "pair";

/// Whether receivers are told of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// They exchange blocks, and so learn each other's addresses.
    Together,
    /// Everything comes from the sender.
    Apart,
}

/// One source for many receivers, each with channels of its own.
///
/// Each receiver's transfer is a transfer like any other: verified, resumable, and on its own when another one
/// fails. Blocks are read and hashed once as far as possible. With [`Sharing::Together`] every block leaves the
/// sender once if it can be helped, and receivers that understand it pass blocks on among themselves.
#[derive(Debug)]
pub struct Crowd {
    source: Arc<Source>,
    /// `None`: nothing is shared.
    shared: Option<Arc<Shared>>,
}

impl Crowd {
    /// For one source. What is piped can be read once, by one receiver; and very many blocks are not shared.
    pub fn new(source: Source, sharing: Sharing) -> Self {
        let map = BlockMap::new(source.manifest()).filter(|_| sharing == Sharing::Together);
        let shared = map.map(|map| {
            let plan = Plan::new(source.manifest().clone(), Arc::new(map));
            Arc::new(Shared {
                state: Mutex::new(State {
                    plan,
                    desks: BTreeMap::new(),
                    next: 0,
                }),
                changed: Condvar::new(),
            })
        });
        Self {
            source: Arc::new(source),
            shared,
        }
    }

    /// What is sent.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Sends to one more receiver, as [`send_over`](super::super::send_over) does.
    ///
    /// # Errors
    /// As there; the others are not affected.
    pub async fn send(
        &self,
        channels: Channels,
        lanes: Lanes,
        events: mpsc::Sender<Event>,
        cancel: CancellationToken,
    ) -> Result<Summary, TransferError> {
        let seat = self.shared.as_ref().map(Seat::take);
        sender::send_from(channels, lanes, self.source.clone(), seat, events, cancel).await
    }
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Something happened that a waiting reader may be interested in.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    plan: Plan,
    desks: BTreeMap<u32, Desk>,
    next: u32,
}

/// What there is to tell one receiver.
#[derive(Debug, Default)]
struct Desk {
    outbox: VecDeque<ControlMessage>,
    news: Arc<Notify>,
    /// What it may still say to each of the others.
    relays: BTreeMap<u32, u32>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The plan is whole between any two calls.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn post(&mut self, to: u32, message: ControlMessage) {
        if let Some(desk) = self.desks.get_mut(&to)
            && desk.outbox.len() < OUTBOX
        {
            desk.outbox.push_back(message);
            desk.news.notify_one();
        }
    }

    fn introduce(&mut self, host: u32, guest: u32) {
        let Ok(code) = Code::generate(PAIR) else {
            return;
        };
        // The host first: it must know of the other one before that one speaks.
        for (member, helper, side) in [(host, guest, Side::Host), (guest, host, Side::Guest)] {
            let code = code.to_string();
            let message = ControlMessage::Introduce { helper, code, side };
            self.post(member, message);
            if let Some(desk) = self.desks.get_mut(&member) {
                desk.relays.insert(helper, RELAYED);
            }
        }
    }
}

/// The place of one receiver, for as long as its transfer runs.
#[derive(Debug)]
pub(in crate::transfer) struct Seat {
    shared: Arc<Shared>,
    number: u32,
    news: Arc<Notify>,
    told: Option<Instant>,
}

impl Seat {
    fn take(shared: &Arc<Shared>) -> Self {
        let mut state = shared.lock();
        let number = state.next;
        state.next += 1;
        let desk = Desk::default();
        let news = desk.news.clone();
        state.desks.insert(number, desk);
        drop(state);
        Self {
            shared: shared.clone(),
            number,
            news,
            told: None,
        }
    }

    /// The receiver accepted, and has this much already.
    pub(in crate::transfer) fn accepted(&self, shares: bool, kept: &Kept) -> Result<(), Changed> {
        let mut state = self.shared.lock();
        for other in state.plan.join(self.number, shares, kept)? {
            state.introduce(other, self.number);
        }
        for desk in state.desks.values() {
            desk.news.notify_one();
        }
        Ok(())
    }

    /// The receiver has verified blocks.
    pub(in crate::transfer) fn got(&self, blocks: &[Span]) -> Result<(), TransferError> {
        let exist = self
            .shared
            .lock()
            .plan
            .got(Instant::now(), self.number, blocks);
        self.shared.changed.notify_all();
        match exist {
            true => Ok(()),
            false => Err(TransferError::protocol(
                "it has blocks that do not exist, or twice",
            )),
        }
    }

    /// The receiver reaches another one, or does not any more.
    pub(in crate::transfer) fn link(&self, other: u32, up: bool) {
        self.shared.lock().plan.link(self.number, other, up);
        self.shared.changed.notify_all();
    }

    /// The receiver has a record for another one.
    pub(in crate::transfer) fn relay(&self, to: u32, data: String) {
        let mut state = self.shared.lock();
        let left = state
            .desks
            .get_mut(&self.number)
            .and_then(|desk| desk.relays.get_mut(&to));
        if let Some(left) = left.filter(|left| **left > 0) {
            *left -= 1;
            let helper = self.number;
            state.post(to, ControlMessage::Relay { helper, data });
        }
    }

    /// Ends when there may be something in [`take_news`](Self::take_news). Cancelled, it has lost nothing.
    pub(in crate::transfer) async fn news(&self) {
        if let Some(told) = self.told {
            sleep_until((told + TELL).into()).await;
        }
        self.news.notified().await;
    }

    /// What the receiver should be told, and the digest of everything once it is known.
    pub(in crate::transfer) fn take_news(&mut self) -> (Vec<ControlMessage>, Option<Digest>) {
        self.told = Some(Instant::now());
        let mut state = self.shared.lock();
        let mut messages: Vec<ControlMessage> = match state.desks.get_mut(&self.number) {
            Some(desk) => desk.outbox.drain(..).collect(),
            None => Vec::new(),
        };
        loop {
            let known = state.plan.tell(self.number);
            if known.is_empty() {
                break;
            }
            messages.extend(known_messages(known));
        }
        (messages, state.plan.whole_for(self.number))
    }

    /// For the thread that reads for this receiver.
    pub(in crate::transfer) fn reader(&self) -> ReaderSeat {
        ReaderSeat {
            shared: self.shared.clone(),
            number: self.number,
        }
    }

    /// Wakes that thread.
    pub(in crate::transfer) fn wake(&self) {
        self.shared.changed.notify_all();
    }
}

/// As few messages as they fit into.
fn known_messages(known: Vec<Known>) -> Vec<ControlMessage> {
    const MOST: usize = 60_000;
    const DIGEST: usize = 43;
    const RUN: usize = 48;
    let mut messages = Vec::new();
    let (mut blocks, mut size) = (Vec::new(), 0);
    for (from, digests) in known {
        let more = RUN + digests.len() * DIGEST;
        if size + more > MOST && !blocks.is_empty() {
            let blocks = std::mem::take(&mut blocks);
            messages.push(ControlMessage::Digests { blocks });
            size = 0;
        }
        size += more;
        blocks.push(KnownRun {
            from,
            digests: Digests(digests),
        });
    }
    if !blocks.is_empty() {
        messages.push(ControlMessage::Digests { blocks });
    }
    messages
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.desks.remove(&self.number);
        state.plan.leave(self.number);
        drop(state);
        self.shared.changed.notify_all();
    }
}

/// What a reader has to do.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::transfer) enum Order {
    /// Send this block.
    Block(u32),
    /// Ask again: [`ReaderSeat::wait`] first.
    Wait,
    /// The receiver is gone.
    Over,
}

/// A reader's view of its receiver's place.
#[derive(Debug)]
pub(in crate::transfer) struct ReaderSeat {
    shared: Arc<Shared>,
    number: u32,
}

impl ReaderSeat {
    pub(in crate::transfer) fn map(&self) -> Arc<BlockMap> {
        self.shared.lock().plan.map().clone()
    }

    pub(in crate::transfer) fn next(&self) -> Order {
        let mut state = self.shared.lock();
        if !state.desks.contains_key(&self.number) {
            return Order::Over;
        }
        match state.plan.next(Instant::now(), self.number) {
            Next::Block(block) => Order::Block(block),
            Next::Wait => Order::Wait,
        }
    }

    /// Until something has happened, or a moment later.
    pub(in crate::transfer) fn wait(&self) {
        let state = self.shared.lock();
        if state.desks.contains_key(&self.number) {
            // Poisoned or not, the next look says what is to be done.
            drop(self.shared.changed.wait_timeout(state, LOOK));
        }
    }

    pub(in crate::transfer) fn was_sent(&self, block: u32) -> bool {
        self.shared.lock().plan.was_sent(self.number, block)
    }

    /// A block was read: the digest of its file, if it was the last one of it.
    pub(in crate::transfer) fn read(
        &self,
        block: u32,
        digest: Digest,
    ) -> Result<Option<(u32, Digest)>, Changed> {
        let mut state = self.shared.lock();
        let whole = state.plan.read(block, digest)?;
        let everything = state.plan.whole().is_some();
        for (number, desk) in &state.desks {
            if everything || *number != self.number {
                desk.news.notify_one();
            }
        }
        let file = state.plan.map().id(block).map(|id| id.file);
        Ok(file
            .filter(|_| whole)
            .and_then(|file| Some((file, state.plan.file(file)?))))
    }
}
