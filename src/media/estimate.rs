//! What a path carries, by what the other side says of each packet that arrived (transport-wide congestion control,
//! draft-holmer-rmcat-transport-wide-cc-extensions-01).
//!
//! The engine's Google Congestion Control (draft-ietf-rmcat-gcc-02) does the estimating, and this only bounds it: a sender
//! that sends less than it may learns nothing of what the path could carry, so the estimate does not rise above half as
//! much again as really arrived. The simulation in the tests says what that is worth.

use rtc::interceptor::{BandwidthEstimator, EstimatorStats, Gcc, PacketReport};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Bits a second that are tried at first, and between which an estimate stays: less is no picture, and no encoder
/// of ours makes more.
const START: f64 = 500_000.0;
const LEAST: f64 = 60_000.0;
const MOST: f64 = 4_000_000.0;

/// How far an estimate may be above what arrives, and what it may always be.
const HEADROOM: f64 = 1.5;
const SPARE: f64 = 30_000.0;

/// What arrives is counted for so long.
const WINDOW: Duration = Duration::from_secs(1);

/// Bits a second; `None` until the other side said something.
pub(crate) type Estimate = watch::Receiver<Option<u64>>;

/// Estimates one path, and tells whoever watches.
pub(crate) struct Estimator {
    gcc: Gcc,
    target: f64,
    /// When packets were said to have arrived, and their bytes.
    arrived: VecDeque<(Instant, usize)>,
    first: Option<Instant>,
    told: watch::Sender<Option<u64>>,
}

impl Estimator {
    pub(crate) fn new() -> (Self, Estimate) {
        let (told, estimate) = watch::channel(None);
        let estimator = Self {
            gcc: Gcc::new(START, LEAST, MOST),
            target: START,
            arrived: VecDeque::new(),
            first: None,
            told,
        };
        (estimator, estimate)
    }

    /// Bits a second that arrived of late.
    fn received(&mut self, now: Instant) -> f64 {
        while let Some((at, _)) = self.arrived.front()
            && now.saturating_duration_since(*at) > WINDOW
        {
            self.arrived.pop_front();
        }
        let bytes: usize = self.arrived.iter().map(|(_, size)| size).sum();
        let since = self.first.map(|first| now.saturating_duration_since(first));
        let span = since.unwrap_or_default().clamp(WINDOW / 4, WINDOW);
        8.0 * bytes as f64 / span.as_secs_f64()
    }
}

impl BandwidthEstimator for Estimator {
    fn on_reports(&mut self, now: Instant, reports: &[PacketReport]) {
        if reports.is_empty() {
            return;
        }
        self.first.get_or_insert(now);
        let arrived = reports.iter().filter(|report| report.arrived);
        self.arrived
            .extend(arrived.map(|report| (now, report.size)));
        self.gcc.on_reports(now, reports);
        let most = (HEADROOM * self.received(now) + SPARE).max(self.target);
        self.target = self.gcc.target_bitrate().min(most);
        self.told.send_replace(Some(self.target as u64));
    }

    fn target_bitrate(&self) -> f64 {
        self.target
    }

