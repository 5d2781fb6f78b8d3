//! Where settings come from: flags, before the environment, before a file, before the defaults. A file has
//! the long names of the flags as keys; every value is checked as if it had been typed.

use super::arguments::Arguments;
use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, parser::ValueSource};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt::Write,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

/// Most bytes of a file.
const FILE_BYTES: u64 = 1024 * 1024;

/// Settings that a file cannot hold.
const NOT_IN_A_FILE: [&str; 4] = ["config", "print_config", "help", "version"];

/// What makes no sense without something else.
const NEEDS: [(&str, &str); 16] = [
    ("turn_host", "turn"),
    ("turn_external_ips", "turn"),
    ("turn_allow", "turn"),
    ("turn_deny", "turn"),
    ("turn_uris", "turn_secret"),
    ("tls_cert", "tls_key"),
    ("tls_key", "tls_cert"),
    ("tls_names", "tls_self_signed"),
    ("acme", "acme_cache"),
    ("acme_cache", "acme"),
    ("acme_email", "acme"),
    ("acme_directory", "acme"),
    ("acme_ca", "acme"),
    ("tls_turn_only", "turn"),
    ("auth_webhook_secret", "auth_webhook"),
    ("proxy_header", "trusted_proxies"),
];

/// What excludes something else.
const EXCLUDES: [(&str, &str); 5] = [
    ("tls_self_signed", "tls_cert"),
    ("acme", "tls_cert"),
    ("acme", "tls_self_signed"),
    ("auth_webhook", "access_secret"),
    ("auth_webhook", "token_keys"),
];

/// What changes while the server runs, when it reads its settings again.
const RELOADED: [&str; 6] = [
    "origins",
    "access_secret",
    "token_keys",
    "auth_webhook",
    "auth_webhook_secret",
    "admin_token",
];

/// Everything that was set.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) arguments: Arguments,
    /// By identifier: the values as they were given.
    given: BTreeMap<String, Vec<OsString>>,
    printed: String,
}

/// What the arguments come down to.
pub(crate) enum Loaded {
    Settings(Box<Settings>),
    /// `--help` or `--version` was answered with this text.
    Text(String),
}

impl Settings {
    /// Reads everything there is to read.
    pub(crate) fn read(words: &[OsString]) -> Result<Loaded> {
        let command = Arguments::command().mut_args(without_empty_variable);
        let matches = match command.clone().try_get_matches_from(words) {
            Ok(matches) => matches,
            Err(error) if !error.use_stderr() => {
                return Ok(Loaded::Text(error.render().to_string()));
            }
            Err(error) => return Err(one_line(&error)),
        };
        if matches.subcommand().is_some() {
            return Ok(Loaded::Settings(Box::new(Self::new(
                &command,
                &matches,
                &[],
            )?)));
        }
        let Some(path) = matches.get_one::<PathBuf>("config") else {
            return Ok(Loaded::Settings(Box::new(Self::new(
                &command,
                &matches,
                &[],
            )?)));
        };
        let (command, from_file) =
            with_file(command, path).with_context(|| path.display().to_string())?;
        // What was typed was fine by itself.
        let matches = command.clone().try_get_matches_from(words);
        let matches = matches
            .map_err(|error| one_line(&error))
            .with_context(|| path.display().to_string())?;
        Ok(Loaded::Settings(Box::new(Self::new(
            &command, &matches, &from_file,
        )?)))
    }

    fn new(command: &Command, matches: &ArgMatches, from_file: &[String]) -> Result<Self> {
        let mut given = BTreeMap::new();
        for argument in command.get_arguments() {
            let id = argument.get_id().as_str();
            let Some(source) = matches.value_source(id) else {
                continue;
            };
            let in_file = from_file.iter().any(|known| known == id);
            if source != ValueSource::DefaultValue || in_file {
                let values = matches.get_raw(id).unwrap_or_default();
                given.insert(id.to_owned(), values.map(ToOwned::to_owned).collect());
            }
        }
        let flag = |id: &str| format!("--{}", long_name(command, id));
        let is_given = |id: &str| given.contains_key(id);
        for (id, needed) in NEEDS {
            ensure!(
                !is_given(id) || is_given(needed),
                "{} needs {}",
                flag(id),
                flag(needed)
            );
        }
        for (id, other) in EXCLUDES {
            ensure!(
                !(is_given(id) && is_given(other)),
                "{} and {} exclude each other",
                flag(id),
                flag(other)
            );
        }
        Ok(Self {
            printed: print(command, matches, from_file),
            arguments: Arguments::from_arg_matches(matches).map_err(|error| one_line(&error))?,
            given,
        })
    }

    /// All settings as a file, with where each comes from. What a file must not show is left out.
    pub(crate) fn print(&self) -> &str {
        &self.printed
    }

