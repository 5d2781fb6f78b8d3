//! What a request is answered with. Pure.

use serde_json::json;

/// The type of descriptions.
pub(super) const SDP: &str = "application/sdp";

/// The type of fragments (RFC 8840 section 9).
pub(super) const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// The type of explanations (RFC 9457).
const PROBLEM: &str = "application/problem+json";

/// How long a client waits before it tries again, in seconds.
const RETRY: u32 = 1;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    /// Its type, and itself.
    pub(super) body: Option<(&'static str, String)>,
}

impl Reply {
    /// One without a body.
    pub(super) fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: None,
        }
    }

    /// A refusal, and why.
    pub(super) fn problem(status: u16, why: &str) -> Self {
        let body = json!({ "status": status, "title": why }).to_string();
        Self {
            body: Some((PROBLEM, body)),
            ..Self::empty(status)
        }
    }

    /// A refusal that will not last.
    pub(super) fn later(status: u16, why: &str) -> Self {
        Self::problem(status, why).with("retry-after", RETRY.to_string())
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn body(mut self, kind: &'static str, text: String) -> Self {
        self.body = Some((kind, text));
        self
    }
}
