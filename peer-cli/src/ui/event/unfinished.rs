//! Transfers that are not finished (`transfers`).

use serde::Serialize;

use super::Wording;
use crate::ui::clean::clean;
use crate::ui::palette::Palette;

/// An unfinished transfer, in answer to `transfers list`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Transfer {
    /// Names it for the other commands.
    pub(crate) id: String,
    /// `resumable`, `in-use` or `unusable`.
    pub(crate) state: &'static str,
    /// What the sender calls it, if it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) title: Option<String>,
    /// Bytes that are here.
    pub(crate) bytes: u64,
    /// All of it.
    pub(crate) total: u64,
    /// Number of files, all of them.
    pub(crate) files: u64,
    /// Seconds since something was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) age: Option<u64>,
    /// Why it is unusable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// An unfinished transfer was taken away.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Discarded {
    /// Its name.
    pub(crate) id: String,
}

/// A result, and worded where it is listed.
impl Wording for Transfer {}

impl Wording for Discarded {
    fn line(&self, _: Palette) -> Option<String> {
        Some(format!("Discarded: {}", clean(&self.id)))
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
            Transfer {
                id: "abcdefgh".into(),
                state: "unusable",
                title: None,
                bytes: 0,
                total: 0,
                files: 0,
                age: None,
                reason: Some("damaged".into()),
            },
            json!({"event": "transfer", "id": "abcdefgh", "state": "unusable", "bytes": 0, "total": 0, "files": 0, "reason": "damaged"}),
            None,
        );
        said(
            Discarded {
                id: "abcdefgh".into(),
            },
            json!({"event": "discarded", "id": "abcdefgh"}),
            Some("Discarded: abcdefgh"),
        );
    }
}