    /// What is different in `other` and takes effect only after a restart.
    pub(crate) fn needs_restart(&self, other: &Self) -> Vec<String> {
        let ids = self.given.keys().chain(other.given.keys());
        let mut changed: Vec<_> = ids
            .filter(|id| !RELOADED.contains(&id.as_str()))
            .filter(|id| self.given.get(*id) != other.given.get(*id))
            .map(|id| long_name(&Arguments::command(), id))
            .collect();
        changed.sort_unstable();
        changed.dedup();
        changed
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

/// The command with the settings of a file as defaults, and which ones these are.
fn with_file(mut command: Command, path: &Path) -> Result<(Command, Vec<String>)> {
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES).read_to_string(&mut text))
        .context("cannot read it")?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error
            .span()
            .map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        anyhow!(
            "line {line}: {}",
            error.message().lines().next().unwrap_or_default()
        )
    })?;
    let mut from_file = Vec::new();
    for (key, value) in table {
        let argument = command
            .get_arguments()
            .find(|argument| argument.get_long() == Some(key.as_str()));
        let id = argument
            .map(|argument| argument.get_id().as_str().to_owned())
            .filter(|id| !NOT_IN_A_FILE.contains(&id.as_str()))
            .ok_or_else(|| anyhow!("there is no setting {key:?}{}", nearest(&command, &key)))?;
        let values = texts(&value).with_context(|| format!("{key:?}"))?;
        command = command.mut_arg(&id, |argument| argument.default_values(values));
        from_file.push(id);
    }
    Ok((command, from_file))
}

/// A value as it would be typed.
fn texts(value: &toml::Value) -> Result<Vec<String>> {
    let one = |value: &toml::Value| match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Boolean(truth) => Ok(truth.to_string()),
        _ => bail!("a setting is a text, a whole number, true or false, or a list of these"),
    };
    match value {
        toml::Value::Array(values) => values.iter().map(one).collect(),
        value => Ok(vec![one(value)?]),
    }
}

/// A hint for a typing mistake.
fn nearest(command: &Command, key: &str) -> String {
    let names = command
        .get_arguments()
        .filter_map(|argument| argument.get_long());
    let start = key.split(['-', '_']).next().unwrap_or_default();
    let alike: Vec<_> = names
        .filter(|name| {
            name.replace('-', "_") == key.replace('-', "_") || name.split('-').next() == Some(start)
        })
        .collect();
    match alike.as_slice() {
        [] => String::new(),
        names => format!("; there is {}", names.join(", ")),
    }
}

fn long_name(command: &Command, id: &str) -> String {
    let argument = command
        .get_arguments()
        .find(|argument| argument.get_id() == id);
    let long = argument.and_then(|argument| argument.get_long());
    long.unwrap_or(id).to_owned()
}

fn print(command: &Command, matches: &ArgMatches, from_file: &[String]) -> String {
    let mut text = String::new();
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        let Some(name) = argument.get_long().filter(|_| !NOT_IN_A_FILE.contains(&id)) else {
            continue;
        };
        let values: Vec<_> = matches
            .get_raw(id)
            .unwrap_or_default()
            .map(|value| toml::Value::String(value.to_string_lossy().into_owned()))
            .collect();
        let source = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => "flag",
            Some(ValueSource::EnvVariable) => "environment",
            Some(_) if from_file.iter().any(|known| known == id) => "file",
            _ => "default",
        };
        // Writing to a string cannot fail.
        let _ = match values.as_slice() {
            [] => writeln!(text, "# {name} is not set"),
            _ if argument.is_hide_env_values_set() => {
                writeln!(text, "# {name} = \"***\"  # {source}")
            }
            values => {
                let value = match values {
                    [value] => value.clone(),
                    values => toml::Value::Array(values.to_vec()),
                };
                // A file with them would look as if somebody had chosen them.
                let comment = if source == "default" { "# " } else { "" };
                writeln!(text, "{comment}{name} = {value}  # {source}")
            }
        };
    }
    text
}

/// `clap` explains a mistake in up to ten lines; the first paragraph says what is wrong, and `tip:` what
/// was meant.
pub(crate) fn one_line(error: &clap::Error) -> anyhow::Error {
    let text = error.render().to_string();
    let mut paragraphs = text
        .split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    let message = paragraphs.next().unwrap_or_default();
    let message = message
        .strip_prefix("error: ")
        .unwrap_or(&message)
        .to_owned();
    match paragraphs.find(|paragraph| paragraph.starts_with("tip: ")) {
        Some(tip) => anyhow!("{message} ({tip})"),
        None => anyhow!("{message} (--help lists what there is)"),
    }
}
