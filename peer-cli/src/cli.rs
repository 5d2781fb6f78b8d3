//! The command line as typed: `clap` types, and its errors cut down to one line.
//!
//! Nothing past this file sees raw arguments; each command resolves its own once.

use std::ffi::OsString;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use peerline::session::PathPolicy;
use peerline::signaling::{Fingerprint, ServerUrl};
use signaling_protocol::{IceServer, Secret};

use crate::address::IceUrl;
use crate::commands::{
    bench, call, completions, connect, expose, pair, pipe, receive_file, send_file, transfers,
};
use crate::exit::Failure;
use crate::ui::Audience;

/// Longest `--timeout`: a week. Beyond that a typing mistake is likelier than patience.
const LONGEST_TIMEOUT: f64 = 7.0 * 86_400.0;

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
    Pipe(pipe::Arguments),
    Expose(expose::Arguments),
    Connect(connect::Arguments),
    Bench(bench::Arguments),
    Completions(completions::Arguments),
}

/// What every command that opens a line understands.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Common {
    /// Signaling server to meet at; without one, both sides find each other on this computer or
    /// the local network
    #[arg(
        long,
        value_name = "URL",
        env = "PEERLINE_SERVER",
        help_heading = "Connection"
    )]
    server: Option<ServerUrl>,

    /// Certificate that this server has to show, as `signaling-server --tls-self-signed` prints it
    #[arg(
        long,
        value_name = "SHA256",
        env = "PEERLINE_SERVER_FINGERPRINT",
        help_heading = "Connection"
    )]
    server_fingerprint: Option<Fingerprint>,

    /// Token for the server of --server, if it asks for one; better given in the environment, where
    /// others cannot see it
    #[arg(
        long,
        value_name = "TOKEN",
        env = "PEERLINE_TOKEN",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    token: Option<String>,

    /// Give up if the other side is not connected after this many seconds [default: wait]
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = timeout,
        allow_negative_numbers = true,
        help_heading = "Connection"
    )]
    pub(crate) timeout: Option<Duration>,

    /// Only connect through a TURN server, which hides the addresses of both sides
    #[arg(long, conflicts_with = "direct_only", help_heading = "Connection")]
    relay_only: bool,

    /// Only connect directly, never through a TURN server
    #[arg(long, help_heading = "Connection")]
    direct_only: bool,

    /// STUN server to learn the own public address from; may be repeated
    #[arg(long, value_name = "URL", value_parser = IceUrl::stun, help_heading = "Connection")]
    stun: Vec<IceUrl>,

    /// TURN server to relay through; may be repeated
    #[arg(long, value_name = "URL", value_parser = IceUrl::turn, help_heading = "Connection")]
    turn: Vec<IceUrl>,

    /// User name at the TURN servers
    #[arg(
        long,
        value_name = "NAME",
        env = "PEERLINE_TURN_USER",
        help_heading = "Connection"
    )]
    turn_user: Option<String>,

    /// Password at the TURN servers; better given in the environment, where others cannot see it
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "PEERLINE_TURN_PASSWORD",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    turn_password: Option<String>,

    /// Print events as JSON, one object a line, on stdout
    #[arg(long, conflicts_with = "quiet", help_heading = "Output")]
    json: bool,

    /// Print only the code, questions and errors
    #[arg(short, long, help_heading = "Output")]
    quiet: bool,

    /// Log what happens on stderr, with times; -vv and -vvv say more
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
}

impl Common {
    /// Who listens.
    pub(crate) fn audience(&self) -> Audience {
        match (self.json, self.quiet) {
            (true, _) => Audience::Scripts,
            (_, true) => Audience::Quiet,
            _ => Audience::People,
        }
    }

    /// The server that `--server` names, with the certificate that it has to show.
    pub(crate) fn server(&self) -> Option<ServerUrl> {
        let server = self.server.clone()?;
        Some(self.pinned(server))
    }

    /// A server of a link, with the certificate that it has to show if it is the one of `--server`, or if
    /// there is no `--server` that the fingerprint could be of.
    pub(crate) fn server_of_link(&self, link: ServerUrl) -> ServerUrl {
        let pinned = self.pinned(link.clone());
        match self.server() {
            Some(named) if named.page() != pinned.page() => link,
            _ => pinned,
        }
    }

    /// The token, if it is for this server: a link can lead anywhere, and what is found on the network can
    /// be anybody's.
    pub(crate) fn token_for(&self, server: &ServerUrl) -> Option<Secret> {
        let (named, token) = (self.server()?, self.token.as_deref()?);
        (named.page() == server.page()).then(|| Secret::new(token))
    }

    fn pinned(&self, server: ServerUrl) -> ServerUrl {
        match self.server_fingerprint {
            Some(fingerprint) => server.pinned(fingerprint),
            None => server,
        }
    }

