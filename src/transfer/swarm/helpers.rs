//! A receiver's lines to others: introductions, and what is asked and given on each line.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use futures_util::stream::FuturesUnordered;

use super::blocks::{BlockMap, MOST_SPANS};
use super::helper::{HelperMessage, Piece, pieces};
use super::meet::{HelperLine, Introduction, MeetHelper, Role};
use super::plan::MOST_HELPERS;
use super::pool::{Misbehaved, Pool};
use crate::channel::{ChannelReceiver, Message, PolledSender};
use crate::signaling::Relay;
use crate::transfer::digest::Digest;
use crate::transfer::error::TransferError;
use crate::transfer::message::{ControlMessage, KnownRun, Side};
use crate::transfer::sender::BlockId;

/// Introductions and lines at a time. A sender makes half as many, and may make others in the place of lost
/// ones.
const MOST: usize = 2 * MOST_HELPERS;

/// What is done about the lines before the receiver looks at anything else.
const AT_ONCE: usize = 16;

/// Messages that wait for a line while the next block is read for it: a mebibyte.
const READ_AHEAD: usize = 16;

type Meeting = Pin<Box<dyn Future<Output = (u32, Option<HelperLine>)> + Send>>;

/// What a receiver has to do because of the others.
#[derive(Debug)]
pub(in crate::transfer) enum Happening {
    /// Tell the sender.
    Tell(ControlMessage),
    /// A block came, the digest of which must be this.
    Block {
        helper: u32,
        id: BlockId,
        digest: Digest,
        data: Bytes,
    },
    /// Read a block for a helper.
    Serve { helper: u32, id: BlockId },
}

pub(in crate::transfer) struct Helpers {
    pool: Pool,
    meet: Arc<dyn MeetHelper>,
    /// This lock and the next are for the compiler: what is not shared need not be `Sync`.
    meeting: Mutex<FuturesUnordered<Meeting>>,
    relays: BTreeMap<u32, Relay>,
    lines: BTreeMap<u32, Line>,
    ready: VecDeque<Happening>,
    /// Bytes that they gave and that were not here before.
    pub(in crate::transfer) bytes: u64,
}

struct Line {
    sender: PolledSender,
    incoming: ChannelReceiver,
    _keeps: Mutex<Box<dyn Any + Send>>,
    out: VecDeque<Message>,
    coming: BTreeMap<u32, BytesMut>,
    /// What it wants and was not read yet.
    to_serve: VecDeque<u32>,
    /// A block is being read for it.
    reading: bool,
}

impl Helpers {
    pub(in crate::transfer) fn new(map: BlockMap, meet: Arc<dyn MeetHelper>) -> Self {
        Self {
            pool: Pool::new(Arc::new(map)),
            meet,
            meeting: Mutex::default(),
            relays: BTreeMap::new(),
            lines: BTreeMap::new(),
            ready: VecDeque::new(),
            bytes: 0,
        }
    }

    /// The sender knows somebody.
    pub(in crate::transfer) fn introduced(
        &mut self,
        helper: u32,
        code: &str,
        side: Side,
    ) -> Result<(), TransferError> {
        let code = code
            .parse()
            .map_err(|_| TransferError::protocol("an introduction without a code"))?;
        let busy = self.lines.len() + self.meeting().len() >= MOST;
        if busy || self.lines.contains_key(&helper) || self.relays.contains_key(&helper) {
            return Ok(());
        }
        let Ok((signaling, joined, relay)) = Relay::open() else {
            return Ok(());
        };
        self.relays.insert(helper, relay);
        let introduction = Introduction {
            signaling,
            joined,
            code,
            role: match side {
                Side::Host => Role::Host,
                Side::Guest => Role::Guest,
            },
        };
        let meet = self.meet.clone();
        let meeting = async move { (helper, meet.meet(introduction).await) };
        self.meeting().push(Box::pin(meeting));
        Ok(())
    }

