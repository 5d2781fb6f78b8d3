//! How fast it goes and how long it still takes: a smoothed meter, and the bar that shows it.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::patience::patiently;
use super::size::{Bytes, Rate, Span};

/// Time constant of the smoothing: a burst or a pause fades over a few seconds, so that the time
/// left neither jumps nor lags behind a real change.
const SMOOTHING: Duration = Duration::from_secs(3);

/// Samples closer together than this are merged: two clock readings a microsecond apart would
/// make rates of terabytes per second.
const SHORTEST_SAMPLE: Duration = Duration::from_millis(50);

/// An exponentially weighted rate of a growing byte count. Pure: the clock is an argument.
#[derive(Debug)]
pub(crate) struct Meter {
    last: Instant,
    last_bytes: u64,
    rate: Option<f64>,
}

impl Meter {
    /// Starts at `bytes`, which a resumed transfer has already and which say nothing about speed.
    pub(crate) fn new(now: Instant, bytes: u64) -> Self {
        Self {
            last: now,
            last_bytes: bytes,
            rate: None,
        }
    }

    /// Takes in the total so far.
    pub(crate) fn update(&mut self, now: Instant, bytes: u64) {
        let elapsed = now.saturating_duration_since(self.last);
        if elapsed < SHORTEST_SAMPLE {
            return;
        }
        let sample = bytes.saturating_sub(self.last_bytes) as f64 / elapsed.as_secs_f64();
        let weight = 1.0 - (-elapsed.as_secs_f64() / SMOOTHING.as_secs_f64()).exp();
        self.rate = Some(match self.rate {
            Some(rate) => rate + weight * (sample - rate),
            None => sample,
        });
        self.last = now;
        self.last_bytes = bytes;
    }

    /// Bytes per second, smoothed; 0 while nothing was measured.
    pub(crate) fn rate(&self) -> f64 {
        self.rate.unwrap_or(0.0)
    }

    /// The time left until `total` at the present rate; `None` while it cannot be known.
    pub(crate) fn remaining(&self, total: u64) -> Option<Duration> {
        let seconds = total.saturating_sub(self.last_bytes) as f64 / self.rate?;
        // Beyond a year it is a stall, not an estimate.
        (seconds.is_finite() && seconds < 365.0 * 86_400.0)
            .then(|| Duration::from_secs_f64(seconds))
    }
}

/// Whether nobody knows how much there will be.
fn is_unknown(bytes: u64, total: u64) -> bool {
    total == 0 && bytes > 0
}

/// The figures beside the bar.
pub(crate) fn figures(meter: &Meter, bytes: u64, total: u64) -> String {
    if is_unknown(bytes, total) {
        return format!("{}  {}", Bytes(bytes), Rate(meter.rate()));
    }
    let done = format!(
        "{} of {}  {}",
        Bytes(bytes),
        Bytes(total),
        Rate(meter.rate())
    );
    match meter.remaining(total) {
        _ if bytes >= total => done,
        Some(left) => format!("{done}  {} left", Span(left)),
        None => done,
    }
}

/// The bar on the terminal. Dropping it takes it off the screen.
#[derive(Debug)]
pub(crate) struct Bar(ProgressBar);

impl Bar {
    pub(crate) fn new() -> Self {
        // Whoever shows it is not too quick. There is no ticker, so a bar that stands still costs nothing.
        let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr_with_hz(50));
        let style = ProgressStyle::with_template("[{bar:30}] {percent:>3} %  {msg}")
            .expect("the template is a constant and valid")
            .progress_chars("=> ");
        bar.set_style(style);
        Self(bar)
    }

    /// Shows `bytes` of `total` with these figures.
    pub(crate) fn show(&self, bytes: u64, total: u64, figures: String) {
        if is_unknown(bytes, total) {
            let plain = ProgressStyle::with_template("{msg}");
            self.0
                .set_style(plain.expect("the template is a constant and valid"));
        }
        patiently(false, || {
            // An empty transfer is a full bar, not a division by zero.
            if self.0.length() != Some(total.max(1)) {
                self.0.set_length(total.max(1));
            }
            self.0.set_message(figures);
            self.0
                .set_position(if total == 0 { 1 } else { bytes.min(total) });
        });
    }

    /// Shows a text in place of the figures.
    pub(crate) fn say(&self, text: &str) {
        patiently(false, || self.0.set_message(text.to_owned()));
    }

    /// Runs `print` with the bar off the screen.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        patiently(false, || self.0.suspend(print))
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        patiently(false, || self.0.finish_and_clear());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn a_steady_stream_shows_its_rate_and_the_time_left() {
        let start = Instant::now();
        let mut meter = Meter::new(start, 0);
        for step in 1..=20 {
            meter.update(after(start, step * 100), step * 10 * MIB);
        }
        assert!((meter.rate() - 100.0 * MIB as f64).abs() < MIB as f64);
        assert_eq!(
            meter.remaining(1200 * MIB).map(|left| left.as_secs()),
            Some(10)
        );
        assert_eq!(
            figures(&meter, 200 * MIB, 1200 * MIB),
            "200.0 MiB of 1.2 GiB  100.0 MiB/s  10 s left"
        );
    }

    #[test]
    fn a_stall_fades_to_nothing_and_has_no_end() {
        let start = Instant::now();
        let mut meter = Meter::new(start, 0);
        meter.update(after(start, 1000), 100 * MIB);
        meter.update(after(start, 4000), 100 * MIB);
        assert!(meter.rate() < 40.0 * MIB as f64);
        meter.update(after(start, 600_000), 100 * MIB);
        assert!(meter.rate() < 1.0);
        assert_eq!(meter.remaining(1 << 50), None);
    }

    #[test]
    fn what_was_there_before_does_not_count_as_speed() {
        let start = Instant::now();
        let mut meter = Meter::new(start, 900 * MIB);
        meter.update(after(start, 1000), 910 * MIB);
        assert!((meter.rate() - 10.0 * MIB as f64).abs() < 1.0);
    }

    #[test]
    fn hasty_or_backward_samples_are_harmless() {
        let start = Instant::now();
        let mut meter = Meter::new(start, 0);
        meter.update(start, MIB);
        assert_eq!(meter.rate(), 0.0);
        assert_eq!(meter.remaining(10), None);
        meter.update(after(start, 1000), MIB);
        meter.update(after(start, 2000), 0);
        assert!(meter.rate() >= 0.0);
        assert_eq!(figures(&Meter::new(start, 0), 5, 0), "5 B  0 B/s");
        assert_eq!(figures(&Meter::new(start, 0), 0, 0), "0 B of 0 B  0 B/s");
    }
}
