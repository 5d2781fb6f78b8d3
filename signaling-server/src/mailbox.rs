//! What waits to be sent to one member, and what was sent but may have to be sent again.

use crate::{closing::Closing, refusal::Refusal};
use bytes::Bytes;
use signaling_protocol::{ErrorCode, ServerMessage, limits::OUTBOX_BYTES, with_seq};
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
};
use tokio::sync::Notify;

/// What a queued frame costs besides its text, so that tiny frames are bounded too.
const FRAME_OVERHEAD: usize = 64;

/// A queue that remembers more than this many free places is given back to the allocator when it
/// runs empty: most peers are idle most of the time.
const KEPT_PLACES: usize = 8;

/// A serialised message; clones share the text, so one broadcast is one allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame(Bytes);

impl Frame {
    pub(crate) fn new(message: &ServerMessage) -> Self {
        Self(message.to_json().into())
    }

    /// What is the JSON text of a message already.
    pub(crate) fn from_json(text: String) -> Self {
        Self(text.into())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The JSON text; valid UTF-8.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.0
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("frames are made of text")
    }

    fn numbered(&self, seq: u64) -> Self {
        Self(with_seq(self.as_str(), seq).into())
    }
}

/// A frame on its way out, with its number in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) seq: Option<u64>,
    pub(crate) frame: Frame,
}

/// Names one of the connections that a member has had; only the last one may take.
pub(crate) type CarrierId = u64;

/// The queue of one member. Anybody may push, the current carrier takes. With numbers, a frame stays
/// until it is acknowledged, and a new carrier gets it again. It holds at most [`OUTBOX_BYTES`]; a push
/// beyond that empties it for good, and the member has to go.
#[derive(Debug)]
pub(crate) struct Mailbox {
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Debug)]
struct Queue {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Entries in front that the carrier has taken and that wait for an acknowledgement.
    taken: usize,
    /// The number of the next numbered frame.
    next: u64,
    numbered: bool,
    carrier: CarrierId,
    ended: Option<Box<Closing>>,
    /// What the present carrier is told; the member may come back.
    dismissed: Option<Box<Closing>>,
    /// The last message that the member has for sure, and the bytes of those since somebody asked.
    done: u64,
    done_bytes: usize,
}

/// How a message with a number fits behind what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It is the next one.
    Next,
    /// It is there already.
    Known,
    /// Others come before it.
    Gap,
}

#[derive(Debug)]
struct Entry {
    frame: Frame,
    /// 0 for what concerns one connection only and is not sent again. Others are counted for members that
    /// get no numbers, too.
    seq: u64,
}

impl Entry {
    fn cost(&self) -> usize {
        self.frame.len() + FRAME_OVERHEAD
    }
}

impl Mailbox {
    pub(crate) fn new(numbered: bool) -> Self {
        Self::from(numbered, 1)
    }

    /// One whose first message has this number.
    pub(crate) fn from(numbered: bool, first: u64) -> Self {
        Self {
            queue: Mutex::new(Queue {
                entries: VecDeque::new(),
                bytes: 0,
                taken: 0,
                next: first,
                numbered,
                carrier: 0,
                ended: None,
                dismissed: None,
                done: first - 1,
                done_bytes: 0,
            }),
            changed: Notify::new(),
        }
    }

    /// Queues a frame behind the others. Never waits. Says whether this was one too many.
    pub(crate) fn push(&self, frame: Frame) -> bool {
        self.add(frame, true)
    }

    /// Serialises and queues what concerns the present connection only.
    pub(crate) fn push_aside(&self, message: &ServerMessage) -> bool {
        self.add(Frame::new(message), false)
    }

    fn add(&self, frame: Frame, keep: bool) -> bool {
        let mut queue = self.lock();
        if queue.ended.is_some() {
            return false;
        }
        let seq = match keep {
            true => queue.next,
            false => 0,
        };
        queue.next += u64::from(keep);
        let entry = Entry { frame, seq };
        queue.bytes += entry.cost();
        let overflow = queue.bytes > OUTBOX_BYTES;
        match overflow {
            true => queue.end(Closing::slow()),
            false => queue.entries.push_back(entry),
        }
        drop(queue);
        self.changed.notify_waiters();
        overflow
    }

