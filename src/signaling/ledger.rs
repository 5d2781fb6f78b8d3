//! What was sent and may be lost, what came and must not come twice.

use signaling_protocol::ClientMessage;
use signaling_protocol::limits::{ACK_BYTES, ACK_DELAY, ACK_MESSAGES};
use std::collections::VecDeque;
use std::time::Instant;

/// Messages that are kept for sending them again. The server acknowledges every sixteenth, so this leaves
/// room for 48 on the way; full, sending waits.
const KEPT: usize = 64;

/// Both directions of a membership that survives its connections. Without numbers it keeps nothing.
#[derive(Debug)]
pub(super) struct Ledger {
    numbered: bool,
    next: u64,
    kept: VecDeque<(u64, ClientMessage)>,
    got: u64,
    owed: u32,
    owed_bytes: usize,
    owed_since: Option<Instant>,
}

/// What to do with a message that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    New,
    /// It came before.
    Again,
    /// One in between is missing.
    Gap,
}

impl Ledger {
    pub(super) fn new(numbered: bool) -> Self {
        Self {
            numbered,
            next: 1,
            kept: VecDeque::new(),
            got: 0,
            owed: 0,
            owed_bytes: 0,
            owed_since: None,
        }
    }

    /// Whether another message may be sent before the server acknowledges some.
    pub(super) fn has_room(&self) -> bool {
        self.kept.len() < KEPT
    }

    /// Gives a message its number, if it has one, and keeps it.
    pub(super) fn number(&mut self, message: &ClientMessage) -> Option<u64> {
        if !self.numbered || !message.is_numbered() {
            return None;
        }
        let seq = self.next;
        self.next += 1;
        self.kept.push_back((seq, message.clone()));
        Some(seq)
    }

    /// The server has everything up to this number; `false` if that was never sent.
    pub(super) fn acknowledged(&mut self, seq: u64) -> bool {
        while self.kept.front().is_some_and(|(kept, _)| *kept <= seq) {
            self.kept.pop_front();
        }
        seq < self.next
    }

    /// What the server may not have.
    pub(super) fn unacknowledged(&self) -> impl Iterator<Item = &(u64, ClientMessage)> {
        self.kept.iter()
    }

    /// The number of the last message that came.
    pub(super) fn got(&self) -> u64 {
        self.got
    }

    pub(super) fn arrived(&mut self, seq: Option<u64>, bytes: usize, now: Instant) -> Arrival {
        match seq {
            None => return Arrival::New,
            Some(seq) if seq <= self.got => return Arrival::Again,
            Some(seq) if seq > self.got + 1 => return Arrival::Gap,
            Some(seq) => self.got = seq,
        }
        self.owed += 1;
        self.owed_bytes += bytes;
        self.owed_since.get_or_insert(now);
        Arrival::New
    }

    /// When an acknowledgement is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let since = self.owed_since?;
        let much = self.owed >= ACK_MESSAGES || self.owed_bytes >= ACK_BYTES;
        Some(if much { since } else { since + ACK_DELAY })
    }

    /// The acknowledgement that is due now.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<ClientMessage> {
        if self.deadline()? > now {
            return None;
        }
        self.settled();
        Some(ClientMessage::Ack { seq: self.got })
    }

    /// Everything that came was acknowledged, as by coming back.
    pub(super) fn settled(&mut self) {
        (self.owed, self.owed_bytes, self.owed_since) = (0, 0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat() -> ClientMessage {
        ClientMessage::Chat {
            to: None,
            content: String::new(),
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_goes_with_the_acknowledgement() {
        let mut ledger = Ledger::new(true);
        for seq in 1..=KEPT as u64 {
            assert!(ledger.has_room());
            assert_eq!(ledger.number(&chat()), Some(seq));
        }
        assert!(!ledger.has_room());
        assert!(ledger.acknowledged(16) && ledger.has_room());
        let kept: Vec<u64> = ledger.unacknowledged().map(|(seq, _)| *seq).collect();
        assert_eq!(kept, (17..=KEPT as u64).collect::<Vec<_>>());
        assert!(!ledger.acknowledged(1000), "never sent");
        assert_eq!(ledger.number(&ClientMessage::Ping), None);
        let mut plain = Ledger::new(false);
        assert_eq!(plain.number(&chat()), None);
        assert_eq!(plain.unacknowledged().count(), 0);
    }

    #[test]
    fn what_came_twice_is_told_from_what_is_missing() {
        let now = Instant::now();
        let mut ledger = Ledger::new(true);
        for (seq, expected) in [
            (Some(1), Arrival::New),
            (Some(1), Arrival::Again),
            (Some(3), Arrival::Gap),
            (None, Arrival::New),
            (Some(2), Arrival::New),
            (Some(0), Arrival::Again),
        ] {
            assert_eq!(ledger.arrived(seq, 1, now), expected, "{seq:?}");
        }
        assert_eq!(ledger.got(), 2);
    }

    #[test]
    fn acknowledges_soon_or_when_it_is_much() {
        let now = Instant::now();
        for (messages, bytes, at_once) in [(1, 10, false), (16, 10, true), (1, ACK_BYTES, true)] {
            let mut ledger = Ledger::new(true);
            for seq in 1..=messages {
                ledger.arrived(Some(seq), bytes, now);
            }
            assert_eq!(
                ledger.take_due(now).is_some(),
                at_once,
                "{messages} {bytes}"
            );
            let later = ledger.take_due(now + ACK_DELAY);
            let expected = (!at_once).then_some(ClientMessage::Ack { seq: messages });
            assert_eq!(later, expected);
            assert_eq!(ledger.deadline(), None);
        }
    }
}
