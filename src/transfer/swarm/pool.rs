//! Which block a receiver asks which other one for, and what it hands out: pure.
//!
//! Only blocks whose digests the sender has told are asked for, each of one helper at a time, beginning
//! anywhere: so receivers ask different ones for different blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::blocks::{BlockMap, BlockSet, Span, extend, lowest};
use crate::transfer::digest::Digest;
use crate::transfer::error::TransferError;

/// Bytes and blocks that one helper is asked for at a time: 40 MiB a second at 100 ms. One block may be larger.
const MOST_BYTES: u64 = 4 << 20;
const MOST_ASKED: usize = 64;

/// Bytes that all helpers together are asked for; they wait in memory until they are whole.
const MOST_IN_ALL: u64 = 16 << 20;

/// A helper that was asked and gives nothing for this long is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Blocks that a helper may want at a time; it asks for at most [`MOST_ASKED`].
const MOST_WANTED: usize = 2 * MOST_ASKED;

/// A helper said what none says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transfer) struct Misbehaved(pub(in crate::transfer) &'static str);

#[derive(Debug)]
pub(in crate::transfer) struct Pool {
    map: Arc<BlockMap>,
    mine: BlockSet,
    /// Blocks whose digests are known.
    known: BlockSet,
    digests: Vec<Option<Digest>>,
    /// Asked for, or on its way to the disk.
    busy: BlockSet,
    helpers: BTreeMap<u32, Helper>,
    /// What the sender was not told yet.
    news: Vec<Span>,
}

#[derive(Debug)]
struct Helper {
    has: BlockSet,
    asked: BTreeSet<u32>,
    asked_bytes: u64,
    /// When it last gave something, or began to be asked.
    moved: Instant,
    wanted: BTreeSet<u32>,
    /// What it was not told yet.
    news: Vec<Span>,
}

impl Pool {
    pub(in crate::transfer) fn new(map: Arc<BlockMap>) -> Self {
        Self {
            mine: BlockSet::none(&map),
            known: BlockSet::none(&map),
            digests: vec![None; map.count() as usize],
            busy: BlockSet::none(&map),
            helpers: BTreeMap::new(),
            news: Vec::new(),
            map,
        }
    }

    pub(in crate::transfer) fn map(&self) -> &BlockMap {
        &self.map
    }

    /// The sender says what blocks are.
    pub(in crate::transfer) fn digests(
        &mut self,
        from: u32,
        digests: &[Digest],
    ) -> Result<(), TransferError> {
        let span = Span(from, digests.len() as u32);
        if !self.map.holds(span) {
            return Err(TransferError::protocol(
                "digests of blocks that do not exist",
            ));
        }
        for (number, digest) in (from..).zip(digests) {
            self.known.insert(number);
            self.digests[number as usize] = Some(*digest);
        }
        Ok(())
    }

    /// A block is verified, from wherever it came.
    pub(in crate::transfer) fn got(&mut self, number: u32) {
        self.busy.remove(number);
        if !self.mine.insert(number) {
            return;
        }
        extend(&mut self.news, number);
        for helper in self.helpers.values_mut() {
            // It does not want what it has.
            if !helper.has.contains(number) {
                extend(&mut helper.news, number);
            }
        }
    }

    /// A block is here of an earlier attempt; the sender knows it.
    pub(in crate::transfer) fn kept(&mut self, number: u32) {
        self.mine.insert(number);
    }

    /// What came of a block that the disk was given did not make it ours.
    pub(in crate::transfer) fn settled(&mut self, number: u32) {
        self.busy.remove(number);
    }

    /// What the sender should be told; up to `most` spans.
    pub(in crate::transfer) fn news(&mut self, most: usize) -> Vec<Span> {
        let rest = self.news.len().min(most);
        self.news.drain(..rest).collect()
    }

    /// What a helper should be told.
    pub(in crate::transfer) fn news_for(&mut self, helper: u32, most: usize) -> Vec<Span> {
        let Some(helper) = self.helpers.get_mut(&helper) else {
            return Vec::new();
        };
        let rest = helper.news.len().min(most);
        helper.news.drain(..rest).collect()
    }

    /// A helper is there.
    pub(in crate::transfer) fn add(&mut self, now: Instant, helper: u32) {
        let added = Helper {
            has: BlockSet::none(&self.map),
            asked: BTreeSet::new(),
            asked_bytes: 0,
            moved: now,
            wanted: BTreeSet::new(),
            news: self.mine.spans(),
        };
        self.helpers.insert(helper, added);
    }

    /// It is gone: what it was asked for can be asked of others.
    pub(in crate::transfer) fn remove(&mut self, helper: u32) {
        if let Some(gone) = self.helpers.remove(&helper) {
            for number in gone.asked {
                self.busy.remove(number);
            }
        }
    }

