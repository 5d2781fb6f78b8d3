//! Results as the Test Anything Protocol, version 14 (testanything.org). Pure.

use serde_json::Value;

use super::results::Ran;
use crate::scenario::Verdict;

/// What comes before all results.
pub(super) fn head(count: usize) -> [String; 2] {
    ["TAP version 14".into(), format!("1..{count}")]
}

/// A test point; one that failed is followed by what is known of it, in YAML.
pub(super) fn result(ran: &Ran) -> Vec<String> {
    let title = format!(
        "{} - {}: {}",
        ran.number,
        escaped(&ran.file),
        escaped(&ran.name)
    );
    let took = format!(" # time={:.2}s", ran.seconds);
    let failure = match &ran.verdict {
        Verdict::Passed => return vec![format!("ok {title}{took}")],
        Verdict::Stopped => return vec![format!("not ok {title}{took} (stopped)")],
        Verdict::Failed(failure) => failure,
    };
    let mut lines = vec![format!("not ok {title}{took}"), "  ---".into()];
    let mut entry = |key: &str, value: &str| lines.push(format!("  {key}: {}", scalar(value)));
    entry("at", &format!("{}:{}", ran.file, failure.line));
    entry("step", &failure.step);
    entry("expected", &failure.expected);
    entry("seen", &failure.seen);
    for (peer, finding) in &failure.findings {
        let code = finding.code;
        entry("cause", &format!("{peer}: {} [{code}]", finding.message));
    }
    entry("repeat", &ran.again());
    if let Some(logs) = &ran.logs {
        entry("logs", &logs.to_string_lossy());
    }
    let causes = failure.findings.len();
    if causes > 1 {
        // A key is there once: several values are a list.
        let first = lines
            .iter()
            .position(|line| line.starts_with("  cause: "))
            .unwrap_or(0);
        for line in &mut lines[first..first + causes] {
            *line = line.replacen("  cause: ", "    - ", 1);
        }
        lines.insert(first, "  causes:".into());
    }
    lines.push("  ...".into());
    lines
}

/// A description must not begin a directive.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('#', "\\#")
}

/// A string of YAML in one line, which JSON's are.
fn scalar(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::scenario::Failure;

    pub(in super::super) fn ran(failure: Option<Failure>) -> Ran {
        Ran {
            number: 3,
            file: "flows/a.toml".into(),
            name: "bug #1".into(),
            seed: 7,
            seconds: 1.5,
            verdict: failure.map_or(Verdict::Passed, Verdict::Failed),
            logs: Some("/tmp/x".into()),
        }
    }

    pub(in super::super) fn failure() -> Failure {
        Failure {
            line: 12,
            step: "{ peer = \"ben\", expect = \"hi\" }".into(),
            expected: "ben to get <\"hi\">".into(),
            seen: "nothing & more".into(),
            findings: Vec::new(),
        }
    }

    #[test]
    fn points_and_what_is_known_of_them() {
        assert_eq!(head(2), ["TAP version 14", "1..2"]);
        assert_eq!(
            result(&ran(None)),
            ["ok 3 - flows/a.toml: bug \\#1 # time=1.50s"]
        );
        assert_eq!(
            result(&ran(Some(failure()))),
            [
                "not ok 3 - flows/a.toml: bug \\#1 # time=1.50s",
                "  ---",
                "  at: \"flows/a.toml:12\"",
                "  step: \"{ peer = \\\"ben\\\", expect = \\\"hi\\\" }\"",
                "  expected: \"ben to get <\\\"hi\\\">\"",
                "  seen: \"nothing & more\"",
                "  repeat: \"peer-cli test flows/a.toml --seed 7\"",
                "  logs: \"/tmp/x\"",
                "  ...",
            ]
        );
    }
}
