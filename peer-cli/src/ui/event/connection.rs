//! The line itself: which way it goes, and when it does not.

use peerline::session::{Path, PathKind};
use serde::Serialize;

use super::Wording;
use crate::ui::clean::clean;
use crate::ui::palette::Palette;

/// How the bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Route {
    /// From one machine to the other.
    Direct,
    /// Through a TURN server, which sees encrypted packets.
    Relayed,
    /// The engine did not say.
    Unknown,
}

impl From<Option<&Path>> for Route {
    fn from(path: Option<&Path>) -> Self {
        match path.map(|path| path.kind) {
            Some(PathKind::Direct) => Self::Direct,
            Some(PathKind::Relayed) => Self::Relayed,
            None => Self::Unknown,
        }
    }
}

impl Route {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relayed => "relayed",
            Self::Unknown => "by an unknown path",
        }
    }
}

/// The line is up.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Connected {
    /// Direct or relayed.
    pub(crate) path: Route,
    /// How our own TURN server is reached: `udp`, `tcp` or `tls`. Not there for a direct path, nor for
    /// the other side's server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) relay: Option<String>,
    /// Round trip, milliseconds.
    pub(crate) rtt_ms: f64,
    /// Address of this side.
    pub(crate) local: String,
    /// Address of the other side, or of its relay.
    pub(crate) remote: String,
}

/// The other side cannot be reached; another way to it is looked for.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Interrupted {
    /// `path-lost`: the path stopped working. `network-lost`: so it did, and the signaling server cannot
    /// be reached either. `silent`: the path works, and the other side says nothing.
    pub(crate) reason: &'static str,
    /// Until the command gives up.
    pub(crate) seconds_left: u64,
}

/// The other side can be reached again, and everything goes on.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Reconnected {
    /// Direct or relayed.
    pub(crate) path: Route,
    /// How long it could not be reached.
    pub(crate) seconds: f64,
}

impl Wording for Connected {
    fn line(&self, _: Palette) -> Option<String> {
        let over = self.relay.as_ref().map(|over| format!(" over {over}"));
        Some(format!(
            "Connected: {}{}, {:.1} ms to {}",
            self.path.word(),
            over.unwrap_or_default(),
            self.rtt_ms,
            clean(&self.remote)
        ))
    }
}

impl Wording for Interrupted {
    fn line(&self, _: Palette) -> Option<String> {
        let what = match self.reason {
            "network-lost" => "Neither the other side nor the signaling server can be reached",
            "silent" => "The other side says nothing",
            _ => "Connection lost",
        };
        Some(format!(
            "{what}; looking for the other side again for {} s…",
            self.seconds_left
        ))
    }
}

impl Wording for Reconnected {
    fn line(&self, _: Palette) -> Option<String> {
        Some(format!(
            "Connected again after {:.0} s: {}",
            self.seconds,
            self.path.word()
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
            Connected {
                path: Route::Relayed,
                relay: Some("tls".into()),
                rtt_ms: 12.34,
                local: "a:1".into(),
                remote: "b:2".into(),
            },
            json!({"event": "connected", "path": "relayed", "relay": "tls", "rtt_ms": 12.34, "local": "a:1", "remote": "b:2"}),
            Some("Connected: relayed over tls, 12.3 ms to b:2"),
        );
        said(
            Connected {
                path: Route::Direct,
                relay: None,
                rtt_ms: 0.5,
                local: "a:1".into(),
                remote: "b:2".into(),
            },
            json!({"event": "connected", "path": "direct", "rtt_ms": 0.5, "local": "a:1", "remote": "b:2"}),
            Some("Connected: direct, 0.5 ms to b:2"),
        );
        said(
            Interrupted {
                reason: "path-lost",
                seconds_left: 120,
            },
            json!({"event": "interrupted", "reason": "path-lost", "seconds_left": 120}),
            Some("Connection lost; looking for the other side again for 120 s…"),
        );
        said(
            Reconnected {
                path: Route::Direct,
                seconds: 43.5,
            },
            json!({"event": "reconnected", "path": "direct", "seconds": 43.5}),
            Some("Connected again after 44 s: direct"),
        );
    }
}
