//! What `expose` and `connect` have to say at their end.

use std::time::Duration;

use serde::Serialize;

use super::event::Route;
use super::size::{Bytes, Span, count};

/// Services were used, until one side had enough.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Tunnelled {
    /// Connections that are over; those of datagrams do not count.
    pub(crate) connections: u64,
    /// Of these, how many broke or never came to be.
    pub(crate) failed: u64,
    /// Both directions together.
    pub(crate) bytes: u64,
    /// To the other side.
    pub(crate) sent: u64,
    /// From the other side.
    pub(crate) received: u64,
    /// Since it was connected.
    pub(crate) seconds: f64,
    /// Both directions, bytes a second.
    pub(crate) rate: f64,
    /// Direct or relayed.
    pub(crate) path: Route,
}

impl Tunnelled {
    pub(super) fn line(&self) -> String {
        format!(
            "Done: {}{}, sent {}, received {} in {}, {}",
            count(self.connections, "connection"),
            match self.failed {
                0 => String::new(),
                failed => format!(" ({failed} failed)"),
            },
            Bytes(self.sent),
            Bytes(self.received),
            Span(Duration::try_from_secs_f64(self.seconds).unwrap_or_default()),
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
        let event = Event::Tunnelled(Tunnelled {
            connections: 3,
            failed: 1,
            bytes: 3 << 20,
            sent: 1 << 20,
            received: 2 << 20,
            seconds: 2.0,
            rate: 1_572_864.0,
            path: Route::Relayed,
        });
        assert_eq!(
            serde_json::from_str::<Value>(&event.json()).expect("valid JSON"),
            json!({"event": "done", "connections": 3, "failed": 1, "bytes": 3 << 20, "sent": 1 << 20, "received": 2 << 20, "seconds": 2.0, "rate": 1_572_864.0, "path": "relayed"})
        );
        assert_eq!(
            event.line(Palette::Plain).as_deref(),
            Some(
                "Done: 3 connections (1 failed), sent 1.0 MiB, received 2.0 MiB in 2.0 s, relayed"
            )
        );
    }
}
