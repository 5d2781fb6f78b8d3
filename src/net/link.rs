//! A link as an emulator sees it: what happens to one datagram, decided by a seeded generator.
//!
//! Pure: time and lengths in, departure times out. The same seed and the same sequence of calls give
//! the same fates.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::time::{Duration, Instant};

/// How a link treats datagrams. The default is a perfect link.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkConfig {
    /// One-way delay.
    pub delay: Duration,
    /// Each datagram is delayed by up to this much more, evenly spread.
    pub jitter: Duration,
    /// Share of datagrams that vanish, 0 to 1.
    pub loss: f64,
    /// How many of them vanish in a row, on average (Gilbert's model); 1, or 0, is each for itself.
    pub burst: u32,
    /// Bytes a second; `None` is unlimited.
    pub rate: Option<u64>,
    /// Bytes that may wait for the rate; more are dropped, as a router does.
    pub queue: u64,
    /// Share of datagrams that overtake nothing for a while: delayed by a further `delay` or 5 ms.
    pub reorder: f64,
    /// Share of datagrams that arrive twice, 0 to 1.
    pub duplicate: f64,
    /// Longer datagrams vanish, as on a path whose routers tell nobody; `None` carries all.
    pub mtu: Option<usize>,
    /// Seed of every random decision.
    pub seed: u64,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: 0.0,
            burst: 1,
            rate: None,
            // 256 KiB: about 20 ms of 100 Mbit/s, a common router's buffer.
            queue: 256 << 10,
            reorder: 0.0,
            duplicate: 0.0,
            mtu: None,
            seed: 1,
        }
    }
}

/// What a link has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Datagrams given to the link.
    pub sent: u64,
    /// Datagrams that vanished by loss or outage.
    pub lost: u64,
    /// Datagrams dropped because the queue was full.
    pub overflowed: u64,
    /// Datagrams delivered twice.
    pub duplicated: u64,
    /// Datagrams that vanished because they were too long.
    pub oversized: u64,
}

/// The state of one direction of a link.
#[derive(Debug)]
pub struct Link {
    config: LinkConfig,
    random: StdRng,
    /// When the last datagram will have left the rate limiter.
    free_at: Option<Instant>,
    outage: bool,
    /// The last one was lost, in a burst.
    losing: bool,
    stats: LinkStats,
}

impl Link {
    /// A link in the given condition.
    pub fn new(config: LinkConfig) -> Self {
        let random = StdRng::seed_from_u64(config.seed);
        Self {
            config,
            random,
            free_at: None,
            outage: false,
            losing: false,
            stats: LinkStats::default(),
        }
    }

    /// Starts or ends a total outage.
    pub fn set_outage(&mut self, outage: bool) {
        self.outage = outage;
    }

    /// From now on so many bytes a second pass; `None` is unlimited. What waits goes at the old rate.
    pub fn set_rate(&mut self, rate: Option<u64>) {
        self.config.rate = rate;
    }

    /// From now on longer datagrams vanish.
    pub fn set_mtu(&mut self, mtu: Option<usize>) {
        self.config.mtu = mtu;
    }

    /// What happened so far.
    pub fn stats(&self) -> LinkStats {
        self.stats
    }

    /// Decides the fate of a datagram of `len` bytes sent at `now`: the times at which it arrives,
    /// none if it is lost, two if it is duplicated.
    pub fn send(&mut self, now: Instant, len: usize) -> [Option<Instant>; 2] {
        self.stats.sent += 1;
        // Every datagram draws the same number of values, so that one that is lost does not change
        // the fate of the next.
        let [loss, reorder, duplicate, jitter] =
            std::array::from_fn(|_| self.random.random::<f64>());
        let lost = self.loses(loss);
        if self.outage || lost {
            self.stats.lost += 1;
            return [None, None];
        }
        if self.config.mtu.is_some_and(|mtu| len > mtu) {
            self.stats.oversized += 1;
            return [None, None];
        }
        let Some(departure) = self.depart(now, len) else {
            self.stats.overflowed += 1;
            return [None, None];
        };
        let mut arrival = departure + self.config.delay + self.config.jitter.mul_f64(jitter);
        if reorder < self.config.reorder {
            arrival += self.config.delay.max(Duration::from_millis(5));
        }
        if duplicate >= self.config.duplicate {
            return [Some(arrival), None];
        }
        self.stats.duplicated += 1;
        [Some(arrival), Some(arrival)]
    }

