//! What `pipe` has to say at its end.

use serde::Serialize;

use super::{Traffic, Wording};
use crate::ui::palette::Palette;
use crate::ui::size::{Bytes, Rate, Span};

/// Both directions have ended, and everything is written on both sides.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Piped {
    /// From stdin, and to stdout.
    #[serde(flatten)]
    pub(crate) traffic: Traffic,
}

impl Wording for Piped {
    fn line(&self, _: Palette) -> Option<String> {
        let traffic = &self.traffic;
        Some(format!(
            "Done: sent {}, received {} in {} ({}), {}",
            Bytes(traffic.sent),
            Bytes(traffic.received),
            Span::of(traffic.seconds),
            Rate(traffic.rate),
            traffic.path.word(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::Route;
    use super::super::tests::said;
    use super::*;

    #[test]
    fn json_and_wording() {
        let traffic = Traffic::new(1 << 20, 2 << 20, Duration::from_secs(2), Route::Direct);
        said(
            Piped { traffic },
            json!({"event": "done", "bytes": 3 << 20, "sent": 1 << 20, "received": 2 << 20, "seconds": 2.0, "rate": 1_572_864.0, "path": "direct"}),
            Some("Done: sent 1.0 MiB, received 2.0 MiB in 2.0 s (1.5 MiB/s), direct"),
        );
    }
}
