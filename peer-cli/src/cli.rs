//! The command line as typed: `clap` types, and its errors cut down to one line.
//!
//! Nothing past this file sees raw arguments; each command resolves its own once.

mod common;
mod mistakes;

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

#[cfg(target_os = "linux")]
use crate::commands::lab;
use crate::commands::{
    bench, call, chat, completions, connect, doctor, expose, forward, pair, pipe, receive_file,
    record, send_file, test, transfers,
};
use crate::exit::Failure;
use crate::ui::Audience;

pub(crate) use common::{Common, timeout};

/// Direct, end-to-end encrypted lines between terminals and browser tabs.
#[derive(Debug, Parser)]
#[command(
    name = "peer-cli",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    SendFile(send_file::Arguments),
    ReceiveFile(receive_file::Arguments),
    Pair(pair::Arguments),
    Transfers(transfers::Arguments),
    Call(call::Arguments),
    Forward(forward::Arguments),
    Record(record::Arguments),
    Chat(chat::Arguments),
    Pipe(pipe::Arguments),
    Expose(expose::Arguments),
    Connect(connect::Arguments),
    Doctor(doctor::Arguments),
    Bench(bench::Arguments),
    Test(test::Arguments),
    #[cfg(target_os = "linux")]
    Lab(lab::Arguments),
    Completions(completions::Arguments),
}

impl Command {
    /// The arguments that every command shares; those that open no line have none.
    pub(crate) fn common(&self) -> Option<&Common> {
        match self {
            Self::SendFile(arguments) => Some(&arguments.common),
            Self::ReceiveFile(arguments) => Some(&arguments.common),
            Self::Pair(arguments) => arguments.common(),
            Self::Transfers(arguments) => arguments.common(),
            Self::Call(arguments) => Some(&arguments.common),
            Self::Forward(arguments) => Some(&arguments.common),
            Self::Record(arguments) => Some(&arguments.common),
            Self::Chat(arguments) => Some(&arguments.common),
            Self::Pipe(arguments) => Some(&arguments.common),
            Self::Expose(arguments) => Some(&arguments.common),
            Self::Connect(arguments) => Some(&arguments.common),
            Self::Doctor(arguments) => Some(&arguments.common),
            Self::Bench(arguments) => Some(&arguments.common),
            Self::Completions(_) | Self::Test(_) => None,
            #[cfg(target_os = "linux")]
            Self::Lab(_) => None,
        }
    }
}

/// What the arguments come down to.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// Something to do.
    Run(Box<Cli>),
    /// `--help` or `--version` was answered with this text.
    Text(String),
}

/// Reads the arguments, the program's name first.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Parsed, Failure> {
    let command =
        Cli::command().mut_subcommands(|command| command.mut_args(without_empty_variable));
    let parsed = command
        .try_get_matches_from(arguments)
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    match parsed {
        Ok((cli, matches)) => {
            mistakes::check(&matches)?;
            Ok(Parsed::Run(Box::new(cli)))
        }
        Err(error) if !error.use_stderr() => Ok(Parsed::Text(error.render().to_string())),
        Err(error) => Err(mistakes::one_line(&error)),
    }
}

/// An empty variable is how a shell switches one off for a single command.
fn without_empty_variable(argument: clap::Arg) -> clap::Arg {
    let is_empty = argument
        .get_env()
        .and_then(std::env::var_os)
        .is_some_and(|value| value.is_empty());
    if is_empty {
        argument.env(None::<&'static str>)
    } else {
        argument
    }
}

/// Who listens when the arguments could not be read as a whole.
pub(crate) fn audience_of_wrong(arguments: &[OsString]) -> Audience {
    let before_dashes = arguments
        .iter()
        .skip(1)
        .take_while(|argument| *argument != "--");
    if before_dashes
        .into_iter()
        .any(|argument| argument == "--json")
    {
        Audience::Scripts
    } else {
        Audience::People
    }
}

/// Whether stdout is for data, and everything that is said goes to stderr.
pub(crate) fn keeps_stdout(arguments: &[OsString]) -> bool {
    arguments.get(1).is_some_and(|command| command == "pipe")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    pub(super) fn parse_words(words: &[&str]) -> Result<Parsed, Failure> {
        let arguments: Vec<OsString> = std::iter::once("peer-cli")
            .chain(words.iter().copied())
            .map(Into::into)
            .collect();
        parse(&arguments)
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_and_version_are_results() {
        for words in [
            &["--help"][..],
            &["--version"],
            &["send-file", "--help"],
            &["help"],
        ] {
            assert!(
                matches!(parse_words(words), Ok(Parsed::Text(_))),
                "{words:?}"
            );
        }
    }

    #[test]
    fn json_is_honoured_for_mistakes_too() {
        let audience =
            |words: &[&str]| audience_of_wrong(&words.iter().map(Into::into).collect::<Vec<_>>());
        assert_eq!(
            audience(&["peer-cli", "send-file", "--json"]),
            Audience::Scripts
        );
        assert_eq!(
            audience(&["peer-cli", "send-file", "--", "--json"]),
            Audience::People
        );
        assert_eq!(audience(&["peer-cli"]), Audience::People);
    }
}
