//! What `pipe` has to say at its end.

use std::time::Duration;

use serde::Serialize;

use super::event::Route;
use super::size::{Bytes, Rate, Span};

/// Both directions have ended, and everything is written on both sides.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Piped {
    /// Both directions together.
    pub(crate) bytes: u64,
    /// From stdin.
    pub(crate) sent: u64,
    /// To stdout.
    pub(crate) received: u64,
    /// Since it was connected.
    pub(crate) seconds: f64,
    /// Both directions, bytes a second.
    pub(crate) rate: f64,
    /// Direct or relayed.
    pub(crate) path: Route,
}

impl Piped {
    pub(super) fn line(&self) -> String {
        format!(
            "Done: sent {}, received {} in {} ({}), {}",
            Bytes(self.sent),
            Bytes(self.received),
            Span(Duration::try_from_secs_f64(self.seconds).unwrap_or_default()),
            Rate(self.rate),
            self.path.word(),
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::event::Event;
    use super::super::palette::Palette;
    use super::*;

    #[test]
    fn json_and_wording() {
        let event = Event::Piped(Piped {
            bytes: 3 << 20,
            sent: 1 << 20,
            received: 2 << 20,
            seconds: 2.0,
            rate: 1_572_864.0,
            path: Route::Direct,
        });
        assert_eq!(
            serde_json::from_str::<Value>(&event.json()).expect("valid JSON"),
            json!({"event": "done", "bytes": 3 << 20, "sent": 1 << 20, "received": 2 << 20, "seconds": 2.0, "rate": 1_572_864.0, "path": "direct"})
        );
        assert_eq!(
            event.line(Palette::Plain).as_deref(),
            Some("Done: sent 1.0 MiB, received 2.0 MiB in 2.0 s (1.5 MiB/s), direct")
        );
    }
}