    fn meeting(&mut self) -> &mut FuturesUnordered<Meeting> {
        self.meeting
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A record came for one of them.
    pub(in crate::transfer) fn relayed(&mut self, helper: u32, data: String) {
        if let Some(relay) = self.relays.get(&helper) {
            relay.deliver(data);
        }
    }

    /// The sender says what blocks are.
    pub(in crate::transfer) fn digests(&mut self, runs: &[KnownRun]) -> Result<(), TransferError> {
        let mut each = runs.iter();
        each.try_for_each(|run| self.pool.digests(run.from, &run.digests.0))
    }

    /// A block is verified, from wherever it came.
    pub(in crate::transfer) fn got(&mut self, id: BlockId) {
        if let Some(number) = self.pool.map().number(id) {
            self.pool.got(number);
        }
    }

    /// A block is here of an earlier attempt.
    pub(in crate::transfer) fn kept(&mut self, id: BlockId) {
        if let Some(number) = self.pool.map().number(id) {
            self.pool.kept(number);
        }
    }

    /// What the sender should be told of it.
    pub(in crate::transfer) fn news(&mut self) -> Option<ControlMessage> {
        let blocks = self.pool.news(MOST_SPANS);
        (!blocks.is_empty()).then_some(ControlMessage::Got { blocks })
    }

    /// A block that a helper gave was there already.
    pub(in crate::transfer) fn settled(&mut self, id: BlockId) {
        if let Some(number) = self.pool.map().number(id) {
            self.bytes -= u64::from(self.pool.map().bytes(number));
            self.pool.settled(number);
        }
    }

    /// A helper gave something else than it should: it is not asked again.
    pub(in crate::transfer) fn lied(&mut self, helper: u32, id: BlockId) {
        tracing::warn!(helper, ?id, "another receiver gave a wrong block");
        self.settled(id);
        self.drop_line(helper);
    }

    /// A block was read for a helper, or cannot be.
    pub(in crate::transfer) fn served(&mut self, helper: u32, id: BlockId, data: Option<&[u8]>) {
        let Some(block) = self.pool.map().number(id) else {
            return;
        };
        self.pool.served(helper, block);
        let Some(line) = self.lines.get_mut(&helper) else {
            return;
        };
        line.reading = false;
        match data {
            Some(data) => line.out.extend(pieces(block, data).map(Message::Binary)),
            None => line.say(&HelperMessage::Refuse { block }),
        }
    }

    /// Whether somebody waits for something from us.
    pub(in crate::transfer) fn is_wanted(&self) -> bool {
        self.pool.is_wanted() || self.lines.values().any(|line| !line.out.is_empty())
    }

    /// When to look again, whatever happens.
    pub(in crate::transfer) fn deadline(&self) -> Option<Instant> {
        self.pool.deadline()
    }

    /// What happens next. Cancelled, it has lost nothing.
    pub(in crate::transfer) async fn next(&mut self) -> Happening {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Happening> {
        let now = Instant::now();
        self.meet_others(cx, now);
        self.carry_records(cx);
        if let Some(helper) = self.pool.stalled(now) {
            tracing::info!(helper, "another receiver gives nothing");
            self.drop_line(helper);
        }
        let numbers: Vec<u32> = self.lines.keys().copied().collect();
        for number in numbers {
            if let Err(why) = self.attend(cx, now, number) {
                if let Some(Misbehaved(what)) = why {
                    tracing::warn!(
                        helper = number,
                        what,
                        "another receiver breaks the protocol"
                    );
                }
                self.drop_line(number);
            }
        }
        match self.ready.pop_front() {
            Some(happening) => Poll::Ready(happening),
            None => Poll::Pending,
        }
    }

    fn meet_others(&mut self, cx: &mut Context<'_>, now: Instant) {
        while let Poll::Ready(Some((helper, met))) = Pin::new(self.meeting()).poll_next(cx) {
            let Some(HelperLine { channel, keeps }) = met else {
                self.relays.remove(&helper);
                continue;
            };
            tracing::info!(helper, "another receiver is there");
            let (sender, incoming) = channel.split();
            let line = Line {
                sender: sender.polled(),
                incoming,
                _keeps: Mutex::new(keeps),
                out: VecDeque::new(),
                coming: BTreeMap::new(),
                to_serve: VecDeque::new(),
                reading: false,
            };
            self.lines.insert(helper, line);
            self.pool.add(now, helper);
            self.tell(ControlMessage::Linked { helper });
        }
    }

    fn carry_records(&mut self, cx: &mut Context<'_>) {
        let mut carried = Vec::new();
        self.relays.retain(|helper, relay| {
            loop {
                match relay.poll_next(cx) {
                    Poll::Ready(Some(data)) => carried.push((*helper, data)),
                    Poll::Ready(None) => return false,
                    Poll::Pending => return true,
                }
            }
        });
        for (helper, data) in carried {
            self.tell(ControlMessage::Relay { helper, data });
        }
    }

    fn tell(&mut self, message: ControlMessage) {
        self.ready.push_back(Happening::Tell(message));
    }

    fn drop_line(&mut self, helper: u32) {
        self.relays.remove(&helper);
        self.pool.remove(helper);
        if self.lines.remove(&helper).is_some() {
            self.tell(ControlMessage::Unlinked { helper });
        }
    }

    /// Everything that can be done about a line now; an error if it is to be dropped.
    fn attend(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        number: u32,
    ) -> Result<(), Option<Misbehaved>> {
        let Some(line) = self.lines.get_mut(&number) else {
            return Ok(());
        };
        while self.ready.len() < AT_ONCE {
            match line.incoming.poll_recv(cx) {
                Poll::Pending => break,
                Poll::Ready(None) => return Err(None),
                Poll::Ready(Some(Message::Text(text))) => {
                    line.text(number, &text, &mut self.pool)?;
                }
                Poll::Ready(Some(Message::Binary(message))) => {
                    let piece = Piece::parse(message).ok_or(Misbehaved("a piece without data"))?;
                    let whole = line.piece(now, number, piece, &mut self.pool)?;
                    if let Some(Happening::Block { data, .. }) = &whole {
                        self.bytes += data.len() as u64;
                    }
                    self.ready.extend(whole);
                }
            }
        }
        let blocks = self.pool.news_for(number, MOST_SPANS);
        if !blocks.is_empty() {
            line.say(&HelperMessage::Has { blocks });
        }
        let start = rand::random_range(0..self.pool.map().count().max(1));
        while let Some(block) = self.pool.ask(now, number, start) {
            line.say(&HelperMessage::Want { block });
        }
        line.flush(cx)?;
        if !line.reading
            && line.out.len() < READ_AHEAD
            && let Some(block) = line.to_serve.pop_front()
            && let Some(id) = self.pool.map().id(block)
        {
            line.reading = true;
            self.ready
                .push_back(Happening::Serve { helper: number, id });
        }
        Ok(())
    }
}

impl Line {
    fn say(&mut self, message: &HelperMessage) {
        self.out.push_back(Message::Text(message.to_text()));
    }

    fn text(&mut self, number: u32, text: &str, pool: &mut Pool) -> Result<(), Misbehaved> {
        match HelperMessage::parse(text).ok_or(Misbehaved("a malformed message"))? {
            HelperMessage::Has { blocks } => pool.has(number, &blocks),
            HelperMessage::Want { block } => {
                pool.wants(number, block)?;
                self.to_serve.push_back(block);
                Ok(())
            }
            HelperMessage::Refuse { block } => {
                self.coming.remove(&block);
                pool.refused(number, block)
            }
            HelperMessage::Unknown => Ok(()),
        }
    }

    /// Collects what was asked for; the block, once it is whole.
    fn piece(
        &mut self,
        now: Instant,
        number: u32,
        piece: Piece,
        pool: &mut Pool,
    ) -> Result<Option<Happening>, Misbehaved> {
        let Piece {
            block,
            offset,
            data,
        } = piece;
        if !pool.is_asked(now, number, block) {
            return Err(Misbehaved("it gives what it was not asked for"));
        }
        let length = pool.map().bytes(block) as usize;
        // Put together here: pieces of a byte would cost many times what they hold.
        let coming = self.coming.entry(block);
        let coming = coming.or_insert_with(|| BytesMut::with_capacity(length));
        if offset as usize != coming.len() || data.len() > length - coming.len() {
            return Err(Misbehaved("a gap or an overlap in a block"));
        }
        coming.extend_from_slice(&data);
        if coming.len() < length {
            return Ok(None);
        }
        let whole = self.coming.remove(&block).unwrap_or_default();
        let (digest, id) = (pool.answered(number, block), pool.map().id(block));
        Ok(digest.zip(id).map(|(digest, id)| Happening::Block {
            helper: number,
            id,
            digest,
            data: whole.freeze(),
        }))
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Result<(), Option<Misbehaved>> {
        while !self.out.is_empty() {
            match self.sender.poll_room(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(_)) => return Err(None),
                Poll::Ready(Ok(())) => {
                    if let Some(message) = self.out.pop_front() {
                        self.sender.send(message).map_err(|_| None)?;
                    }
                }
            }
        }
        Ok(())
    }
}
