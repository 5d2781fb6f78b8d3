//! What the sender gives to which of its receivers: pure.
//!
//! The sender's uplink is what there is least of, so every block leaves it once, to whoever has room first,
//! and the receivers pass it on among themselves. What they cannot get from each other, or not soon, they get
//! from the sender.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::blocks::{BlockMap, BlockSet, Span, extend, highest, lowest};
use crate::transfer::digest::{Digest, FileDigest, TransferDigest};
use crate::transfer::kept::Kept;
use crate::transfer::manifest::{Kind, Manifest};

/// What receivers bring each other within this time is left to them.
const SOON: Duration = Duration::from_secs(1);

/// Digests in one message: 43 KiB of text.
const MOST_DIGESTS: usize = 1024;

/// Others that one receiver is introduced to.
pub(in crate::transfer) const MOST_HELPERS: usize = 8;

/// Blocks one after the other, and their digests.
pub(in crate::transfer) type Known = (u32, Vec<Digest>);

/// What a receiver gets next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transfer) enum Next {
    /// This block.
    Block(u32),
    /// Nothing for now: others have what it lacks, or it lacks nothing.
    Wait,
}

/// Something is not what it was when it was read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transfer) struct Changed;

#[derive(Debug)]
pub(in crate::transfer) struct Plan {
    manifest: Arc<Manifest>,
    map: Arc<BlockMap>,
    /// Of what was read or compared so far.
    digests: Vec<Option<Digest>>,
    /// Blocks in the order in which their digests became known.
    known: Vec<u32>,
    /// Blocks of each file that were not read yet.
    unread: Vec<u32>,
    /// What somebody has, or is being sent.
    touched: BlockSet,
    members: BTreeMap<u32, Member>,
    whole: Option<Digest>,
}

#[derive(Debug)]
struct Member {
    /// What the sender has given it.
    sent: BlockSet,
    /// What it has verified.
    has: BlockSet,
    /// Others that it reaches.
    links: BTreeSet<u32>,
    /// Others that it was told of.
    introduced: BTreeSet<u32>,
    /// Whether it exchanges blocks at all.
    shares: bool,
    /// How much of `known` it was told.
    told: usize,
    /// What it verified lately.
    recent: VecDeque<(Instant, u64)>,
    /// Bytes that it neither has nor was sent.
    missing: u64,
}

impl Plan {
    pub(in crate::transfer) fn new(manifest: Arc<Manifest>, map: Arc<BlockMap>) -> Self {
        let unread =
            (0..manifest.entries().len() as u32).map(|file| map.of_file(file).len() as u32);
        let mut plan = Self {
            digests: vec![None; map.count() as usize],
            known: Vec::new(),
            unread: unread.collect(),
            touched: BlockSet::none(&map),
            members: BTreeMap::new(),
            whole: None,
            manifest,
            map,
        };
        plan.finish();
        plan
    }

    pub(in crate::transfer) fn map(&self) -> &Arc<BlockMap> {
        &self.map
    }

    /// A receiver accepted, with these blocks of an earlier attempt, of which the sender has compared the
    /// digests. Returns whom to introduce to it.
    pub(in crate::transfer) fn join(
        &mut self,
        member: u32,
        shares: bool,
        kept: &Kept,
    ) -> Result<Vec<u32>, Changed> {
        let mut joined = Member {
            sent: BlockSet::none(&self.map),
            has: BlockSet::none(&self.map),
            links: BTreeSet::new(),
            introduced: BTreeSet::new(),
            shares,
            told: 0,
            recent: VecDeque::new(),
            missing: self.manifest.bytes(),
        };
        for (id, digest) in kept.iter() {
            if let Some(number) = self.map.number(id) {
                self.read(number, digest)?;
                joined.has.insert(number);
                self.touched.insert(number);
                joined.missing -= u64::from(self.map.bytes(number));
            }
        }
        let willing = |(number, other): (&u32, &mut Member)| {
            (other.shares && other.introduced.len() < MOST_HELPERS).then(|| {
                other.introduced.insert(member);
                *number
            })
        };
        let others: Vec<u32> = match shares {
            true => self
                .members
                .iter_mut()
                .rev()
                .filter_map(willing)
                .take(MOST_HELPERS)
                .collect(),
            false => Vec::new(),
        };
        joined.introduced.extend(&others);
        self.members.insert(member, joined);
        Ok(others)
    }

    /// A receiver is gone, and with it what only it had.
    pub(in crate::transfer) fn leave(&mut self, member: u32) {
        self.members.remove(&member);
        let mut touched = BlockSet::none(&self.map);
        for other in self.members.values_mut() {
            other.links.remove(&member);
            other.introduced.remove(&member);
            for number in other.sent.iter().chain(other.has.iter()) {
                touched.insert(number);
            }
        }
        self.touched = touched;
    }

    /// Whether these two were told of each other.
    pub(in crate::transfer) fn are_introduced(&self, one: u32, other: u32) -> bool {
        let member = self.members.get(&one);
        member.is_some_and(|member| member.introduced.contains(&other))
    }

    /// A receiver reaches another one, or does not any more.
    pub(in crate::transfer) fn link(&mut self, member: u32, other: u32, up: bool) {
        if !self.are_introduced(member, other) {
            return;
        }
        if let Some(member) = self.members.get_mut(&member) {
            match up {
                true => member.links.insert(other),
                false => member.links.remove(&other),
            };
        }
    }

