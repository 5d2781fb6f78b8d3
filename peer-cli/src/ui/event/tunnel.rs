//! Services and the connections to them (`expose`, `connect`).

use serde::Serialize;

use super::{Traffic, Wording};
use crate::ui::clean::clean;
use crate::ui::palette::Palette;
use crate::ui::size::{Bytes, Span, count};

/// A service that the other side may use (`expose`).
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Exposed {
    /// What it is called.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) address: String,
}

/// Where a service of the other side can be reached here (`connect`).
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Forward {
    /// What it is called there; nothing for a SOCKS port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// `tcp`, `udp`, `unix` or `socks`: what listens here.
    pub(crate) kind: &'static str,
    /// The address here.
    pub(crate) listen: String,
}

/// A connection to a service is over, or was none (`expose`, `connect`).
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Connection {
    /// The service.
    pub(crate) name: String,
    /// `closed`: both sides have everything. `broken`: both were told. `refused`: it is not exposed.
    /// `unreachable`: what is exposed does not answer.
    pub(crate) state: &'static str,
    /// Bytes to the other side.
    pub(crate) sent: u64,
    /// Bytes from the other side.
    pub(crate) received: u64,
    /// Why, if it is not `closed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

/// Services were used until one side had enough (`expose`, `connect`).
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Tunnelled {
    /// Connections that are over; those of datagrams do not count.
    pub(crate) connections: u64,
    /// Of these, how many broke or never came to be.
    pub(crate) failed: u64,
    /// Of all of them.
    #[serde(flatten)]
    pub(crate) traffic: Traffic,
}

impl Wording for Exposed {
    fn line(&self, _: Palette) -> Option<String> {
        let (name, address) = (clean(&self.name), clean(&self.address));
        Some(if name == address {
            format!("Exposed: {name}")
        } else {
            format!("Exposed: {name} ({address})")
        })
    }
}

impl Wording for Forward {
    fn line(&self, _: Palette) -> Option<String> {
        let name = self
            .name
            .as_deref()
            .map_or("whatever is exposed".into(), clean);
        Some(format!("Forward: {} {} to {name}", self.kind, self.listen))
    }
}

impl Wording for Connection {
    fn line(&self, _: Palette) -> Option<String> {
        // A browser makes dozens a minute.
        if self.state == "closed" {
            return None;
        }
        let why = self.message.as_ref().map(|why| format!(": {}", clean(why)));
        Some(format!(
            "Connection to {} {}{}",
            clean(&self.name),
            self.state,
            why.unwrap_or_default()
        ))
    }
}

impl Wording for Tunnelled {
    fn line(&self, _: Palette) -> Option<String> {
        let failed = match self.failed {
            0 => String::new(),
            failed => format!(" ({failed} failed)"),
        };
        Some(format!(
            "Done: {}{failed}, sent {}, received {} in {}, {}",
            count(self.connections, "connection"),
            Bytes(self.traffic.sent),
            Bytes(self.traffic.received),
            Span::of(self.traffic.seconds),
            self.traffic.path.word(),
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
        said(
            Exposed {
                name: "ssh".into(),
                address: "127.0.0.1:22".into(),
            },
            json!({"event": "exposed", "name": "ssh", "address": "127.0.0.1:22"}),
            Some("Exposed: ssh (127.0.0.1:22)"),
        );
        said(
            Forward {
                name: Some("ssh".into()),
                kind: "tcp",
                listen: "127.0.0.1:1".into(),
            },
            json!({"event": "forward", "name": "ssh", "kind": "tcp", "listen": "127.0.0.1:1"}),
            Some("Forward: tcp 127.0.0.1:1 to ssh"),
        );
        said(
            Forward {
                name: None,
                kind: "socks",
                listen: "127.0.0.1:1".into(),
            },
            json!({"event": "forward", "kind": "socks", "listen": "127.0.0.1:1"}),
            Some("Forward: socks 127.0.0.1:1 to whatever is exposed"),
        );
        said(
            Connection {
                name: "ssh".into(),
                state: "closed",
                sent: 1,
                received: 2,
                message: None,
            },
            json!({"event": "connection", "name": "ssh", "state": "closed", "sent": 1, "received": 2}),
            None,
        );
        said(
            Connection {
                name: "evil\x1b[2J".into(),
                state: "refused",
                sent: 0,
                received: 0,
                message: None,
            },
            json!({"event": "connection", "name": "evil\x1b[2J", "state": "refused", "sent": 0, "received": 0}),
            Some("Connection to evil\\u{1b}[2J refused"),
        );
        said(
            Tunnelled {
                connections: 3,
                failed: 1,
                traffic: Traffic::new(1 << 20, 2 << 20, Duration::from_secs(2), Route::Relayed),
            },
            json!({"event": "done", "connections": 3, "failed": 1, "bytes": 3 << 20, "sent": 1 << 20, "received": 2 << 20, "seconds": 2.0, "rate": 1_572_864.0, "path": "relayed"}),
            Some(
                "Done: 3 connections (1 failed), sent 1.0 MiB, received 2.0 MiB in 2.0 s, relayed",
            ),
        );
    }
}
