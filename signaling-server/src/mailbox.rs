//! What waits to be sent to one member, and what was sent but may have to be sent again.

mod frame;
mod queue;

pub(crate) use frame::{Frame, Outgoing};

use crate::{closing::Closing, refusal::Refusal};
use queue::{Entry, Queue};
use signaling_protocol::{ErrorCode, ServerMessage, limits::OUTBOX_BYTES};
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
};
use tokio::sync::Notify;

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

#[cfg(test)]
mod tests;
