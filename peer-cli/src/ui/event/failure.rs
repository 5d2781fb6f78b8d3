//! What went wrong.

use std::fmt::Write as _;

use serde::Serialize;

use super::Wording;
use crate::exit::{Exit, Failure, Kept, Retry};
use crate::ui::clean::clean;
use crate::ui::palette::Palette;
use crate::ui::size::Bytes;

/// A transfer failed or was declined, and the next one is waited for (`receive-file --listen`).
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failed {
    /// Stable name of the kind of failure.
    pub(crate) code: String,
    /// What failed and whose fault it is.
    pub(crate) message: String,
    /// What to try, may be empty.
    pub(crate) hint: String,
    /// Whether the same can succeed later.
    pub(crate) retry: bool,
    /// What stays on this disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kept: Option<Kept>,
}

/// The command failed; always the last event.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Error {
    /// Stable name of the kind of failure.
    pub(crate) code: String,
    /// What failed and whose fault it is.
    pub(crate) message: String,
    /// What to try, may be empty.
    pub(crate) hint: String,
    /// Whether the same command can succeed later.
    pub(crate) retry: bool,
    /// The exit code.
    pub(crate) exit: u8,
    /// The command that goes on, if something was transferred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resume: Option<String>,
    /// What stays on this disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kept: Option<Kept>,
}

impl From<&Failure> for Failed {
    fn from(failure: &Failure) -> Self {
        Self {
            code: failure.kind.to_owned(),
            message: failure.message.clone(),
            hint: failure.hint.clone(),
            retry: failure.retry == Retry::Helps,
            kept: failure.remains.as_ref().and_then(|left| left.kept.clone()),
        }
    }
}

impl From<&Failure> for Error {
    fn from(failure: &Failure) -> Self {
        let Failed {
            code,
            message,
            hint,
            retry,
            kept,
        } = failure.into();
        Self {
            code,
            message,
            hint,
            retry,
            exit: failure.exit.number(),
            resume: failure.remains.as_ref().map(|left| left.resume.clone()),
            kept,
        }
    }
}

/// There is a line in the log.
impl Wording for Failed {}

impl Wording for Error {
    fn line(&self, palette: Palette) -> Option<String> {
        let mut line = clean(&self.message);
        if self.exit != Exit::CtrlC.number() {
            line = format!("{} {line}", palette.alarm("error:"));
        }
        if !self.hint.is_empty() {
            let _ = write!(line, "; {}", clean(&self.hint));
        }
        if let Some(kept) = &self.kept {
            let (bytes, path) = (Bytes(kept.bytes), clean(&kept.path));
            let _ = write!(line, "\n  kept: {bytes} in {path}");
        }
        if let Some(resume) = &self.resume {
            let _ = write!(line, "\n  to go on: {}", clean(resume));
        }
        if let Some(kept) = &self.kept {
            let _ = write!(line, "\n  to discard it: {}", clean(&kept.discard));
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::said;
    use super::*;
    use crate::exit::Remains;

    #[test]
    fn json_and_wording() {
        said(
            Failed::from(&Failure::new(Exit::Declined, "declined", "no").hint("h")),
            json!({"event": "failed", "code": "declined", "message": "no", "hint": "h", "retry": false}),
            None,
        );
        said(
            Error::from(&Failure {
                remains: Some(Box::new(Remains {
                    resume: "peer-cli transfers resume abcdefgh".into(),
                    kept: Some(Kept {
                        id: "abcdefgh".into(),
                        path: "./.peerline/abcdefgh".into(),
                        bytes: 1024,
                        discard: "peer-cli transfers discard abcdefgh".into(),
                    }),
                })),
                ..Failure::ctrl_c()
            }),
            json!({"event": "error", "code": "cancelled", "message": "stopped before it was finished", "hint": "", "retry": true, "exit": 130,
                    "resume": "peer-cli transfers resume abcdefgh",
                    "kept": {"id": "abcdefgh", "path": "./.peerline/abcdefgh", "bytes": 1024, "discard": "peer-cli transfers discard abcdefgh"}}),
            Some(
                "stopped before it was finished\n  kept: 1.0 KiB in ./.peerline/abcdefgh\n  to go on: peer-cli transfers resume abcdefgh\n  to discard it: peer-cli transfers discard abcdefgh",
            ),
        );
        said(
            Error::from(&Failure::usage("no such file: 'a\nb'").hint("check the path")),
            json!({"event": "error", "code": "usage", "message": "no such file: 'a\nb'", "hint": "check the path", "retry": false, "exit": 2}),
            Some("error: no such file: 'a\\u{a}b'; check the path"),
        );
        said(
            Error::from(&Failure::ctrl_c()),
            json!({"event": "error", "code": "cancelled", "message": "stopped before it was finished", "hint": "", "retry": true, "exit": 130}),
            Some("stopped before it was finished"),
        );
    }
}
