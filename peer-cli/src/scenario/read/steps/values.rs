//! What steps say beside what they do.

use peerline::channel::Delivery;
use peerline::media::Kind;

use super::super::super::document::{Problem, Table, Value};
use super::super::super::plan::{Load, Matcher, Probe, State};
use crate::amount;

/// Most bytes of one transfer: they are on this disk twice.
const MOST_BYTES: u64 = 1 << 30;

/// Most files of one transfer.
const MOST_FILES: u32 = 10_000;

/// Most messages of one step, each of which is compared.
const MOST_MESSAGES: u32 = 100_000;

pub(super) fn probe(
    verb: &'static str,
    value: Value<'_>,
    table: &mut Table<'_>,
) -> Result<Probe, Problem> {
    let word: String = value.read()?;
    Ok(match verb {
        "click" => Probe::Click { selector: word },
        "fill" => Probe::Fill {
            selector: word,
            text: table.need("with")?.read()?,
        },
        "text" => {
            let problem = table.problem("a step with `text` needs `is` or `contains`");
            let matcher = matcher(table)?.ok_or(problem)?;
            Probe::Text {
                selector: word,
                matcher,
            }
        }
        "visible" => Probe::Visible { selector: word },
        _ => Probe::Check {
            expression: word,
            matcher: matcher(table)?.unwrap_or(Matcher::Truth),
        },
    })
}

pub(super) fn matcher(table: &mut Table<'_>) -> Result<Option<Matcher>, Problem> {
    let is = table.take("is").map(Value::read).transpose()?;
    let contains = table.take("contains").map(Value::read).transpose()?;
    match (is, contains) {
        (Some(_), Some(_)) => Err(table.problem("`is` and `contains` exclude each other")),
        (Some(value), None) => Ok(Some(Matcher::Is(value))),
        (None, Some(text)) => Ok(Some(Matcher::Contains(text))),
        (None, None) => Ok(None),
    }
}

pub(super) fn count(table: &mut Table<'_>) -> Result<u32, Problem> {
    let Some(value) = table.take("count") else {
        return Ok(1);
    };
    let problem = value.problem(format!("it is 1 to {MOST_MESSAGES}"));
    let count = value.read()?;
    (1..=MOST_MESSAGES)
        .contains(&count)
        .then_some(count)
        .ok_or(problem)
}

pub(super) fn load(value: Value<'_>, table: &mut Table<'_>) -> Result<Load, Problem> {
    let problem = value.problem("at most 1 GiB are transferred");
    let text: String = value.read()?;
    let files = table.take("files");
    let Ok(bytes) = amount::size(&text) else {
        return match files {
            Some(value) => Err(value.problem("it is for random bytes")),
            None => Ok(Load::Path(text)),
        };
    };
    let files = match files {
        Some(value) => {
            let problem = value.problem(format!("it is 1 to {MOST_FILES}"));
            let files = value.read()?;
            (1..=MOST_FILES)
                .contains(&files)
                .then_some(files)
                .ok_or(problem)?
        }
        None => 1,
    };
    match bytes <= MOST_BYTES {
        true => Ok(Load::Random { bytes, files }),
        false => Err(problem),
    }
}

pub(super) fn channel(text: &str) -> Result<String, String> {
    match text.len() {
        1..=64 => Ok(text.to_owned()),
        _ => Err("a label has 1 to 64 bytes".into()),
    }
}

pub(super) fn delivery(text: &str) -> Result<Delivery, String> {
    match text {
        "reliable" => Ok(Delivery::Reliable),
        "datagram" => Ok(Delivery::Datagram),
        _ => Err("it is reliable or datagram".into()),
    }
}

pub(super) fn state(text: &str) -> Result<State, String> {
    match text {
        "connected" => Ok(State::Connected),
        "interrupted" => Ok(State::Interrupted),
        "ended" => Ok(State::Ended),
        _ => Err("it is connected, interrupted or ended".into()),
    }
}

pub(super) fn kind(text: &str) -> Result<Kind, String> {
    match text {
        "video" => Ok(Kind::Video),
        "audio" => Ok(Kind::Audio),
        _ => Err("it is video or audio".into()),
    }
}