    /// A receiver has verified these blocks; `false` if they do not exist, or it has said so before: a few words
    /// stand for many blocks.
    pub(in crate::transfer) fn got(&mut self, now: Instant, member: u32, spans: &[Span]) -> bool {
        let Some(member) = self.members.get_mut(&member) else {
            return true;
        };
        for span in spans {
            if !self.map.holds(*span) {
                return false;
            }
            for number in span.0..span.0 + span.1 {
                if !member.has.insert(number) {
                    return false;
                }
                let bytes = u64::from(self.map.bytes(number));
                member.recent.push_back((now, bytes));
                if !member.sent.contains(number) {
                    member.missing -= bytes;
                }
                self.touched.insert(number);
            }
        }
        member.forget(now);
        true
    }

    /// What a receiver gets next.
    pub(in crate::transfer) fn next(&mut self, now: Instant, number: u32) -> Next {
        let Some(member) = self.members.get_mut(&number) else {
            return Next::Wait;
        };
        member.forget(now);
        let soon: u64 = member.recent.iter().map(|(_, bytes)| bytes).sum();
        let member = &self.members[&number];
        let words = 0..member.has.words();
        let last = !0u64 >> ((64 - self.map.count() % 64) % 64);
        let exist = |at: usize| if at + 1 == words.end { last } else { !0 };
        let lacks = |at: usize| !(member.sent.word(at) | member.has.word(at)) & exist(at);
        let fresh = |at: usize| lacks(at) & !self.touched.word(at);
        let others: Vec<&Member> = member
            .links
            .iter()
            .filter_map(|other| self.members.get(other))
            .collect();
        let elsewhere = |at: usize| {
            let has = others
                .iter()
                .map(|other| other.sent.word(at) | other.has.word(at));
            has.fold(0, |all, word| all | word)
        };
        // Who hands on what it gets, in order, should not have to hold much of it; it alone does not share.
        let first = |at: usize| if member.shares { fresh(at) } else { lacks(at) };
        let block = lowest(words.clone(), first)
            .or_else(|| lowest(words.clone(), |at| lacks(at) & !elsewhere(at)))
            .or_else(|| match member.missing > soon {
                // From the other end than what it asks others for.
                true => highest(words.clone(), lacks),
                false => None,
            });
        let Some(block) = block else {
            return Next::Wait;
        };
        self.touched.insert(block);
        if let Some(member) = self.members.get_mut(&number) {
            member.sent.insert(block);
            member.missing -= u64::from(self.map.bytes(block));
        }
        Next::Block(block)
    }

    /// Whether the sender has given it this block.
    pub(in crate::transfer) fn was_sent(&self, member: u32, block: u32) -> bool {
        let member = self.members.get(&member);
        member.is_some_and(|member| member.sent.contains(block))
    }

    /// A block was read: whether its file has been read now.
    pub(in crate::transfer) fn read(
        &mut self,
        block: u32,
        digest: Digest,
    ) -> Result<bool, Changed> {
        let (Some(known), Some(id)) = (self.digests.get_mut(block as usize), self.map.id(block))
        else {
            return Ok(false);
        };
        if known.is_some_and(|known| known != digest) {
            return Err(Changed);
        }
        if known.replace(digest).is_some() {
            return Ok(false);
        }
        self.known.push(block);
        let unread = &mut self.unread[id.file as usize];
        *unread -= 1;
        let whole = *unread == 0;
        self.finish();
        Ok(whole)
    }

    /// The digest of a file of which everything was read.
    pub(in crate::transfer) fn file(&self, file: u32) -> Option<Digest> {
        let mut digest = FileDigest::default();
        for (block, number) in (0..).zip(self.map.of_file(file)) {
            digest.add(block, self.digests[number as usize]?);
        }
        Some(digest.finish())
    }

    /// The digest of the transfer, once everything was read.
    pub(in crate::transfer) fn whole(&self) -> Option<Digest> {
        self.whole
    }

    /// The same, once this receiver may be told: one that gets nothing from others was sent everything.
    pub(in crate::transfer) fn whole_for(&self, member: u32) -> Option<Digest> {
        let member = self.members.get(&member)?;
        self.whole.filter(|_| member.shares || member.missing == 0)
    }

    fn finish(&mut self) {
        if self.known.len() < self.digests.len() {
            return;
        }
        let mut transfer = TransferDigest::default();
        for (index, entry) in (0..).zip(self.manifest.entries()) {
            match (entry.kind, self.file(index)) {
                (Kind::File { size }, Some(digest)) => {
                    transfer.file(entry.path.as_str(), size, digest);
                }
                _ => transfer.directory(entry.path.as_str()),
            }
        }
        self.whole = Some(transfer.finish());
    }

    /// Digests that a receiver should be told now: of what it may get from others.
    pub(in crate::transfer) fn tell(&mut self, number: u32) -> Vec<Known> {
        let Some(member) = self.members.get_mut(&number).filter(|member| member.shares) else {
            return Vec::new();
        };
        let mut news = Vec::new();
        while news.len() < MOST_DIGESTS
            && let Some(block) = self.known.get(member.told)
        {
            member.told += 1;
            if !member.sent.contains(*block) && !member.has.contains(*block) {
                news.push(*block);
            }
        }
        news.sort_unstable();
        let mut spans = Vec::new();
        for block in news {
            extend(&mut spans, block);
        }
        let digests = |Span(from, count): Span| {
            let digests = self.digests[from as usize..(from + count) as usize].iter();
            (from, digests.copied().flatten().collect())
        };
        spans.into_iter().map(digests).collect()
    }
}

impl Member {
    fn forget(&mut self, now: Instant) {
        let old = |(at, _): &(Instant, u64)| now.saturating_duration_since(*at) > SOON;
        while self.recent.front().is_some_and(old) {
            self.recent.pop_front();
        }
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
