//! Larger packets on a fresh lane to a browser, which answers no probes: whether they get through (protocol
//! section 3.5).

use crate::channel::FULL_MESSAGE;
use crate::channel::port::Progress;
use std::time::Duration;
use tokio::time::sleep;

/// Acknowledged bytes that are the proof: more than the ends of messages, which travel in shorter packets.
const PROOF: u64 = FULL_MESSAGE as u64;

/// How often that is looked at, and after how many looks in a row without any the size does not get through, or, once it is
/// proved, the lane is given up: SCTP waits at least 1 s before it repeats what was lost. Looks, because a process that was
/// stopped has looked at nothing.
const CHECK: Duration = Duration::from_millis(100);
const UNPROVED: u32 = 10;
const STUCK: u32 = 25;

/// What was seen so far: pure.
#[derive(Debug, Default)]
struct Seen {
    acknowledged: u64,
    looks: u32,
}

impl Seen {
    fn is_proved(&self) -> bool {
        self.acknowledged >= PROOF
    }

    /// Takes note of what is acknowledged by now, while something `waits` for it. Whether the lane is stuck.
    fn look(&mut self, waits: bool, acknowledged: u64) -> bool {
        self.looks = match !waits || acknowledged > self.acknowledged {
            true => 0,
            false => self.looks + 1,
        };
        self.acknowledged = self.acknowledged.max(acknowledged);
        self.looks >= if self.is_proved() { STUCK } else { UNPROVED }
    }
}

/// The trial of one lane.
#[derive(Debug)]
pub(super) struct Trial {
    progress: Progress,
    seen: Seen,
}

impl Trial {
    pub(super) fn new(progress: Progress) -> Self {
        Self {
            progress,
            seen: Seen::default(),
        }
    }

    /// Waits until something is on its way and nothing of it is acknowledged any more.
    pub(super) async fn stuck(&mut self) {
        loop {
            sleep(CHECK).await;
            if self.look().await {
                return;
            }
        }
    }

    async fn look(&mut self) -> bool {
        // A channel that is gone says nothing, and its lane ends by itself.
        match self.progress.look().await {
            Some((waits, acknowledged)) => self.seen.look(waits, acknowledged),
            None => false,
        }
    }

    /// Whether the lane, which is over, was before the size was proved. Connections of Chromium end at once over a packet
    /// that is too large. That somebody cancels in that moment looks the same, and costs no more than speed.
    pub(super) async fn failed(&mut self) -> bool {
        self.look().await;
        !self.seen.is_proved() && self.progress.was_cut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many looks at the same; how many until it was stuck.
    fn until_stuck(seen: &mut Seen, waits: bool, acknowledged: u64) -> Option<u32> {
        (1..=100).find(|_| seen.look(waits, acknowledged))
    }

    #[test]
    fn before_the_proof_a_second_of_silence_is_enough_and_afterwards_it_is_not() {
        let mut seen = Seen::default();
        assert_eq!(until_stuck(&mut seen, true, 0), Some(UNPROVED));
        let mut seen = Seen::default();
        // The short end of a message got through.
        assert!(!seen.look(true, PROOF - 1));
        assert_eq!(until_stuck(&mut seen, true, PROOF - 1), Some(UNPROVED));
        let mut seen = Seen::default();
        assert!(!seen.look(true, PROOF));
        assert!(seen.is_proved());
        assert_eq!(until_stuck(&mut seen, true, PROOF), Some(STUCK));
    }

    #[test]
    fn nothing_on_its_way_is_no_silence_and_progress_ends_one() {
        let mut seen = Seen::default();
        assert_eq!(until_stuck(&mut seen, false, 0), None);
        for acknowledged in 1..100 {
            for _ in 1..UNPROVED {
                assert!(!seen.look(true, acknowledged - 1));
            }
            assert!(!seen.look(true, acknowledged));
        }
        // What was counted too early is no loss of proof.
        assert!(!seen.look(true, 2 * PROOF) && !seen.look(true, 0));
        assert!(seen.is_proved());
    }
}
