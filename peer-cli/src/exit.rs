//! How a command ends: the exit codes that scripts rely on, and the failure behind each one.
//!
//! Nothing here prints or exits. Commands return a [`Failure`], `ui` words it, `main` turns it
//! into the number.

use std::fmt;
use std::process::ExitCode;

use serde::Serialize;

/// The exit codes of `peer-cli`. Names and numbers are a promise to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Exit {
    /// Everything that was asked for happened, and the other side agreed that it did.
    Done,
    /// Our own fault: a broken promise inside Peerline. Worth a bug report.
    Bug,
    /// What was typed cannot work. Nothing was contacted and nothing was created.
    Usage,
    /// A person, on either side, said no.
    Declined,
    /// The line broke, or the other side left, before everything was done; trying again can help.
    Interrupted,
    /// The other side was not reached: nobody came in time, or no network path worked.
    NoPath,
    /// Wrong code, a spoilt code, or somebody in the middle. No user data was exchanged.
    WrongCode,
    /// The signaling server, or the room on it, could not be reached.
    NoSignaling,
    /// What arrived is not what was sent, or could not be accepted as it is.
    BadData,
    /// A file, disk or device failed; the message says on which side.
    Local,
    /// Ctrl-C.
    CtrlC,
}

impl Exit {
    /// The number the shell sees.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Bug => 1,
            Self::Usage => 2,
            Self::Declined => 3,
            Self::Interrupted => 4,
            Self::NoPath => 5,
            Self::WrongCode => 6,
            Self::NoSignaling => 7,
            Self::BadData => 8,
            Self::Local => 9,
            // 128 + SIGINT, what a shell reports for a program that the signal ended.
            Self::CtrlC => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// Whether the same command, unchanged, can succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// It can: the cause was the network, the other side or the moment.
    Helps,
    /// It cannot: something about the command or the files must change first.
    Useless,
}

/// Why a command did not do what it was asked to.
///
/// The message says what failed and whose fault it is, the hint says what to try. Both are whole
/// phrases without a final full stop; `ui` puts them on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The number `main` ends with.
    pub(crate) exit: Exit,
    /// A stable kebab-case name for scripts, the `code` of the JSON `error` event.
    pub(crate) kind: &'static str,
    /// What failed. May quote names from the command line or the peer; `ui` cleans them.
    pub(crate) message: String,
    /// What to try next; empty if there is nothing to try.
    pub(crate) hint: String,
    /// Whether trying again as it is makes sense.
    pub(crate) retry: Retry,
    /// How to go on, if something was transferred.
    pub(crate) remains: Option<Box<Remains>>,
}

/// What is left of a transfer that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remains {
    /// The command that goes on from there.
    pub(crate) resume: String,
    /// What stays on this disk; nothing on the sender's.
    pub(crate) kept: Option<Kept>,
}

/// What stays on this disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Kept {
    /// Its name for `peer-cli transfers`.
    pub(crate) id: String,
    /// Where it is.
    pub(crate) path: String,
    /// Bytes that need not be sent again.
    pub(crate) bytes: u64,
    /// The command that takes it away.
    pub(crate) discard: String,
}

impl Failure {
    /// A failure of the given kind that trying again does not mend.
    pub(crate) fn new(exit: Exit, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            exit,
            kind,
            message: message.into(),
            hint: String::new(),
            retry: Retry::Useless,
            remains: None,
        }
    }

    /// The command line is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    /// A path, disk or device of this machine failed while doing `what`.
    pub(crate) fn local(what: impl fmt::Display, error: &std::io::Error) -> Self {
        Self::new(
            Exit::Local,
            "local-io",
            format!("{what}: {}", io_reason(error)),
        )
    }

    /// Our own mistake.
    pub(crate) fn bug(message: impl Into<String>) -> Self {
        Self::new(Exit::Bug, "bug", message).hint("this is a mistake in Peerline; please report it")
    }

    /// Ctrl-C, or a polite request to end.
    pub(crate) fn ctrl_c() -> Self {
        Self::new(Exit::CtrlC, "cancelled", "stopped before it was finished").retry()
    }

    /// Adds what to try.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Marks that the same command can succeed later.
    pub(crate) fn retry(mut self) -> Self {
        self.retry = Retry::Helps;
        self
    }
}

/// Message and hint on one line.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.hint.is_empty() {
            Ok(())
        } else {
            write!(f, "; {}", self.hint)
        }
    }
}

impl std::error::Error for Failure {}

/// The reason without Rust's "(os error 2)", which helps nobody at a prompt.
pub(crate) fn io_reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_documented_ones_and_distinct() {
        let all = [
            (Exit::Done, 0),
            (Exit::Bug, 1),
            (Exit::Usage, 2),
            (Exit::Declined, 3),
            (Exit::Interrupted, 4),
            (Exit::NoPath, 5),
            (Exit::WrongCode, 6),
            (Exit::NoSignaling, 7),
            (Exit::BadData, 8),
            (Exit::Local, 9),
            (Exit::CtrlC, 130),
        ];
        for (exit, number) in all {
            assert_eq!(exit.number(), number, "{exit:?}");
        }
    }

    #[test]
    fn a_failure_reads_as_one_line_with_what_to_try() {
        let plain = Failure::usage("no such file: 'x'");
        assert_eq!(plain.to_string(), "no such file: 'x'");
        assert_eq!(plain.retry, Retry::Useless);

        let full = Failure::new(Exit::NoSignaling, "no-server", "nobody answers at http://h")
            .hint("check the address given with --server")
            .retry();
        assert_eq!(
            full.to_string(),
            "nobody answers at http://h; check the address given with --server"
        );
        assert_eq!(full.retry, Retry::Helps);
    }

    #[test]
    fn system_errors_lose_their_number() {
        let missing = std::fs::File::open("/no/such/file").expect_err("must not exist");
        let failure = Failure::local("cannot read '/no/such/file'", &missing);
        assert_eq!(
            failure.message,
            "cannot read '/no/such/file': no such file or directory"
        );
        assert_eq!(failure.exit, Exit::Local);
    }
}
