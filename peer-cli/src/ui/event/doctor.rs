//! What works here (`doctor`).

use serde::Serialize;

use super::Wording;
use crate::ui::clean::clean;
use crate::ui::palette::Palette;
use crate::ui::size::Span;

/// One thing was looked at.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    /// A stable name.
    pub(crate) check: &'static str,
    /// `pass`, `warn` or `fail`.
    pub(crate) verdict: &'static str,
    /// What was found.
    pub(crate) message: String,
    /// What to do, may be empty.
    pub(crate) advice: &'static str,
}

/// Everything was looked at, and nothing failed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Checked {
    pub(crate) passed: usize,
    pub(crate) warned: usize,
    pub(crate) seconds: f64,
}

impl Check {
    /// The lines on stdout.
    pub(in crate::ui) fn shown(&self, palette: Palette) -> String {
        let verdict = match self.verdict {
            "pass" => palette.good(self.verdict),
            "warn" => palette.bold(self.verdict),
            verdict => palette.alarm(verdict),
        };
        let message = clean(&self.message);
        let line = format!("{verdict}  {:<10}  {message}", self.check);
        match self.advice {
            "" => line,
            advice => format!("{line}\n                  {advice}"),
        }
    }
}

impl Wording for Check {}

impl Wording for Checked {
    fn line(&self, _: Palette) -> Option<String> {
        Some(format!(
            "Done: {} fine, {} to look at, in {}",
            self.passed,
            self.warned,
            Span::of(self.seconds)
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
        let check = Check {
            check: "server",
            verdict: "fail",
            message: "evil\x1b[2J".into(),
            advice: "start it",
        };
        assert_eq!(
            check.shown(Palette::Plain),
            "fail  server      evil\\u{1b}[2J\n                  start it"
        );
        said(
            check,
            json!({"event": "check", "check": "server", "verdict": "fail", "message": "evil\x1b[2J", "advice": "start it"}),
            None,
        );
        said(
            Checked {
                passed: 7,
                warned: 2,
                seconds: 3.0,
            },
            json!({"event": "done", "passed": 7, "warned": 2, "seconds": 3.0}),
            Some("Done: 7 fine, 2 to look at, in 3.0 s"),
        );
    }
}
