//! What `bench` has to say: rows of its table, and the line at its end.

use serde::Serialize;

use super::{Route, Wording};
use crate::ui::palette::Palette;
use crate::ui::size::{Bytes, Rate, Span, count};

/// Which way, seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Direction {
    /// This side sent.
    To,
    /// The other side sent.
    From,
}

/// Round trips, in milliseconds: half, nine of ten, and 99 of 100 took no longer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct RoundTrips {
    /// How many were measured.
    pub(crate) samples: u32,
    /// The median.
    pub(crate) p50_ms: f64,
    /// The 90th percentile.
    pub(crate) p90_ms: f64,
    /// The 99th percentile.
    pub(crate) p99_ms: f64,
}

/// One measurement of throughput.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Throughput {
    /// `to` the other side or `from` it.
    pub(crate) direction: Direction,
    /// Connections that carried it at a time.
    pub(crate) lanes: u16,
    /// The largest datagrams in which it travelled, UDP payload in bytes.
    pub(crate) packet: u16,
    /// What arrived.
    pub(crate) bytes: u64,
    /// From the first message to the last.
    pub(crate) seconds: f64,
    /// Bytes a second.
    pub(crate) rate: f64,
    /// Round trips beside it, if any were measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) loaded: Option<RoundTrips>,
}

/// Something that could not be measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Unmeasured {
    /// `to` the other side or `from` it.
    pub(crate) direction: Direction,
    /// Connections that were to carry it.
    pub(crate) lanes: u16,
    /// The largest datagrams that were asked for; 0 for any.
    pub(crate) packet: u16,
    /// Why.
    pub(crate) message: String,
}

/// The end.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    /// What travelled to measure it, both ways.
    pub(crate) bytes: u64,
    /// The whole of it.
    pub(crate) seconds: f64,
    /// The fastest measurement.
    pub(crate) rate: f64,
    /// Direct or relayed.
    pub(crate) path: Route,
    /// How many there are.
    pub(crate) measurements: u64,
}

/// Round trips of the idle line.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latency(pub(crate) RoundTrips);

/// A row of the table.
impl Wording for Latency {}

/// A row of the table.
impl Wording for Throughput {}

/// A row of the table.
impl Wording for Unmeasured {}

impl Wording for Measured {
    fn line(&self, _: Palette) -> Option<String> {
        Some(format!(
            "Done: {}, {} in {} (at most {}), {}",
            count(self.measurements, "measurement"),
            Bytes(self.bytes),
            Span::of(self.seconds),
            Rate(self.rate),
            self.path.word(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::said;
    use super::*;

    #[test]
    fn json_and_wording() {
        said(
            Latency(RoundTrips {
                samples: 200,
                p50_ms: 0.25,
                p90_ms: 0.5,
                p99_ms: 1.0,
            }),
            json!({"event": "latency", "samples": 200, "p50_ms": 0.25, "p90_ms": 0.5, "p99_ms": 1.0}),
            None,
        );
        said(
            Throughput {
                direction: Direction::To,
                lanes: 2,
                packet: 1472,
                bytes: 1 << 20,
                seconds: 0.5,
                rate: 2_097_152.0,
                loaded: None,
            },
            json!({"event": "throughput", "direction": "to", "lanes": 2, "packet": 1472, "bytes": 1 << 20, "seconds": 0.5, "rate": 2_097_152.0}),
            None,
        );
        said(
            Unmeasured {
                direction: Direction::From,
                lanes: 2,
                packet: 0,
                message: "no".into(),
            },
            json!({"event": "unmeasured", "direction": "from", "lanes": 2, "packet": 0, "message": "no"}),
            None,
        );
        said(
            Measured {
                bytes: 1 << 30,
                seconds: 12.0,
                rate: 134_217_728.0,
                path: Route::Direct,
                measurements: 11,
            },
            json!({"event": "done", "bytes": 1u64 << 30, "seconds": 12.0, "rate": 134_217_728.0, "path": "direct", "measurements": 11}),
            Some("Done: 11 measurements, 1.0 GiB in 12 s (at most 128.0 MiB/s), direct"),
        );
    }
}
