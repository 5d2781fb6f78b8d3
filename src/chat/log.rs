//! What was said, numbered, and what of it is kept.

use super::message::{Kind, Message};
use std::collections::VecDeque;

/// Messages that are kept, for those who come back.
pub(super) const MAX_ENTRIES: usize = 4096;

/// Bytes of text that are kept.
pub(super) const MAX_BYTES: usize = 4 << 20;

/// Messages of before that somebody new is shown.
pub(super) const HISTORY: u64 = 256;

/// One message of the room.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) from: u32,
    pub(super) name: String,
    pub(super) at: u64,
    pub(super) kind: Kind,
    pub(super) text: String,
}

/// The newest messages, numbered from 1.
#[derive(Debug, Default)]
pub(super) struct Log {
    entries: VecDeque<Entry>,
    /// The number of the last one that is not kept any more.
    gone: u64,
    bytes: usize,
}

impl Log {
    pub(super) fn push(&mut self, entry: Entry) {
        self.bytes += entry.text.len();
        self.entries.push_back(entry);
    }

    /// The number of the newest message.
    pub(super) fn last(&self) -> u64 {
        self.gone + self.entries.len() as u64
    }

    /// The number of the last message that is not kept.
    pub(super) fn gone(&self) -> u64 {
        self.gone
    }

    pub(super) fn get(&self, n: u64) -> Option<&Entry> {
        let index = n.checked_sub(self.gone + 1)?;
        self.entries.get(usize::try_from(index).ok()?)
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= MAX_ENTRIES || self.bytes >= MAX_BYTES
    }

    /// Makes room, as far as everybody has what goes: everything up to the number `taken`.
    pub(super) fn trim(&mut self, taken: u64) {
        while self.is_full() && self.gone < taken {
            let Some(entry) = self.entries.pop_front() else {
                return;
            };
            self.bytes -= entry.text.len();
            self.gone += 1;
        }
    }
}

impl Entry {
    pub(super) fn said(&self, n: u64) -> Message {
        Message::Said {
            n,
            from: self.from,
            name: self.name.clone(),
            at: self.at,
            kind: self.kind,
            text: self.text.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bytes: usize) -> Entry {
        Entry {
            from: 0,
            name: "a".into(),
            at: 0,
            kind: Kind::Text,
            text: "x".repeat(bytes),
        }
    }

    #[test]
    fn the_newest_are_kept_and_none_that_somebody_lacks_goes() {
        let mut log = Log::default();
        for _ in 0..MAX_ENTRIES + 10 {
            log.push(entry(1));
        }
        assert!(log.is_full() && log.gone() == 0);
        log.trim(5);
        assert!(log.is_full() && log.gone() == 5);
        assert!(log.get(5).is_none() && log.get(6).is_some());
        log.trim(u64::MAX);
        // One more fits now.
        assert!(!log.is_full());
        assert_eq!(log.last(), MAX_ENTRIES as u64 + 10);
        assert!(log.get(log.last()).is_some() && log.get(log.last() + 1).is_none());
        assert!(log.get(0).is_none());
    }

    #[test]
    fn large_messages_count_by_their_bytes() {
        let mut log = Log::default();
        for _ in 0..600 {
            log.push(entry(8192));
            log.trim(u64::MAX);
        }
        assert_eq!(log.last(), 600);
        assert_eq!(log.bytes, (log.last() - log.gone()) as usize * 8192);
        assert!(log.bytes < MAX_BYTES);
    }
}
