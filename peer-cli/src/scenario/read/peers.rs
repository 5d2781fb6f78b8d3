//! `[peers.NAME]`: who takes part.

use std::collections::BTreeMap;

use peerline::media::Codec;
use peerline::net::link::LinkConfig;

use super::super::document::{Problem, Table, Value};
use super::super::plan::{Peer, PeerKind, link_seed};
use super::super::watch;
use super::{MAX_PEERS, condition};

/// Letters that names may have: they name files, too.
const NAME: &str = "letters, digits, - and _";

/// How much faster anything heals: below 20 ms for a limit, only a machine without any other work would hold it.
const MOST_FASTER: u32 = 50;

pub(super) fn read(
    file: &mut Table<'_>,
    network: &LinkConfig,
    seed: u64,
) -> Result<Vec<Peer>, Problem> {
    let value = file.need("peers")?;
    let problem = value.problem(format!("there are 1 to {MAX_PEERS} of them"));
    let mut table = value.table("the peers")?;
    let names = table.names();
    if names.is_empty() || names.len() > MAX_PEERS {
        return Err(problem);
    }
    let mut peers = Vec::new();
    for (index, name) in names.into_iter().enumerate() {
        let Some(value) = table.take_named(&name) else {
            continue;
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 32 || !name.chars().all(legal) || name == "all" {
            let message = format!("a peer's name has up to 32 {NAME}, and is not `all`");
            return Err(value.problem(message));
        }
        let line = value.line();
        let mut entry = value.table(format!("peer `{name}`"))?;
        let starts = entry.take("start").map(Value::read).transpose()?;
        let kind = kind(&mut entry, network, link_seed(seed, index, 1 << 32))?;
        entry.finish()?;
        peers.push(Peer {
            name,
            line,
            starts: starts.unwrap_or(true),
            kind,
        });
    }
    Ok(peers)
}

fn kind(table: &mut Table<'_>, network: &LinkConfig, seed: u64) -> Result<PeerKind, Problem> {
    if let Some(page) = table.take("page") {
        table.describes("a peer that is a page");
        let page = page.read()?;
        let mut allows = Vec::new();
        for value in list(table.take("allow"))? {
            allows.push(value.parsed(finding)?);
        }
        return Ok(PeerKind::Page { page, allows });
    }
    if let Some(command) = table.take("command") {
        table.describes("a peer that is a command");
        let problem = command.problem("it has at least the name of a program");
        let words: Vec<String> = command.read()?;
        if words.is_empty() {
            return Err(problem);
        }
        let variables = table.take("env").map(Value::read).transpose()?;
        let variables: BTreeMap<String, String> = variables.unwrap_or_default();
        return Ok(PeerKind::Program { words, variables });
    }
    if let Some(room) = table.take("room") {
        table.describes("a peer in an open room");
        let room = room.parsed(|text| {
            let name: Result<signaling_protocol::RoomName, _> = text.parse();
            name.map(|name| name.as_str().to_owned())
                .map_err(|error| error.to_string())
        })?;
        let mut sends = Vec::new();
        for value in list(table.take("send"))? {
            sends.push(value.parsed(codec)?);
        }
        let mut network = condition(table, network.clone())?;
        network.seed = seed;
        return Ok(PeerKind::Member {
            room,
            sends,
            network,
        });
    }
    let faster = match table.take("faster") {
        Some(value) => {
            let problem = value.problem(format!("it is 1 to {MOST_FASTER}"));
            let faster = value.read()?;
            (1..=MOST_FASTER)
                .contains(&faster)
                .then_some(faster)
                .ok_or(problem)?
        }
        None => 1,
    };
    Ok(PeerKind::Native { faster })
}

fn list(value: Option<Value<'_>>) -> Result<Vec<Value<'_>>, Problem> {
    value.map_or_else(|| Ok(Vec::new()), Value::list)
}

fn finding(text: &str) -> Result<String, String> {
    match watch::CODES.contains(&text) {
        true => Ok(text.to_owned()),
        false => Err(format!("it is one of {}", watch::CODES.join(", "))),
    }
}

/// What is sent of a kind: the test clip, which is in these.
pub(super) fn codec(text: &str) -> Result<Codec, String> {
    match text {
        "video" => Ok(Codec::Vp8),
        "audio" => Ok(Codec::Opus),
        _ => Err("it is video or audio".into()),
    }
}
