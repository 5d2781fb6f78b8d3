//! How much may be on its way to the receiver: `docs/protocol.md` section 5.1.
//!
//! SCTP has a window too, but it is one for the whole connection: a disk that is slower than the network
//! would close it for control messages and heartbeats as well. So a receiver says what it can hold.

use crate::channel::MAX_MESSAGE;
use crate::transfer::error::TransferError;

/// Bytes of lane messages, counted on both sides.
#[derive(Debug, Default)]
pub(super) struct Flow {
    window: Option<u64>,
    sent: u64,
    taken: u64,
}

impl Flow {
    /// `window` as the receiver said it; without one there is no limit.
    pub(super) fn new(window: Option<u64>) -> Self {
        // Room for less than one message would stop the transfer for ever.
        let window = window.map(|window| window.max(MAX_MESSAGE as u64));
        Self {
            window,
            sent: 0,
            taken: 0,
        }
    }

    /// Whether a message of this length may be sent now.
    pub(super) fn allows(&self, length: usize) -> bool {
        self.window
            .is_none_or(|window| self.sent - self.taken + length as u64 <= window)
    }

    /// A message was sent.
    pub(super) fn sent(&mut self, length: usize) {
        self.sent += length as u64;
    }

    /// So much of what was sent will never be taken: its lane is gone.
    pub(super) fn lost(&mut self, bytes: u64) {
        self.sent -= bytes.min(self.sent - self.taken);
    }

    /// Bytes that the receiver has taken.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// The receiver said how much it has taken.
    pub(super) fn credit(&mut self, taken: u64) -> Result<(), TransferError> {
        if taken < self.taken || taken > self.sent {
            return Err(TransferError::protocol("credit for what was not sent"));
        }
        self.taken = taken;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_opens_with_credit() {
        let mut flow = Flow::new(Some(100_000));
        assert!(flow.allows(60_000));
        flow.sent(60_000);
        assert!(flow.allows(40_000) && !flow.allows(40_001));
        flow.credit(20_000).unwrap();
        assert!(flow.allows(60_000) && !flow.allows(60_001));
    }

    #[test]
    fn what_a_lost_lane_carried_does_not_fill_the_window_for_ever() {
        let mut flow = Flow::new(Some(100_000));
        flow.sent(90_000);
        flow.credit(10_000).unwrap();
        flow.lost(70_000);
        assert!(flow.allows(90_000) && !flow.allows(90_001));
        flow.lost(u64::MAX);
        assert_eq!(flow.taken(), 10_000);
    }

    #[test]
    fn impossible_credit_and_windows_stop_nothing_silently() {
        let mut flow = Flow::new(Some(0));
        assert!(flow.allows(MAX_MESSAGE));
        flow.sent(10);
        assert!(flow.credit(11).is_err());
        flow.credit(10).unwrap();
        assert!(flow.credit(9).is_err());
        assert!(Flow::new(None).allows(usize::MAX));
    }
}