    fn stats(&self) -> EstimatorStats {
        self.gcc.stats()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::link::{Link, LinkConfig};
    use proptest::prelude::*;

    /// Bytes of a packet, and how often frames and reports are made.
    const PACKET: usize = 1_200;
    const FRAME: Duration = Duration::from_micros(33_333);
    const REPORT: Duration = Duration::from_millis(100);
    const STEP: Duration = Duration::from_millis(1);

    /// An encoder that does what it is told at once, over a link.
    struct Simulation {
        link: Link,
        estimator: Estimator,
        start: Instant,
        now: Instant,
        id: u64,
        /// Of other senders, bits a second.
        cross: f64,
        /// What the encoder makes at most.
        content: f64,
        owed: f64,
        cross_owed: f64,
        sent: VecDeque<(u64, Instant, Option<Instant>)>,
        delays: Vec<(Duration, Duration)>,
        targets: Vec<(Duration, f64)>,
        next_frame: Instant,
        next_report: Instant,
    }

    impl Simulation {
        fn new(config: LinkConfig) -> Self {
            let start = Instant::now();
            Self {
                link: Link::new(config),
                estimator: Estimator::new().0,
                start,
                now: start,
                id: 0,
                cross: 0.0,
                content: MOST,
                owed: 0.0,
                cross_owed: 0.0,
                sent: VecDeque::new(),
                delays: Vec::new(),
                targets: Vec::new(),
                next_frame: start,
                next_report: start + REPORT,
            }
        }

        fn run(&mut self, seconds: u64) -> &mut Self {
            let end = self.now + Duration::from_secs(seconds);
            while self.now < end {
                self.now += STEP;
                self.cross_owed += self.cross / 8_000.0;
                while self.cross_owed >= PACKET as f64 {
                    self.cross_owed -= PACKET as f64;
                    self.link.send(self.now, PACKET);
                }
                if self.now >= self.next_frame {
                    self.next_frame += FRAME;
                    self.frame();
                }
                if self.now >= self.next_report {
                    self.next_report += REPORT;
                    self.report();
                }
            }
            self
        }

        fn frame(&mut self) {
            let rate = self.estimator.target_bitrate().min(self.content);
            self.owed += rate / 8.0 * FRAME.as_secs_f64();
            while self.owed >= PACKET as f64 {
                self.owed -= PACKET as f64;
                let [arrival, _] = self.link.send(self.now, PACKET);
                if let Some(arrival) = arrival {
                    let at = self.now - self.start;
                    self.delays.push((at, arrival - self.now));
                }
                self.sent.push_back((self.id, self.now, arrival));
                self.id += 1;
            }
        }

        /// What had arrived up to 20 ms ago, which the report took, and what was lost before it.
        fn report(&mut self) {
            let known = self.now - Duration::from_millis(20);
            let newest = self
                .sent
                .iter()
                .filter(|(_, _, at)| at.is_some_and(|at| at <= known));
            let Some(newest) = newest.map(|(id, ..)| *id).max() else {
                return;
            };
            let mut reports = Vec::new();
            while let Some((id, departure, arrival)) = self.sent.front().copied()
                && id <= newest
            {
                self.sent.pop_front();
                reports.push(PacketReport {
                    ssrc: 1,
                    id,
                    rtp_sequence_number: id as u16,
                    is_twcc: true,
                    twcc_sequence_number: id as u16,
                    size: PACKET,
                    arrived: arrival.is_some(),
                    departure,
                    arrival: arrival.map(|at| at - self.start),
                    ecn: Default::default(),
                });
            }
            self.estimator.on_reports(self.now, &reports);
            self.targets
                .push((self.now - self.start, self.estimator.target_bitrate()));
        }

        /// The mean estimate in kbit/s, and the delay in ms that 19 of 20 packets stayed under, of so many last seconds.
        fn last(&self, seconds: u64) -> (u64, u64) {
            let from = (self.now - self.start) - Duration::from_secs(seconds);
            let targets: Vec<_> = self.targets.iter().filter(|(at, _)| *at >= from).collect();
            let sum: f64 = targets.iter().map(|(_, target)| target).sum();
            let mut delays: Vec<_> = self.delays.iter().filter(|(at, _)| *at >= from).collect();
            delays.sort_by_key(|(_, delay)| *delay);
            let (_, delay) = delays[delays.len() * 19 / 20];
            (
                (sum / targets.len() as f64 / 1_000.0) as u64,
                delay.as_millis() as u64,
            )
        }
    }

    fn link(kbits: u64) -> LinkConfig {
        LinkConfig {
            delay: Duration::from_millis(20),
            rate: Some(kbits * 125),
            // Half a second of it, as home routers have, and more.
            queue: (kbits * 62).max(20_000),
            ..LinkConfig::default()
        }
    }

    #[test]
    fn estimates_find_the_rate_of_a_link_and_leave_its_queue_short() {
        for (kbits, least, most, delay) in [(500, 300, 520, 250), (2_000, 1_200, 2_100, 200)] {
            let mut simulation = Simulation::new(link(kbits));
            let (found, p95) = simulation.run(60).last(30);
            println!("{kbits} kbit/s: {found} kbit/s, delay p95 {p95} ms");
            assert!((least..=most).contains(&found), "{found} of {kbits} kbit/s");
            assert!(p95 <= delay, "{p95} ms at {kbits} kbit/s");
        }
    }

    #[test]
    fn estimates_follow_a_link_down_and_up() {
        let mut simulation = Simulation::new(link(2_000));
        let (before, _) = simulation.run(40).last(10);
        simulation.link.set_rate(Some(500 * 125));
        let (down, p95) = simulation.run(10).last(5);
        simulation.link.set_rate(Some(2_000 * 125));
        let (up, _) = simulation.run(40).last(10);
        println!("{before}, then {down} kbit/s with {p95} ms, then {up} kbit/s");
        assert!(down <= 560, "{down} kbit/s of 500 after 5 s");
        assert!(up >= 1_200, "{up} kbit/s of 2,000 after 30 s");
    }

    #[test]
    fn loss_without_a_queue_is_not_taken_for_congestion() {
        let lossy = LinkConfig {
            loss: 0.05,
            ..link(2_000)
        };
        let (found, p95) = Simulation::new(lossy).run(60).last(30);
        println!("5 % loss: {found} kbit/s, delay p95 {p95} ms");
        // It must not fall; how far it rises is another thing.
        assert!(found >= 400, "{found} kbit/s");
    }

    #[test]
    fn other_senders_get_their_share() {
        let mut simulation = Simulation::new(link(2_000));
        simulation.run(30);
        simulation.cross = 1_000_000.0;
        let (found, p95) = simulation.run(30).last(15);
        println!("with 1 Mbit/s beside it: {found} kbit/s, delay p95 {p95} ms");
        assert!(
            (200..=1_150).contains(&found),
            "{found} kbit/s of what is left of 2,000"
        );
    }

    #[test]
    fn who_sends_little_learns_little() {
        let mut simulation = Simulation::new(link(4_000));
        simulation.content = 200_000.0;
        let (found, _) = simulation.run(60).last(10);
        assert!((200..=550).contains(&found), "{found} kbit/s");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_reports_give_an_estimate_within_its_bounds(
            batches in proptest::collection::vec(
                proptest::collection::vec((0u64..5_000, proptest::option::of(0u64..10_000), 0usize..70_000), 0..40),
                0..40,
            )
        ) {
            let start = Instant::now();
            let (mut estimator, told) = Estimator::new();
            let mut now = start;
            for batch in batches {
                now += REPORT;
                let reports: Vec<_> = batch.into_iter().map(|(departure, arrival, size)| PacketReport {
                    ssrc: 1,
                    id: 0,
                    rtp_sequence_number: 0,
                    is_twcc: true,
                    twcc_sequence_number: 0,
                    size,
                    arrived: arrival.is_some(),
                    departure: start + Duration::from_millis(departure),
                    arrival: arrival.map(Duration::from_millis),
                    ecn: Default::default(),
                }).collect();
                estimator.on_reports(now, &reports);
                let target = estimator.target_bitrate();
                prop_assert!((LEAST..=MOST).contains(&target), "{}", target);
            }
            if let Some(told) = *told.borrow() {
                prop_assert_eq!(told, estimator.target_bitrate() as u64);
            }
        }
    }
}
