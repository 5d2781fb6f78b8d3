//! What was found, and what it means: pure.

mod machine;
mod nat;
mod peer;
mod server;
mod turn;

pub(super) use machine::{devices, ffmpeg, interfaces, mdns};
pub(super) use nat::{Mappings, Nat, nat};
pub(super) use peer::{Reached, peer};
pub(super) use server::{Ways, clock, page, server};
pub(super) use turn::{Relay, turn};

use std::time::Duration;

use crate::exit::Exit;

/// How well it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Pass,
    /// Something works less well, or not at all for some.
    Warn,
    /// Something that was asked for does not work.
    Fail,
}

/// What one check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) check: &'static str,
    pub(super) level: Level,
    pub(super) message: String,
    /// What to do; empty if there is nothing to do.
    pub(super) advice: &'static str,
    /// What the command ends with if this is its first failure.
    pub(super) exit: Exit,
}

impl Verdict {
    fn new(
        check: &'static str,
        level: Level,
        message: impl Into<String>,
        advice: &'static str,
    ) -> Self {
        Self {
            check,
            level,
            message: message.into(),
            advice,
            exit: Exit::NoPath,
        }
    }

    fn pass(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Level::Pass, message, "")
    }

    fn warn(check: &'static str, message: impl Into<String>, advice: &'static str) -> Self {
        Self::new(check, Level::Warn, message, advice)
    }

    fn fail(
        check: &'static str,
        exit: Exit,
        message: impl Into<String>,
        advice: &'static str,
    ) -> Self {
        let verdict = Self::new(check, Level::Fail, message, advice);
        Self { exit, ..verdict }
    }
}

fn ms(time: Duration) -> String {
    format!("{:.0} ms", (time.as_secs_f64() * 1000.0).max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const OK: Result<Duration, String> = Ok(Duration::from_millis(12));

    pub(super) fn no<T>() -> Result<T, String> {
        Err("nothing listens there".to_owned())
    }

    #[track_caller]
    pub(super) fn check(verdict: &Verdict, level: Level, words: &str) {
        assert_eq!(verdict.level, level, "{verdict:?}");
        assert!(verdict.message.contains(words), "{verdict:?}");
        assert!(!verdict.message.ends_with('.') && !verdict.message.contains('\n'));
    }
}