    /// Whether a datagram that drew this is lost. With bursts the link is good or bad, and goes over from one to the other
    /// so often that the share and the mean length of a burst are what was asked for.
    fn loses(&mut self, draw: f64) -> bool {
        let share = self.config.loss;
        if self.config.burst <= 1 || share >= 1.0 {
            return draw < share;
        }
        let end = 1.0 / f64::from(self.config.burst);
        let begin = (end * share / (1.0 - share)).min(1.0);
        self.losing = draw < if self.losing { 1.0 - end } else { begin };
        self.losing
    }

    /// When the datagram has left the rate limiter, or `None` if its queue is full.
    fn depart(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let Some(rate) = self.config.rate else {
            return Some(now);
        };
        let start = self.free_at.map_or(now, |free_at| free_at.max(now));
        let waiting = start.duration_since(now).as_secs_f64() * rate as f64;
        if waiting + len as f64 > self.config.queue as f64 {
            return None;
        }
        let departure = start + Duration::from_secs_f64(len as f64 / rate as f64);
        self.free_at = Some(departure);
        Some(departure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(config: LinkConfig, datagrams: usize) -> (Vec<[Option<Duration>; 2]>, LinkStats) {
        let start = Instant::now();
        let mut link = Link::new(config);
        let fates = (0..datagrams)
            .map(|_| link.send(start, 1000).map(|at| at.map(|at| at - start)))
            .collect();
        (fates, link.stats())
    }

    #[test]
    fn a_seed_repeats_every_decision() {
        let config = LinkConfig {
            loss: 0.1,
            jitter: Duration::from_millis(9),
            duplicate: 0.1,
            reorder: 0.1,
            ..LinkConfig::default()
        };
        assert_eq!(run(config.clone(), 500), run(config.clone(), 500));
        assert_ne!(
            run(config.clone(), 500).0,
            run(LinkConfig { seed: 2, ..config }, 500).0
        );
    }

    #[test]
    fn shares_are_what_was_asked_for() {
        let config = LinkConfig {
            loss: 0.05,
            duplicate: 0.02,
            ..LinkConfig::default()
        };
        let (_, stats) = run(config, 20_000);
        assert!((900..1100).contains(&stats.lost), "{stats:?}");
        assert!((320..440).contains(&stats.duplicated), "{stats:?}");
    }

    #[test]
    fn bursts_are_as_long_as_was_asked_for() {
        let config = LinkConfig {
            loss: 0.05,
            burst: 8,
            ..LinkConfig::default()
        };
        let (fates, stats) = run(config, 100_000);
        assert!((4_300..5_700).contains(&stats.lost), "{stats:?}");
        let lost = fates.iter().map(|fate| fate[0].is_none());
        let lost: Vec<bool> = lost.collect();
        let bursts = lost
            .windows(2)
            .filter(|pair| pair == &[false, true])
            .count();
        let length = stats.lost as f64 / bursts as f64;
        assert!((7.0..9.0).contains(&length), "{length} in a row");
        let all = LinkConfig {
            loss: 1.0,
            burst: 8,
            ..LinkConfig::default()
        };
        assert_eq!(run(all, 100).1.lost, 100);
    }

    #[test]
    fn the_rate_spaces_datagrams_and_the_queue_overflows() {
        let config = LinkConfig {
            rate: Some(1_000_000),
            queue: 10_000,
            delay: Duration::from_millis(50),
            ..LinkConfig::default()
        };
        let (fates, stats) = run(config, 12);
        assert_eq!(fates[0][0], Some(Duration::from_millis(51)));
        assert_eq!(fates[9][0], Some(Duration::from_millis(60)));
        assert_eq!((fates[10], stats.overflowed), ([None, None], 2));
    }

    #[test]
    fn what_is_too_long_vanishes_from_the_moment_on() {
        let mut link = Link::new(LinkConfig::default());
        let now = Instant::now();
        assert_eq!(link.send(now, 16_384), [Some(now), None]);
        link.set_mtu(Some(1_500));
        assert_eq!(link.send(now, 1_501), [None, None]);
        assert_eq!(link.send(now, 1_500), [Some(now), None]);
        assert_eq!((link.stats().oversized, link.stats().lost), (1, 0));
    }

    #[test]
    fn an_outage_drops_everything_until_it_ends() {
        let mut link = Link::new(LinkConfig::default());
        let now = Instant::now();
        link.set_outage(true);
        assert_eq!(link.send(now, 1), [None, None]);
        link.set_outage(false);
        assert_eq!(link.send(now, 1), [Some(now), None]);
    }
}