    /// Queues a frame whose number somebody else has chosen, if it is the next one. It was counted there,
    /// so that there is no overflow here.
    pub(crate) fn push_as(&self, seq: u64, frame: Frame) -> Fit {
        let mut queue = self.lock();
        if queue.ended.is_some() || seq < queue.next {
            return Fit::Known;
        }
        if seq > queue.next {
            return Fit::Gap;
        }
        queue.next += 1;
        let entry = Entry { frame, seq };
        queue.bytes += entry.cost();
        queue.entries.push_back(entry);
        drop(queue);
        self.changed.notify_waiters();
        Fit::Next
    }

    /// The last number that the member has for sure, and the last one that there is.
    pub(crate) fn progress(&self) -> (u64, u64) {
        let mut queue = self.lock();
        queue.done_bytes = 0;
        (queue.done, queue.next - 1)
    }

    /// Bytes that the member has for sure since somebody asked for its progress.
    pub(crate) fn done_bytes(&self) -> usize {
        self.lock().done_bytes
    }

    /// What the member may not have yet, and the number of the first of it.
    pub(crate) fn unfinished(&self) -> (u64, Vec<String>) {
        let queue = self.lock();
        let kept = || queue.entries.iter().filter(|entry| entry.seq != 0);
        let first = kept().next().map_or(queue.next, |entry| entry.seq);
        (
            first,
            kept()
                .map(|entry| entry.frame.as_str().to_owned())
                .collect(),
        )
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.lock().ended.is_some()
    }

    /// Ends the present connection with this; the member may come back.
    pub(crate) fn dismiss(&self, closing: Closing) {
        self.lock().dismissed = Some(Box::new(closing));
        self.changed.notify_waiters();
    }

    /// A new connection takes the place of the last one: everything up to `ack` has arrived, the rest
    /// follows again behind `first`.
    pub(crate) fn attach(
        &self,
        ack: Option<u64>,
        first: Option<&ServerMessage>,
    ) -> Result<CarrierId, Refusal> {
        let mut queue = self.lock();
        if let Some(closing) = &queue.ended {
            let message = format!("it ended with {}", closing.reason);
            return Err(Refusal::new(ErrorCode::ResumeFailed, message));
        }
        if let Some(ack) = ack {
            let kept = queue.entries.iter().find(|entry| entry.seq != 0);
            let oldest = kept.map_or(queue.next, |entry| entry.seq);
            if ack.saturating_add(1) < oldest {
                return Err(Refusal::new(
                    ErrorCode::ResumeFailed,
                    format!("what follows number {ack} was acknowledged before and is gone"),
                ));
            }
            queue.acknowledge(ack)?;
        }
        queue.taken = 0;
        if let Some(first) = first {
            // What concerned the last connection; between polls there is no other one.
            queue.forget_asides();
            let entry = Entry {
                frame: Frame::new(first),
                seq: 0,
            };
            queue.bytes += entry.cost();
            queue.entries.push_front(entry);
        }
        queue.dismissed = None;
        queue.carrier += 1;
        let carrier = queue.carrier;
        drop(queue);
        self.changed.notify_waiters();
        Ok(carrier)
    }

    /// Whether this is the connection that counts.
    pub(crate) fn is_carried_by(&self, carrier: CarrierId) -> bool {
        self.lock().carrier == carrier
    }

    /// Everything up to this number has arrived.
    pub(crate) fn acknowledge(&self, seq: u64) -> Result<(), Refusal> {
        self.lock().acknowledge(seq)
    }

    /// The member has to go; its connection is told this. The first reason counts.
    pub(crate) fn end(&self, closing: Closing) {
        self.lock().end(closing);
        self.changed.notify_waiters();
    }

    /// The next frame for this carrier, as soon as there is one, or why there is none any more.
    /// Cancelled, it has taken nothing.
    pub(crate) async fn next(&self, carrier: CarrierId) -> Result<Outgoing, Closing> {
        loop {
            let changed = self.changed.notified();
            if let Some(result) = self.take(carrier) {
                return result;
            }
            changed.await;
        }
    }

    /// The next frame for this carrier, if there is one.
    pub(crate) fn take(&self, carrier: CarrierId) -> Option<Result<Outgoing, Closing>> {
        let mut queue = self.lock();
        if let Some(closing) = queue.over(carrier) {
            return Some(Err(closing));
        }
        let index = queue.taken;
        let Entry { frame, seq } = queue.entries.get(index)?;
        if *seq == 0 || !queue.numbered {
            let entry = queue.entries.remove(index)?;
            queue.bytes -= entry.cost();
            queue.finish(&entry);
            queue.give_back();
            return Some(Ok(Outgoing {
                seq: None,
                frame: entry.frame,
            }));
        }
        let outgoing = Outgoing {
            seq: Some(*seq),
            frame: frame.numbered(*seq),
        };
        queue.taken += 1;
        Some(Ok(outgoing))
    }

