//! Larger packets on a fresh lane to a browser, which answers no probes: whether they get through (protocol
//! section 3.5).

use super::lane::FromLane;
use crate::channel::FULL_MESSAGE;
use crate::channel::port::Progress;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

/// Acknowledged bytes that are the proof: more than the ends of messages, which travel in shorter packets.
const PROOF: u64 = FULL_MESSAGE as u64;

/// How often that is looked at. Looks are counted and not time, because a process that was stopped has looked at nothing.
const CHECK: Duration = Duration::from_millis(100);

/// After so many looks in a row without any more a size that is not proved does not get through.
const UNPROVED: u32 = 10;

/// One that is proved is given up after so many, because SCTP waits at least 1 s before it repeats what was lost.
const STUCK: u32 = 25;

/// Or after so many, if meanwhile small packets were answered: these were sent at the looks [`ASK`], and each was answered
/// within [`PROMPT`] looks. An interruption of the path shows as a late answer.
const BLOCKED: u32 = 8;
const ASK: std::ops::RangeInclusive<u32> = 2..=4;
const PROMPT: u32 = 4;

/// That counts only where three packets of 8,000 bytes are lost, the largest that a browser takes, and where so much had come
/// through within [`BRISK`] looks before: a lane that had few packets on its way can lose all of them to chance.
const LOST: u64 = 24_000;
const MUCH: u64 = 1 << 16;
const BRISK: usize = 10;

/// What is on its way, and how much was acknowledged.
#[derive(Debug, Clone, Copy, Default)]
struct Sight {
    outstanding: u64,
    acknowledged: u64,
    /// Answers to small packets on the session's own connection, ever.
    pongs: u64,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Fine,
    /// Send something small on the session's own connection.
    Ask,
    Stuck,
}

/// What was seen so far: pure.
#[derive(Debug, Default)]
struct Seen {
    acknowledged: u64,
    /// In a row without progress.
    looks: u32,
    /// Acknowledged at each of the last looks with progress, the newest last.
    before: VecDeque<u64>,
    /// Answers that there were before anything was asked in this silence; and whether everything was answered promptly since.
    pongs: u64,
    prompt: bool,
}

impl Seen {
    fn is_proved(&self) -> bool {
        self.acknowledged >= PROOF
    }

    /// Takes note of how it is by now.
    fn look(&mut self, sight: Sight) -> Verdict {
        let Sight {
            outstanding,
            acknowledged,
            pongs,
        } = sight;
        if outstanding == 0 || acknowledged > self.acknowledged {
            self.acknowledged = self.acknowledged.max(acknowledged);
            self.looks = 0;
            self.before.push_back(self.acknowledged);
            if self.before.len() > BRISK {
                self.before.pop_front();
            }
            return Verdict::Fine;
        }
        self.looks += 1;
        if !self.is_proved() {
            return match self.looks >= UNPROVED {
                true => Verdict::Stuck,
                false => Verdict::Fine,
            };
        }
        if self.looks == *ASK.start() {
            (self.pongs, self.prompt) = (pongs, true);
        }
        let asked = ASK.filter(|asked| asked + PROMPT <= self.looks).count() as u64;
        self.prompt &= pongs.saturating_sub(self.pongs) >= asked;
        let blocked =
            self.looks >= BLOCKED && self.prompt && outstanding >= LOST && self.was_brisk();
        if blocked || self.looks >= STUCK {
            return Verdict::Stuck;
        }
        match ASK.contains(&self.looks) {
            true => Verdict::Ask,
            false => Verdict::Fine,
        }
    }

    fn was_brisk(&self) -> bool {
        let first = self.before.front().copied().unwrap_or(self.acknowledged);
        self.acknowledged - first >= MUCH
    }
}

/// The trial of one lane.
pub(super) struct Trial {
    progress: Progress,
    pongs: watch::Receiver<u64>,
    outbox: mpsc::Sender<FromLane>,
    seen: Seen,
}

impl Trial {
    /// `pongs` counts answers to pings, which the session is asked for through `outbox`.
    pub(super) fn new(
        progress: Progress,
        pongs: watch::Receiver<u64>,
        outbox: mpsc::Sender<FromLane>,
    ) -> Self {
        Self {
            progress,
            pongs,
            outbox,
            seen: Seen::default(),
        }
    }

    /// Waits until something is on its way and nothing of it is acknowledged any more.
    pub(super) async fn stuck(&mut self) {
        loop {
            sleep(CHECK).await;
            match self.look().await {
                Verdict::Fine => {}
                // overflow: no answer, and so no early verdict.
                Verdict::Ask => drop(self.outbox.try_send(FromLane::Ping)),
                Verdict::Stuck => return,
            }
        }
    }

