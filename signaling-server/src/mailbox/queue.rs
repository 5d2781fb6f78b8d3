//! What is in a mailbox.

use super::{CarrierId, Frame};
use crate::{closing::Closing, refusal::Refusal};
use signaling_protocol::ErrorCode;
use std::collections::VecDeque;

/// What a queued frame costs besides its text, so that tiny frames are bounded too.
pub(super) const FRAME_OVERHEAD: usize = 64;

/// A queue that remembers more than this many free places is given back to the allocator when it
/// runs empty: most peers are idle most of the time.
const KEPT_PLACES: usize = 8;

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) entries: VecDeque<Entry>,
    pub(super) bytes: usize,
    /// Entries in front that the carrier has taken and that wait for an acknowledgement.
    pub(super) taken: usize,
    /// The number of the next numbered frame.
    pub(super) next: u64,
    pub(super) numbered: bool,
    pub(super) carrier: CarrierId,
    pub(super) ended: Option<Box<Closing>>,
    /// What the present carrier is told; the member may come back.
    pub(super) dismissed: Option<Box<Closing>>,
    /// The last message that the member has for sure, and the bytes of those since somebody asked.
    pub(super) done: u64,
    pub(super) done_bytes: usize,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) frame: Frame,
    /// 0 for what concerns one connection only and is not sent again. Others are counted for members that
    /// get no numbers, too.
    pub(super) seq: u64,
}

impl Entry {
    pub(super) fn cost(&self) -> usize {
        self.frame.len() + FRAME_OVERHEAD
    }
}

impl Queue {
    pub(super) fn over(&self, carrier: CarrierId) -> Option<Closing> {
        if self.carrier != carrier {
            return Some(Closing::refused(&Refusal::new(
                ErrorCode::TakenOver,
                "another connection came with the same token",
            )));
        }
        let over = self.ended.as_ref().or(self.dismissed.as_ref());
        over.map(|closing| Closing::clone(closing))
    }

    pub(super) fn finish(&mut self, entry: &Entry) {
        if entry.seq != 0 {
            self.done = entry.seq;
            self.done_bytes += entry.cost();
        }
    }

    pub(super) fn end(&mut self, closing: Closing) {
        if self.ended.is_none() {
            self.entries = VecDeque::new();
            (self.bytes, self.taken) = (0, 0);
            self.ended = Some(Box::new(closing));
        }
    }

    pub(super) fn acknowledge(&mut self, seq: u64) -> Result<(), Refusal> {
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

    pub(super) fn forget_asides(&mut self) {
        self.entries.retain(|entry| entry.seq != 0);
        self.bytes = self.entries.iter().map(Entry::cost).sum();
    }

    pub(super) fn give_back(&mut self) {
        if self.entries.is_empty() && self.entries.capacity() > KEPT_PLACES {
            self.entries = VecDeque::new();
        }
    }
}
