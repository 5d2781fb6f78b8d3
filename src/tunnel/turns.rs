//! Whose turn it is to send. Pure.

use std::collections::{HashSet, VecDeque};

/// Streams in order, each at most once.
#[derive(Debug, Default)]
pub(super) struct Turns {
    order: VecDeque<u32>,
    waiting: HashSet<u32>,
}

impl Turns {
    /// Puts a stream behind all others, unless it waits already.
    pub(super) fn push(&mut self, id: u32) {
        if self.waiting.insert(id) {
            self.order.push_back(id);
        }
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whose turn it is.
    pub(super) fn pop(&mut self) -> Option<u32> {
        let id = self.order.pop_front()?;
        self.waiting.remove(&id);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_waits_once() {
        let mut turns = Turns::default();
        for id in [1, 2, 1, 3, 2] {
            turns.push(id);
        }
        assert_eq!(turns.pop(), Some(1));
        turns.push(1);
        let rest: Vec<_> = std::iter::from_fn(|| turns.pop()).collect();
        assert_eq!(rest, [2, 3, 1]);
    }
}
