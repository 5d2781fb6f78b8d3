//! How one scenario went, as every format tells it.

use std::path::{Path, PathBuf};

use crate::invitation::shell_word;
use crate::scenario::plan::Scenario;
use crate::scenario::{Failure, Verdict};

/// One that was run.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    pub(crate) number: usize,
    pub(crate) file: String,
    /// What it is called; the file's name, if it says nothing.
    pub(crate) name: String,
    pub(crate) seed: u64,
    pub(crate) seconds: f64,
    pub(crate) verdict: Verdict,
    /// Where to look for what happened.
    pub(crate) logs: Option<PathBuf>,
}

impl Ran {
    pub(crate) fn new(number: usize, file: &Path, scenario: &Scenario) -> Self {
        let name = match scenario.name.as_str() {
            "" => file
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            name => name.to_owned(),
        };
        Self {
            number,
            file: file.display().to_string(),
            name,
            seed: scenario.seed,
            seconds: 0.0,
            verdict: Verdict::Stopped,
            logs: None,
        }
    }

    /// It was not run, because this machine does not let it.
    pub(crate) fn cannot_begin(&mut self, why: &str) {
        self.verdict = Verdict::Failed(Failure {
            line: 1,
            step: self.name.clone(),
            expected: "the scenario to begin".into(),
            seen: why.to_owned(),
            findings: Vec::new(),
        });
    }

    pub(crate) fn passed(&self) -> bool {
        self.verdict == Verdict::Passed
    }

    /// Why it failed, if it did.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        match &self.verdict {
            Verdict::Failed(failure) => Some(failure),
            Verdict::Passed | Verdict::Stopped => None,
        }
    }

    /// What repeats it.
    pub(crate) fn again(&self) -> String {
        format!(
            "peer-cli test {} --seed {}",
            shell_word(&self.file),
            self.seed
        )
    }

    /// A failure in one line.
    pub(crate) fn headline(&self, failure: &Failure) -> String {
        let cause = match failure.findings.first() {
            Some((peer, finding)) => format!("; {peer}: {}", finding.message),
            None => String::new(),
        };
        format!(
            "{}:{}: expected {}; {}{cause}",
            self.file, failure.line, failure.expected, failure.seen
        )
    }
}
