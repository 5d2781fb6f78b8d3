//! Scenarios (`test`).

use serde::Serialize;

use super::Wording;
use crate::commands::test::Ran;
use crate::scenario::Verdict;
use crate::ui::palette::Palette;
use crate::ui::size::{Span, count};

/// One that was run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Scenario {
    /// Its file, as it was named.
    pub(crate) file: String,
    /// What it is called.
    pub(crate) name: String,
    /// `passed`, `failed` or `stopped`.
    pub(crate) verdict: &'static str,
    /// What repeats its random decisions.
    pub(crate) seed: u64,
    pub(crate) seconds: f64,
    /// Why, if it failed.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<Failed>,
}

/// Why a scenario failed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failed {
    pub(crate) line: usize,
    pub(crate) step: String,
    pub(crate) expected: String,
    pub(crate) seen: String,
    pub(crate) findings: Vec<Finding>,
    /// The command that repeats it.
    pub(crate) repeat: String,
    /// Where what happened is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) logs: Option<String>,
}

/// What is wrong with a page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) peer: String,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

/// All of them were run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Tested {
    pub(crate) scenarios: usize,
    /// How many did not pass.
    pub(crate) failed: usize,
    /// The whole of it.
    pub(crate) seconds: f64,
}

impl From<&Ran> for Scenario {
    fn from(ran: &Ran) -> Self {
        let failure = ran.failure().map(|failure| Failed {
            line: failure.line,
            step: failure.step.clone(),
            expected: failure.expected.clone(),
            seen: failure.seen.clone(),
            findings: failure
                .findings
                .iter()
                .map(|(peer, finding)| Finding {
                    peer: peer.clone(),
                    code: finding.code,
                    message: finding.message.clone(),
                })
                .collect(),
            repeat: ran.again(),
            logs: ran.logs.as_ref().map(|logs| logs.display().to_string()),
        });
        Self {
            file: ran.file.clone(),
            name: ran.name.clone(),
            verdict: match ran.verdict {
                Verdict::Passed => "passed",
                Verdict::Failed(_) => "failed",
                Verdict::Stopped => "stopped",
            },
            seed: ran.seed,
            seconds: ran.seconds,
            failure,
        }
    }
}

/// For people there are other formats.
impl Wording for Scenario {}

impl Wording for Tested {
    fn line(&self, palette: Palette) -> Option<String> {
        let scenarios = count(self.scenarios as u64, "scenario");
        let failed = match self.failed {
            0 => "all passed".to_owned(),
            failed => palette.alarm(&format!("{failed} failed")),
        };
        Some(format!(
            "Done: {scenarios}, {failed}, in {}",
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
        let mut scenario = Scenario {
            file: "flows/a.toml".into(),
            name: "a".into(),
            verdict: "passed",
            seed: 7,
            seconds: 1.5,
            failure: None,
        };
        said(
            scenario.clone(),
            json!({"event": "scenario", "file": "flows/a.toml", "name": "a", "verdict": "passed", "seed": 7, "seconds": 1.5}),
            None,
        );
        scenario.verdict = "failed";
        scenario.failure = Some(Failed {
            line: 3,
            step: "s".into(),
            expected: "e".into(),
            seen: "n".into(),
            findings: vec![Finding {
                peer: "page".into(),
                code: "no-common-codec",
                message: "m".into(),
            }],
            repeat: "peer-cli test flows/a.toml --seed 7".into(),
            logs: None,
        });
        said(
            scenario,
            json!({"event": "scenario", "file": "flows/a.toml", "name": "a", "verdict": "failed", "seed": 7, "seconds": 1.5,
                "line": 3, "step": "s", "expected": "e", "seen": "n",
                "findings": [{"peer": "page", "code": "no-common-codec", "message": "m"}],
                "repeat": "peer-cli test flows/a.toml --seed 7"}),
            None,
        );
        said(
            Tested {
                scenarios: 2,
                failed: 1,
                seconds: 3.0,
            },
            json!({"event": "done", "scenarios": 2, "failed": 1, "seconds": 3.0}),
            Some("Done: 2 scenarios, 1 failed, in 3.0 s"),
        );
    }
}