    /// Waits until this carrier has nothing to do here any more. To be awaited by the task that takes,
    /// when it is busy with one frame.
    pub(crate) async fn over(&self, carrier: CarrierId) -> Closing {
        loop {
            let changed = self.changed.notified();
            if let Some(closing) = self.lock().over(carrier) {
                return closing;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue
            .lock()
            .expect("nothing panics while it holds a mailbox")
    }
}

impl Queue {
    fn over(&self, carrier: CarrierId) -> Option<Closing> {
        if self.carrier != carrier {
            return Some(Closing::refused(&Refusal::new(
                ErrorCode::TakenOver,
                "another connection came with the same token",
            )));
        }
        let over = self.ended.as_ref().or(self.dismissed.as_ref());
        over.map(|closing| Closing::clone(closing))
    }

    fn finish(&mut self, entry: &Entry) {
        if entry.seq != 0 {
            self.done = entry.seq;
            self.done_bytes += entry.cost();
        }
    }

    fn end(&mut self, closing: Closing) {
        if self.ended.is_none() {
            self.entries = VecDeque::new();
            (self.bytes, self.taken) = (0, 0);
            self.ended = Some(Box::new(closing));
        }
    }

    fn acknowledge(&mut self, seq: u64) -> Result<(), Refusal> {
        if seq >= self.next {
            return Err(Refusal::new(
                ErrorCode::BadMessage,
                format!("number {seq} was acknowledged but never sent"),
            ));
        }
        while let Some(entry) = self.entries.front()
            && (1..=seq).contains(&entry.seq)
            && let Some(entry) = self.entries.pop_front()
        {
            self.bytes -= entry.cost();
            self.taken = self.taken.saturating_sub(1);
            self.finish(&entry);
        }
        self.give_back();
        Ok(())
    }

    fn forget_asides(&mut self) {
        self.entries.retain(|entry| entry.seq != 0);
        self.bytes = self.entries.iter().map(Entry::cost).sum();
    }

    fn give_back(&mut self) {
        if self.entries.is_empty() && self.entries.capacity() > KEPT_PLACES {
            self.entries = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_somebody_else_have_to_fit() {
        for numbered in [true, false] {
            let mailbox = Mailbox::from(numbered, 7);
            let carrier = mailbox.attach(None, None).unwrap();
            assert_eq!(mailbox.push_as(8, chat(8)), Fit::Gap);
            assert_eq!(mailbox.push_as(7, chat(7)), Fit::Next);
            assert_eq!(mailbox.push_as(7, chat(7)), Fit::Known);
            assert_eq!(mailbox.push_as(8, chat(8)), Fit::Next);
            assert_eq!(mailbox.progress(), (6, 8));
            assert_eq!(mailbox.unfinished().0, 7);
            let expected: &[u64] = if numbered { &[7, 8] } else { &[0, 0] };
            assert_eq!(taken(&mailbox, carrier), expected);
            if numbered {
                assert_eq!(
                    mailbox.unfinished(),
                    (7, vec![r#"{"n":7}"#.into(), r#"{"n":8}"#.into()])
                );
                mailbox.acknowledge(8).unwrap();
            }
            assert!(mailbox.done_bytes() > 0);
            assert_eq!(mailbox.progress(), (8, 8));
            assert_eq!(
                (mailbox.done_bytes(), mailbox.unfinished()),
                (0, (9, Vec::new()))
            );
        }
    }

    #[test]
    fn who_is_dismissed_may_come_back() {
        let (mailbox, first) = open(true);
        mailbox.push(chat(1));
        mailbox.dismiss(Closing::draining());
        assert_eq!(mailbox.take(first).unwrap().unwrap_err().close_code, 4503);
        let second = mailbox.attach(Some(0), None).unwrap();
        assert_eq!(taken(&mailbox, second), [1]);
    }

    fn text(length: usize) -> Frame {
        Frame(vec![b'x'; length].into())
    }

    fn open(numbered: bool) -> (Mailbox, CarrierId) {
        let mailbox = Mailbox::new(numbered);
        let carrier = mailbox.attach(None, None).unwrap();
        (mailbox, carrier)
    }

    fn chat(number: u64) -> Frame {
        Frame(format!("{{\"n\":{number}}}").into_bytes().into())
    }

    /// The numbers of everything that can be taken now.
    fn taken(mailbox: &Mailbox, carrier: CarrierId) -> Vec<u64> {
        std::iter::from_fn(|| mailbox.take(carrier))
            .map(|outgoing| outgoing.unwrap().seq.unwrap_or(0))
            .collect()
    }

    #[tokio::test]
    async fn keeps_order_and_survives_cancellation() {
        let (mailbox, carrier) = open(false);
        mailbox.push(text(1));
        mailbox.push(text(2));
        assert_eq!(mailbox.next(carrier).await.unwrap().frame.len(), 1);
        assert_eq!(mailbox.next(carrier).await.unwrap().frame.len(), 2);
        tokio::select! {
            biased;
            _ = mailbox.next(carrier) => panic!("there is nothing"),
            () = std::future::ready(()) => {}
        }
        mailbox.push(text(3));
        assert_eq!(mailbox.next(carrier).await.unwrap().frame.len(), 3);
        assert_eq!(mailbox.lock().bytes, 0);
    }

    #[tokio::test]
    async fn overflow_frees_the_memory_and_is_final() {
        let (mailbox, carrier) = open(false);
        let frame = text(64 * 1024);
        for _ in 0..3 {
            assert!(!mailbox.push(frame.clone()));
        }
        let rest = OUTBOX_BYTES - 3 * 65_536 - 4 * FRAME_OVERHEAD;
        assert!(!mailbox.push(text(rest)), "exactly full");
        assert!(mailbox.push(text(0)));
        assert_eq!(mailbox.over(carrier).await.reason, "slow-consumer");
        assert!(!mailbox.push(frame));
        assert_eq!(mailbox.lock().entries.capacity(), 0);
        for _ in 0..2 {
            let closing = mailbox.next(carrier).await.unwrap_err();
            assert_eq!(closing.close_code, 4008);
        }
        let refusal = mailbox.attach(Some(0), None).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::ResumeFailed);
    }

    #[test]
    fn empty_frames_are_bounded_too() {
        for numbered in [false, true] {
            let (mailbox, carrier) = open(numbered);
            for _ in 0..10_000 {
                mailbox.push(text(0));
            }
            assert!(matches!(mailbox.take(carrier), Some(Err(_))));
        }
    }

    #[test]
    fn what_was_not_acknowledged_comes_again_behind_the_answer() {
        let (mailbox, first) = open(true);
        for number in 1..=4 {
            mailbox.push(chat(number));
        }
        mailbox.push_aside(&ServerMessage::Pong);
        assert_eq!(taken(&mailbox, first), [1, 2, 3, 4, 0]);
        mailbox.acknowledge(2).unwrap();
        mailbox.push_aside(&ServerMessage::Pong);
        mailbox.push(chat(5));
        let second = mailbox.attach(Some(3), Some(&ServerMessage::Pong)).unwrap();
        assert_eq!(taken(&mailbox, second), [0, 4, 5]);
        let closing = mailbox.take(first).unwrap().unwrap_err();
        assert_eq!((closing.close_code, closing.reason), (4411, "taken-over"));
        mailbox.acknowledge(5).unwrap();
        assert_eq!(mailbox.lock().bytes, 0);
        mailbox.push(chat(6));
        let again = mailbox.take(second).unwrap().unwrap();
        assert_eq!(again.frame.as_str(), r#"{"seq":6,"n":6}"#);
    }

    #[test]
    fn acknowledgements_that_cannot_be() {
        let (mailbox, _) = open(true);
        mailbox.push(chat(1));
        mailbox.push(chat(2));
        let code = |result: Result<_, Refusal>| result.map(|_| ()).unwrap_err().code;
        assert_eq!(
            code(mailbox.acknowledge(3).map(|()| 0)),
            ErrorCode::BadMessage
        );
        assert_eq!(
            code(mailbox.attach(Some(u64::MAX - 1), None)),
            ErrorCode::BadMessage
        );
        mailbox.acknowledge(2).unwrap();
        mailbox.acknowledge(1).unwrap();
        assert_eq!(code(mailbox.attach(Some(1), None)), ErrorCode::ResumeFailed);
        mailbox.attach(Some(2), None).unwrap();
    }
}