    async fn look(&mut self) -> Verdict {
        // A channel that is gone says nothing, and its lane ends by itself.
        let Some((outstanding, acknowledged)) = self.progress.look().await else {
            return Verdict::Fine;
        };
        self.seen.look(Sight {
            outstanding,
            acknowledged,
            pongs: *self.pongs.borrow(),
        })
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

    fn waiting(acknowledged: u64) -> Sight {
        Sight {
            outstanding: LOST,
            acknowledged,
            pongs: 0,
        }
    }

    /// Looks at the same until it is stuck: at how many, and at which something was asked. `pongs` says how many answers there are by each.
    fn until_stuck(
        seen: &mut Seen,
        sight: Sight,
        pongs: impl Fn(u32) -> u64,
    ) -> (Option<u32>, Vec<u32>) {
        let mut asked = Vec::new();
        let stuck = (1..=100).find(|look| {
            let pongs = pongs(*look);
            match seen.look(Sight { pongs, ..sight }) {
                Verdict::Ask => asked.push(*look),
                Verdict::Fine => {}
                Verdict::Stuck => return true,
            }
            false
        });
        (stuck, asked)
    }

    /// A lane on which so much came through at each of the last looks.
    fn after(each: u64) -> (Seen, Sight) {
        let mut seen = Seen::default();
        let mut acknowledged = PROOF;
        for _ in 0..20 {
            acknowledged += each;
            assert_eq!(seen.look(waiting(acknowledged)), Verdict::Fine);
        }
        (seen, waiting(acknowledged))
    }

    #[test]
    fn before_the_proof_a_second_of_silence_is_enough_and_afterwards_it_is_not() {
        let never = |_| 0;
        let mut seen = Seen::default();
        assert_eq!(until_stuck(&mut seen, waiting(0), never).0, Some(UNPROVED));
        let mut seen = Seen::default();
        // The short end of a message got through.
        assert_eq!(seen.look(waiting(PROOF - 1)), Verdict::Fine);
        assert_eq!(
            until_stuck(&mut seen, waiting(PROOF - 1), never).0,
            Some(UNPROVED)
        );
        let mut seen = Seen::default();
        assert_eq!(seen.look(waiting(PROOF)), Verdict::Fine);
        assert!(seen.is_proved());
        assert_eq!(until_stuck(&mut seen, waiting(PROOF), never).0, Some(STUCK));
    }

    #[test]
    fn a_size_that_was_proved_is_given_up_within_a_second_while_small_packets_are_answered() {
        let (mut seen, sight) = after(MUCH);
        let at_once = |look: u32| u64::from(look.saturating_sub(*ASK.start()).min(3));
        let (stuck, asked) = until_stuck(&mut seen, sight, at_once);
        assert_eq!((stuck, asked), (Some(BLOCKED), vec![2, 3, 4]));
        assert!(CHECK * BLOCKED < Duration::from_secs(1));
        // As late as it may be.
        let (mut seen, sight) = after(MUCH);
        let late = |look: u32| u64::from(look.saturating_sub(ASK.start() + PROMPT - 1).min(3));
        assert_eq!(until_stuck(&mut seen, sight, late).0, Some(BLOCKED));
    }

    #[test]
    fn an_interruption_of_the_path_a_slow_lane_and_the_end_of_a_file_are_no_such_thing() {
        let at_once = |look: u32| u64::from(look.saturating_sub(*ASK.start()).min(3));
        // Nothing came back for a while, and then everything.
        let (mut seen, sight) = after(MUCH);
        let interrupted = |look: u32| if look < 7 { 0 } else { 3 };
        assert_eq!(until_stuck(&mut seen, sight, interrupted).0, Some(STUCK));
        // Few packets are on their way at a time.
        let (mut seen, sight) = after(MUCH / 20);
        assert_eq!(until_stuck(&mut seen, sight, at_once).0, Some(STUCK));
        let (mut seen, sight) = after(MUCH);
        let outstanding = LOST - 1;
        let end = Sight {
            outstanding,
            ..sight
        };
        assert_eq!(until_stuck(&mut seen, end, at_once).0, Some(STUCK));
    }

    #[test]
    fn each_silence_needs_answers_of_its_own() {
        let (mut seen, sight) = after(MUCH);
        for pongs in [0, 0, 1, 2, 3] {
            assert_ne!(seen.look(Sight { pongs, ..sight }), Verdict::Stuck);
        }
        // There is progress again, and then none, and nothing is answered.
        let sight = Sight {
            acknowledged: sight.acknowledged + MUCH,
            ..sight
        };
        assert_eq!(seen.look(sight), Verdict::Fine);
        assert_eq!(until_stuck(&mut seen, sight, |_| 3).0, Some(STUCK));
    }

    #[test]
    fn nothing_on_its_way_is_no_silence_and_progress_ends_one() {
        let mut seen = Seen::default();
        let idle = Sight::default();
        assert_eq!(until_stuck(&mut seen, idle, |_| 9), (None, Vec::new()));
        for acknowledged in 1..100 {
            for _ in 1..UNPROVED {
                assert_eq!(seen.look(waiting(acknowledged - 1)), Verdict::Fine);
            }
            assert_eq!(seen.look(waiting(acknowledged)), Verdict::Fine);
        }
        // What was counted too early is no loss of proof.
        assert_eq!(seen.look(waiting(2 * PROOF)), Verdict::Fine);
        assert_ne!(seen.look(waiting(0)), Verdict::Stuck);
        assert!(seen.is_proved());
    }
}
