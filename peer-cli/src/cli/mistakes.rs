//! Mistakes in a command line, in one line that says what to try.

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::exit::Failure;

/// What `clap` cannot find out: arguments that make no sense together, given where they come from.
pub(super) fn check(matches: &ArgMatches) -> Result<(), Failure> {
    check_turn(matches)?;
    check_codes(matches)
}

/// A user name or password that was typed is for a server that was forgotten; one in the environment waits
/// there for the commands that need it.
fn check_turn(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((_, matches)) = matches.subcommand() else {
        return Ok(());
    };
    let typed = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
    let known = |id: &str| matches.try_contains_id(id).is_ok();
    let forgotten = known("turn")
        && matches.value_source("turn").is_none()
        && (typed("turn_user") || typed("turn_password"));
    if forgotten {
        return Err(Failure::usage(
            "--turn-user and --turn-password are for a server that --turn names",
        )
        .hint("add --turn turn:HOST:PORT"));
    }
    Ok(())
}

/// A code in the environment waits there for the commands that make one; typed beside the other side's code,
/// it is a mistake.
fn check_codes(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((_, matches)) = matches.subcommand() else {
        return Ok(());
    };
    let typed = |id| {
        matches.try_contains_id(id).is_ok()
            && matches.value_source(id) == Some(ValueSource::CommandLine)
    };
    if typed("to") && typed("code") {
        return Err(Failure::usage("--to and --code cannot be used together")
            .hint("--to is the code of one who waits, --code one to wait under"));
    }
    if typed("from") && (typed("target") || typed("code")) {
        return Err(Failure::usage("--from and a code cannot be used together")
            .hint("a known device needs no code"));
    }
    Ok(())
}

/// `clap` explains a mistake in up to ten lines. The first paragraph says what is wrong and `tip:`
/// what was meant; the usage is one `--help` away.
pub(super) fn one_line(error: &clap::Error) -> Failure {
    use clap::error::ErrorKind;
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand
    ) {
        return Failure::usage("no command was given")
            .hint("try send-file, receive-file, pipe, expose, call or --help");
    }
    let text = error.render().to_string();
    let mut paragraphs = text
        .split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    let message = paragraphs.next().unwrap_or_default();
    let message = message
        .strip_prefix("error: ")
        .unwrap_or(&message)
        .to_owned();
    let tip = paragraphs.find_map(|paragraph| paragraph.strip_prefix("tip: ").map(str::to_owned));
    Failure::usage(message).hint(tip.unwrap_or_else(|| "--help lists what there is".into()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse_words;

    #[test]
    fn mistakes_take_one_line_that_says_what_to_try() {
        for (words, expected) in [
            (
                &[][..],
                "no command was given; try send-file, receive-file, pipe, expose, call or --help",
            ),
            (&["send"], "unrecognized subcommand 'send'; "),
            (
                &["send-file"],
                "the following required arguments were not provided: <PATH>...; --help",
            ),
            (
                &["send-file", "--jsn", "x"],
                "unexpected argument '--jsn' found; a similar argument exists: '--json'",
            ),
            (
                &["send-file", "x", "--timeout", "0"],
                "it is not a number of seconds above 0",
            ),
            (
                &["send-file", "x", "--timeout", "nan"],
                "invalid value 'nan' for '--timeout <SECONDS>': ",
            ),
            (&["send-file", "x", "--timeout", "1e99"], "up to a week"),
            (
                &["send-file", "x", "--server", "ftp://h"],
                "for '--server <URL>': a server address begins with http, https, ws or wss",
            ),
            (
                &["send-file", "x", "--relay-only", "--direct-only"],
                "cannot be used with",
            ),
            (
                &["send-file", "x", "--json", "--quiet"],
                "cannot be used with",
            ),
            (
                &["send-file", "x", "--turn-user", "u"],
                "--turn-user and --turn-password are for a server that --turn names",
            ),
            (
                &["send-file", "x", "--timeout", "-1"],
                "it is not a number of seconds above 0",
            ),
            (
                &["receive-file", "7-crane-velvit-orbit"],
                "did you mean velvet?",
            ),
            (
                &["receive-file", "7-crane-velvet-orbit", "two"],
                "unexpected argument 'two' found",
            ),
            (
                &[
                    "send-file",
                    "x",
                    "--to",
                    "7-crane-velvet-orbit",
                    "--code",
                    "7-crane-velvet-orbit",
                ],
                "--to and --code cannot be used together",
            ),
            (
                &["receive-file", "7-crane-velvet-orbit", "--from", "laptop"],
                "--from and a code cannot be used together",
            ),
            (
                &["receive-file", "--from", "7-crane-velvet-orbit"],
                "a device is called by up to 32 letters",
            ),
            (
                &["pair"],
                "the following required arguments were not provided: <NAME>; --help",
            ),
            (&["pair", "a-b-c-d"], "this could be a code"),
            (&["pair", "rename", "a"], "required arguments"),
            (
                &["send-file", "x", "--limit", "5Mb"],
                "'Mb' is no unit; write a number with",
            ),
            (
                &["receive-file", "--max-size", "big"],
                "it does not begin with a number",
            ),
            (
                &["receive-file", "--accept", "some"],
                "a policy is all, ask or names:GLOB",
            ),
            (
                &["receive-file", "--accept", "all", "--yes"],
                "cannot be used with",
            ),
            (
                &["receive-file", "--listen", "--timeout", "5"],
                "cannot be used with",
            ),
            (
                &["bench", "--duration", "61"],
                "it is not a number of seconds from 0.1 to 60",
            ),
            (&["bench", "--lanes", "1,17"], "17 is not in 1..=16"),
            (
                &[
                    "bench",
                    "7-crane-velvet-orbit",
                    "--code",
                    "7-crane-velvet-orbit",
                ],
                "cannot be used with",
            ),
            (
                &["completions", "tcsh"],
                "invalid value 'tcsh' for '<SHELL>'",
            ),
        ] {
            let failure = parse_words(words).expect_err("must be refused");
            let line = failure.to_string();
            assert!(line.contains(expected), "{words:?}: {line}");
            assert!(!line.contains('\n'), "{line}");
            assert!(!failure.hint.is_empty());
        }
    }
}
