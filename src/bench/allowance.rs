//! What a follower lets its leader ask for. Pure.

use super::message::Step;
use super::{BenchError, LONGEST};
use crate::net::packet::{BASE, SIZES};
use crate::transfer::MAX_LANES;
use std::time::Duration;

/// Measurements in one session.
const STEPS: u32 = 128;

/// Sending, of all measurements together.
const ALTOGETHER: Duration = Duration::from_secs(30 * 60);

/// What is left of what a leader may ask for.
#[derive(Debug)]
pub(super) struct Allowance {
    next: u32,
    left: Duration,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            next: 0,
            left: ALTOGETHER,
        }
    }
}

impl Allowance {
    /// Takes a measurement from it.
    ///
    /// # Errors
    /// It is out of turn, or more than may be asked for.
    pub(super) fn admit(&mut self, step: &Step) -> Result<(), BenchError> {
        let allowed = |allowed: bool, otherwise| match allowed {
            true => Ok(()),
            false => Err(BenchError::Protocol(otherwise)),
        };
        allowed(step.step == self.next, "a measurement is out of turn")?;
        allowed(self.next < STEPS, "it asks for too many measurements")?;
        allowed(
            (1..=MAX_LANES).contains(&step.lanes),
            "it asks for a number of lanes that cannot be",
        )?;
        allowed(
            step.packet == 0 || (BASE..=SIZES[0]).contains(&step.packet),
            "it asks for a packet size that cannot be",
        )?;
        let duration = step.duration();
        allowed(
            !duration.is_zero() && duration <= LONGEST,
            "it asks for a duration that cannot be",
        )?;
        let left = self.left.checked_sub(duration);
        self.left = left.ok_or(BenchError::Protocol("it measures for too long"))?;
        self.next += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::Side;
    use super::*;

    fn step(step: u32) -> Step {
        Step {
            step,
            sender: Side::Leader,
            lanes: 1,
            packet: 0,
            millis: 1000,
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (wrong, right) in [
            (Step { step: 1, ..step(0) }, step(0)),
            (
                Step {
                    lanes: 0,
                    ..step(0)
                },
                step(0),
            ),
            (
                Step {
                    lanes: MAX_LANES + 1,
                    ..step(0)
                },
                Step {
                    lanes: MAX_LANES,
                    ..step(0)
                },
            ),
            (
                Step {
                    packet: BASE - 1,
                    ..step(0)
                },
                Step {
                    packet: BASE,
                    ..step(0)
                },
            ),
            (
                Step {
                    packet: 16_377,
                    ..step(0)
                },
                Step {
                    packet: 16_376,
                    ..step(0)
                },
            ),
            (
                Step {
                    millis: 0,
                    ..step(0)
                },
                Step {
                    millis: 1,
                    ..step(0)
                },
            ),
            (
                Step {
                    millis: 60_001,
                    ..step(0)
                },
                Step {
                    millis: 60_000,
                    ..step(0)
                },
            ),
        ] {
            let mut allowance = Allowance::default();
            assert!(allowance.admit(&wrong).is_err(), "{wrong:?}");
            assert_eq!(allowance.admit(&right), Ok(()), "{right:?}");
        }
    }

    #[test]
    fn there_is_an_end_to_it() {
        let mut allowance = Allowance::default();
        let admitted = (0..)
            .take_while(|number| allowance.admit(&step(*number)).is_ok())
            .count();
        assert_eq!(admitted, STEPS as usize);

        let mut allowance = Allowance::default();
        let long = |number| Step {
            millis: 60_000,
            ..step(number)
        };
        let admitted = (0..)
            .take_while(|number| allowance.admit(&long(*number)).is_ok())
            .count();
        assert_eq!(admitted, 30);
    }
}