    /// `--relay-only` and `--direct-only` as one choice.
    pub(crate) fn paths(&self) -> PathPolicy {
        match (self.relay_only, self.direct_only) {
            (true, _) => PathPolicy::RelayOnly,
            (_, true) => PathPolicy::DirectOnly,
            _ => PathPolicy::Any,
        }
    }

    /// The STUN and TURN servers of `--stun` and `--turn`, in that order.
    pub(crate) fn ice_servers(&self) -> Vec<IceServer> {
        let stun = self.stun.iter().map(|url| (url, None, None));
        let turn = self.turn.iter().map(|url| {
            (
                url,
                self.turn_user.clone(),
                self.turn_password.as_deref().map(Secret::new),
            )
        });
        stun.chain(turn)
            .map(|(url, username, credential)| IceServer {
                urls: vec![url.as_str().to_owned()],
                username,
                credential,
            })
            .collect()
    }
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
            Self::Pipe(arguments) => Some(&arguments.common),
            Self::Expose(arguments) => Some(&arguments.common),
            Self::Connect(arguments) => Some(&arguments.common),
            Self::Bench(arguments) => Some(&arguments.common),
            Self::Completions(_) => None,
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
            check_turn(&matches)?;
            check_codes(&matches)?;
            Ok(Parsed::Run(Box::new(cli)))
        }
        Err(error) if !error.use_stderr() => Ok(Parsed::Text(error.render().to_string())),
        Err(error) => Err(one_line(&error)),
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

/// `clap` explains a mistake in up to ten lines. The first paragraph says what is wrong and `tip:`
/// what was meant; the usage is one `--help` away.
fn one_line(error: &clap::Error) -> Failure {
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

pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= LONGEST_TIMEOUT => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => Err("it is not a number of seconds above 0 and up to a week".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse_words(words: &[&str]) -> Result<Parsed, Failure> {
        let arguments: Vec<OsString> = std::iter::once("peer-cli")
            .chain(words.iter().copied())
            .map(Into::into)
            .collect();
        parse(&arguments)
    }

    fn common(words: &[&str]) -> Common {
        match parse_words(words) {
            Ok(Parsed::Run(cli)) => cli.command.common().expect("opens a line").clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn common_arguments_become_choices() {
        let plain = common(&["send-file", "x"]);
        assert_eq!(
            (plain.audience(), plain.paths()),
            (Audience::People, PathPolicy::Any)
        );
        assert_eq!(plain.timeout, None);
        assert_eq!(plain.ice_servers(), []);

        let full = common(&[
            "receive-file",
            "--json",
            "--relay-only",
            "--timeout",
            "2.5",
            "-vv",
            "--stun",
            "stun:s",
            "--turn",
            "turn:t",
            "--turn-user",
            "u",
            "--turn-password",
            "p",
        ]);
        assert_eq!(
            (full.audience(), full.paths()),
            (Audience::Scripts, PathPolicy::RelayOnly)
        );
        assert_eq!(full.timeout, Some(Duration::from_millis(2500)));
        assert_eq!(full.verbose, 2);
        let servers = full.ice_servers();
        assert_eq!(
            servers[0],
            IceServer {
                urls: vec!["stun:s".into()],
                username: None,
                credential: None
            }
        );
        assert_eq!(servers[1].credential, Some(Secret::new("p")));
        assert_eq!(
            common(&["send-file", "-q", "--direct-only", "x"]).paths(),
            PathPolicy::DirectOnly
        );
    }

    #[test]
    fn a_token_goes_to_the_server_that_was_named_and_to_no_other() {
        let token = |words: &[&str], server: &str| {
            let common = common(&[&["send-file", "x", "--token", "t"], words].concat());
            common.token_for(&server.parse().unwrap()).is_some()
        };
        let named = ["--server", "https://h.example"];
        assert!(token(&named, "https://h.example/"));
        assert!(!token(&named, "https://evil.example/"));
        assert!(!token(&named, "http://h.example/"), "not in the clear");
        assert!(!token(&named, "https://h.example:444/"));
        assert!(!token(&[], "https://h.example/"), "a link, or found");
    }

    #[test]
    fn a_fingerprint_is_of_the_server_that_was_named() {
        let print = format!("sha256:{}", "0a".repeat(32));
        let pinned = common(&[
            "send-file",
            "x",
            "--server",
            "10.0.0.1:8787",
            "--server-fingerprint",
            &print,
        ]);
        let server = pinned.server().unwrap();
        assert_eq!(server.page(), "https://10.0.0.1:8787/");
        assert_eq!(server.pin().unwrap().to_string(), print);
        let other = pinned.server_of_link("https://h.example".parse().unwrap());
        assert_eq!(other.pin(), None);
        let same = pinned.server_of_link("https://10.0.0.1:8787".parse().unwrap());
        assert_eq!(same, server);
        let alone = common(&["send-file", "x", "--server-fingerprint", &print]);
        let link = alone.server_of_link("https://h.example".parse().unwrap());
        assert!(link.pin().is_some());
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
