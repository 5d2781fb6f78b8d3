//! Results as JUnit's XML: a suite for each file. Pure.

use super::results::Ran;

/// The whole document, line by line.
pub(super) fn document(results: &[Ran]) -> Vec<String> {
    let seconds: f64 = results.iter().map(|ran| ran.seconds).sum();
    let failed = |ran: &&Ran| ran.failure().is_some();
    let mut lines = vec![
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>".to_owned(),
        format!(
            "<testsuites name=\"peer-cli test\" tests=\"{}\" failures=\"{}\" time=\"{seconds:.3}\">",
            results.len(),
            results.iter().filter(failed).count(),
        ),
    ];
    let mut files: Vec<&str> = results.iter().map(|ran| ran.file.as_str()).collect();
    files.dedup();
    for file in files {
        let of_file: Vec<&Ran> = results.iter().filter(|ran| ran.file == file).collect();
        lines.push(format!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" time=\"{:.3}\">",
            escaped(file),
            of_file.len(),
            of_file.iter().filter(|ran| ran.failure().is_some()).count(),
            of_file.iter().map(|ran| ran.seconds).sum::<f64>(),
        ));
        of_file.iter().for_each(|ran| lines.extend(case(ran)));
        lines.push("  </testsuite>".into());
    }
    lines.push("</testsuites>".into());
    lines
}

fn case(ran: &Ran) -> Vec<String> {
    let open = format!(
        "    <testcase classname=\"{}\" name=\"{} (seed {})\" time=\"{:.3}\"",
        escaped(&ran.file),
        escaped(&ran.name),
        ran.seed,
        ran.seconds
    );
    let Some(failure) = ran.failure() else {
        return match ran.passed() {
            true => vec![format!("{open}/>")],
            false => vec![
                format!("{open}>"),
                "      <skipped message=\"stopped\"/>".into(),
                "    </testcase>".into(),
            ],
        };
    };
    let mut text = vec![
        format!("step: {}", failure.step),
        format!("expected: {}", failure.expected),
        format!("seen: {}", failure.seen),
    ];
    for (peer, finding) in &failure.findings {
        text.push(format!(
            "cause: {peer}: {} [{}]",
            finding.message, finding.code
        ));
    }
    text.push(format!("repeat: {}", ran.again()));
    if let Some(logs) = &ran.logs {
        text.push(format!("logs: {}", logs.display()));
    }
    let mut lines = vec![
        format!("{open}>"),
        format!(
            "      <failure type=\"scenario\" message=\"{}\">",
            escaped(&ran.headline(failure))
        ),
    ];
    lines.extend(text.iter().map(|line| escaped(line)));
    lines.push("      </failure>".into());
    lines.push("    </testcase>".into());
    lines
}

/// Text for content and attributes. What XML cannot have at all (control characters) is replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\r' | '\t' => out.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tap::tests::{failure, ran};
    use super::*;

    #[test]
    fn everything_is_in_its_place_and_escaped() {
        let lines = document(&[ran(None), ran(Some(failure()))]);
        assert_eq!(
            lines[1..4],
            [
                "<testsuites name=\"peer-cli test\" tests=\"2\" failures=\"1\" time=\"3.000\">",
                "  <testsuite name=\"flows/a.toml\" tests=\"2\" failures=\"1\" time=\"3.000\">",
                "    <testcase classname=\"flows/a.toml\" name=\"bug #1 (seed 7)\" time=\"1.500\"/>",
            ]
        );
        let all = lines.join("\n");
        assert!(
            all.contains("expected ben to get &lt;&quot;hi&quot;&gt;; nothing &amp; more\">"),
            "{all}"
        );
        assert!(all.contains("logs: /tmp/x"), "{all}");
        assert_eq!(escaped("a\u{1}\u{1b}[31m"), "a\u{fffd}\u{fffd}[31m");
    }
}
