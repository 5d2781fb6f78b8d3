//! Sizes, rates, times and counts as people read them.

use std::fmt;
use std::time::Duration;

/// A number of bytes in binary units with one decimal: `812 B`, `1.5 KiB`, `3.0 GiB`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = 0;
        // 1023.95 would be shown as 1024.0: the next unit starts where rounding does.
        while value >= 1023.95 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        write!(f, "{value:.1} {}", UNITS[unit])
    }
}

/// Bytes per second; nothing known, negative or infinite counts as zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate(pub(crate) f64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A float to integer cast saturates, and takes NaN as 0.
        write!(f, "{}/s", Bytes(self.0 as u64))
    }
}

/// A time span with the two units that matter: `0.4 s`, `8 s`, `2 min 5 s`, `3 h 20 min`, `2 d 1 h`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span(pub(crate) Duration);

impl Span {
    /// A span in seconds. A negative or absurd one is our bug, not a reason to panic over the last line.
    pub(crate) fn of(seconds: f64) -> Self {
        Self(Duration::try_from_secs_f64(seconds).unwrap_or_default())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.0.as_secs_f64() * 10.0).round();
        if tenths < 100.0 {
            return write!(f, "{:.1} s", tenths / 10.0);
        }
        let seconds = self.0.as_secs_f64().round() as u64;
        match seconds {
            0..60 => write!(f, "{seconds} s"),
            60..3600 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            3600..86_400 => write!(f, "{} h {} min", seconds / 3600, seconds % 3600 / 60),
            _ => write!(f, "{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
        }
    }
}

/// `1 file`, `10,000 files`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let plain = number.to_string();
    let mut grouped = String::with_capacity(plain.len() + plain.len() / 3);
    for (index, digit) in plain.chars().enumerate() {
        if index > 0 && (plain.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("{grouped} {noun}"),
        (_, Some(stem)) => format!("{grouped} {stem}ies"),
        _ => format!("{grouped} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn rates_never_show_nonsense() {
        for (rate, text) in [
            (0.0, "0 B/s"),
            (-3.0, "0 B/s"),
            (f64::NAN, "0 B/s"),
            (f64::INFINITY, "16.0 EiB/s"),
            (125.5 * 1024.0 * 1024.0, "125.5 MiB/s"),
        ] {
            assert_eq!(Rate(rate).to_string(), text);
        }
    }

    #[test]
    fn spans() {
        for (millis, text) in [
            (0, "0.0 s"),
            (449, "0.4 s"),
            (9_949, "9.9 s"),
            (9_999, "10 s"),
            (59_400, "59 s"),
            (59_600, "1 min 0 s"),
            (125_000, "2 min 5 s"),
            (12_000_000, "3 h 20 min"),
            (176_400_000, "2 d 1 h"),
        ] {
            assert_eq!(Span(Duration::from_millis(millis)).to_string(), text);
        }
    }

    #[test]
    fn counts() {
        for (number, noun, text) in [
            (0, "file", "0 files"),
            (1, "file", "1 file"),
            (999, "file", "999 files"),
            (10_000, "file", "10,000 files"),
            (1_234_567, "directory", "1,234,567 directories"),
            (1, "directory", "1 directory"),
        ] {
            assert_eq!(count(number, noun), text);
        }
    }
}