    /// It says what it has.
    pub(in crate::transfer) fn has(
        &mut self,
        helper: u32,
        spans: &[Span],
    ) -> Result<(), Misbehaved> {
        let Some(helper) = self.helpers.get_mut(&helper) else {
            return Ok(());
        };
        for span in spans {
            if !self.map.holds(*span) {
                return Err(Misbehaved("it has blocks that do not exist"));
            }
            for number in span.0..span.0 + span.1 {
                // A few words stand for many blocks: said again and again, they would keep us busy.
                if !helper.has.insert(number) {
                    return Err(Misbehaved("it says twice what it has"));
                }
            }
        }
        Ok(())
    }

    /// The next block to ask a helper for, looked for from `start` on.
    pub(in crate::transfer) fn ask(
        &mut self,
        now: Instant,
        helper: u32,
        start: u32,
    ) -> Option<u32> {
        let in_all: u64 = self.helpers.values().map(|helper| helper.asked_bytes).sum();
        let helper = self.helpers.get_mut(&helper)?;
        let full = helper.asked_bytes >= MOST_BYTES || in_all >= MOST_IN_ALL;
        if full || helper.asked.len() >= MOST_ASKED {
            return None;
        }
        let wanted = |at: usize| {
            helper.has.word(at) & self.known.word(at) & !self.mine.word(at) & !self.busy.word(at)
        };
        let (words, start) = (self.mine.words(), start as usize / 64);
        let start = if start < words { start } else { 0 };
        let number = lowest(start..words, wanted).or_else(|| lowest(0..start, wanted))?;
        if helper.asked.is_empty() {
            helper.moved = now;
        }
        helper.asked.insert(number);
        helper.asked_bytes += u64::from(self.map.bytes(number));
        self.busy.insert(number);
        Some(number)
    }

    /// Whether a helper was asked for a block, and gave a part of it.
    pub(in crate::transfer) fn is_asked(&mut self, now: Instant, helper: u32, number: u32) -> bool {
        let helper = self.helpers.get_mut(&helper);
        let asked = helper.filter(|helper| helper.asked.contains(&number));
        asked.map(|helper| helper.moved = now).is_some()
    }

    /// It has given all of it: what its digest must be.
    pub(in crate::transfer) fn answered(&mut self, helper: u32, number: u32) -> Option<Digest> {
        self.unask(helper, number).then_some(())?;
        self.digests[number as usize]
    }

    /// It cannot give it.
    pub(in crate::transfer) fn refused(
        &mut self,
        helper: u32,
        number: u32,
    ) -> Result<(), Misbehaved> {
        if !self.unask(helper, number) {
            return Err(Misbehaved("it refuses what it was not asked for"));
        }
        self.busy.remove(number);
        if let Some(helper) = self.helpers.get_mut(&helper) {
            helper.has.remove(number);
        }
        Ok(())
    }

    fn unask(&mut self, helper: u32, number: u32) -> bool {
        let bytes = u64::from(self.map.bytes(number));
        let Some(helper) = self.helpers.get_mut(&helper) else {
            return false;
        };
        let asked = helper.asked.remove(&number);
        if asked {
            helper.asked_bytes -= bytes;
        }
        asked
    }

    /// A helper wants a block, which then has to be [served](Self::served).
    pub(in crate::transfer) fn wants(
        &mut self,
        helper: u32,
        number: u32,
    ) -> Result<(), Misbehaved> {
        if !self.mine.contains(number) {
            return Err(Misbehaved("it wants what is not here"));
        }
        let Some(helper) = self.helpers.get_mut(&helper) else {
            return Ok(());
        };
        if helper.wanted.len() >= MOST_WANTED {
            return Err(Misbehaved("it wants too much at a time"));
        }
        match helper.wanted.insert(number) {
            true => Ok(()),
            false => Err(Misbehaved("it wants a block twice")),
        }
    }

    /// It got it, or will not.
    pub(in crate::transfer) fn served(&mut self, helper: u32, number: u32) {
        if let Some(helper) = self.helpers.get_mut(&helper) {
            helper.wanted.remove(&number);
        }
    }

    /// Whether somebody waits for something from us.
    pub(in crate::transfer) fn is_wanted(&self) -> bool {
        self.helpers
            .values()
            .any(|helper| !helper.wanted.is_empty())
    }

    /// A helper that was asked and gives nothing.
    pub(in crate::transfer) fn stalled(&self, now: Instant) -> Option<u32> {
        let stalled = |(_, helper): &(&u32, &Helper)| {
            !helper.asked.is_empty() && now.saturating_duration_since(helper.moved) >= PATIENCE
        };
        self.helpers.iter().find(stalled).map(|(number, _)| *number)
    }

    /// When to look for one.
    pub(in crate::transfer) fn deadline(&self) -> Option<Instant> {
        let asked = self
            .helpers
            .values()
            .filter(|helper| !helper.asked.is_empty());
        asked.map(|helper| helper.moved + PATIENCE).min()
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
