//! A message that says when it was sent.

use super::{
    dialect::{Dialect, End},
    frames,
};
use serde_json::json;
use std::time::Duration;

/// Where a message says when it was sent: in nanoseconds, in so many digits.
const MARK: &[u8] = br#""t":""#;
const DIGITS: usize = 16;

/// A message with this many bytes of payload, and where its time is.
#[derive(Debug, Clone)]
pub(super) struct Template {
    pub(super) frame: Vec<u8>,
    time: usize,
}

impl Template {
    pub(super) fn new(dialect: Dialect, from: &End, to: &End, size: usize) -> Self {
        let payload = json!({ "t": "0".repeat(DIGITS), "x": "x".repeat(size) });
        let text = dialect.message(from, to, &payload);
        let frame = frames::text(text.as_bytes());
        let time = find(&frame).expect("it is there");
        Self { frame, time }
    }

    pub(super) fn stamp(&mut self, time: Duration) {
        let digits = format!("{:0DIGITS$}", time.as_nanos());
        self.frame[self.time..self.time + DIGITS].copy_from_slice(digits.as_bytes());
    }
}

pub(super) fn find(bytes: &[u8]) -> Option<usize> {
    let at = bytes.windows(MARK.len()).position(|part| part == MARK)?;
    Some(at + MARK.len())
}

/// When a message was sent.
pub(super) fn stamped(message: &[u8]) -> Option<Duration> {
    let at = find(message)?;
    let digits = message.get(at..at + DIGITS)?;
    let nanos = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn a_message_says_when_it_was_sent() {
        for dialect in Dialect::value_variants() {
            let end = End::default();
            let mut template = Template::new(*dialect, &end, &end, 1024);
            for nanos in [0, 1, 123_456_789_012_345] {
                let time = Duration::from_nanos(nanos);
                template.stamp(time);
                assert_eq!(stamped(&template.frame), Some(time));
            }
        }
        assert_eq!(stamped(br#"{"type":"peer-joined"}"#), None);
        assert_eq!(stamped(br#"{"t":"12"#), None);
    }
}
