//! From the text of a scenario to what is run. Pure.

mod peers;
mod steps;

use std::time::Duration;

use peerline::net::link::LinkConfig;

use super::document::{self, Problem, Table, Value};
use super::plan::{Line, MAX_PEERS, PeerId, PeerKind, Scenario, ServerChoice, link_seed};
use crate::amount;

/// How long a step may take unless it says so: many times what anything takes on a machine that is busy.
const WITHIN: Duration = Duration::from_secs(10);

/// How long all of it may take unless it says so.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The seed of a scenario that names none.
const SEED: u64 = 1;

/// Reads a scenario. `seed` takes the place of the one in the file.
pub(crate) fn read(text: &str, seed: Option<u64>) -> Result<Scenario, Problem> {
    let mut file = document::parse(text)?;
    let name = file.take("name").map(Value::read).transpose()?;
    let own_seed = file.take("seed").map(Value::read).transpose()?;
    let seed = seed.or(own_seed).unwrap_or(SEED);
    let timeout = duration(&mut file, "timeout", TIMEOUT)?;
    let within = duration(&mut file, "within", WITHIN)?;
    let server = match file.take("server") {
        Some(value) => ServerChoice::Given(value.parsed(server_url)?),
        None => ServerChoice::Embedded,
    };
    let common = match file.take("network") {
        Some(value) => network(value.table("a network")?, LinkConfig::default())?,
        None => LinkConfig::default(),
    };
    let peers = peers::read(&mut file, &common, seed)?;
    let mut lines = lines(&mut file, &peers, &common)?;
    links(&mut file, &peers, &mut lines)?;
    for (index, line) in lines.iter_mut().enumerate() {
        line.network.seed = link_seed(seed, index, 0);
    }
    let mut scenario = Scenario {
        name: name.unwrap_or_default(),
        seed,
        timeout,
        server,
        peers,
        lines,
        steps: Vec::new(),
    };
    scenario.steps = steps::read(&mut file, &scenario, within)?;
    file.finish()?;
    Ok(scenario)
}

fn duration(
    table: &mut Table<'_>,
    key: &'static str,
    otherwise: Duration,
) -> Result<Duration, Problem> {
    let value = table.take(key).map(Value::duration).transpose()?;
    Ok(value.unwrap_or(otherwise))
}

fn server_url(text: &str) -> Result<String, String> {
    let url: peerline::signaling::ServerUrl = text.parse().map_err(|error| format!("{error}"))?;
    Ok(url.to_string())
}

/// The condition of a link; what is not said is as `otherwise`.
fn network(mut table: Table<'_>, otherwise: LinkConfig) -> Result<LinkConfig, Problem> {
    let condition = condition(&mut table, otherwise)?;
    table.finish()?;
    Ok(condition)
}

fn condition(table: &mut Table<'_>, otherwise: LinkConfig) -> Result<LinkConfig, Problem> {
    let mut condition = otherwise;
    if let Some(value) = table.take("delay") {
        condition.delay = value.duration()?;
    }
    if let Some(value) = table.take("jitter") {
        condition.jitter = value.duration()?;
    }
    for (key, share) in [
        ("loss", &mut condition.loss),
        ("reorder", &mut condition.reorder),
        ("duplicate", &mut condition.duplicate),
    ] {
        if let Some(value) = table.take(key) {
            *share = value.share()?;
        }
    }
    if let Some(value) = table.take("burst") {
        let problem = value.problem("it is how many are lost in a row, at least 1");
        condition.burst = value.read()?;
        if condition.burst == 0 {
            return Err(problem);
        }
    }
    if let Some(value) = table.take("rate") {
        condition.rate = Some(value.parsed(amount::rate)?.get());
    }
    if let Some(value) = table.take("queue") {
        condition.queue = value.size()?;
    }
    if let Some(value) = table.take("mtu") {
        condition.mtu = Some(value.read::<u16>()?.into());
    }
    Ok(condition)
}

/// Who has a session with whom: every native peer with the first one, unless something else is said.
fn lines(
    file: &mut Table<'_>,
    peers: &[super::plan::Peer],
    network: &LinkConfig,
) -> Result<Vec<Line>, Problem> {
    let natives: Vec<PeerId> = (0..peers.len())
        .filter(|peer| matches!(peers[*peer].kind, PeerKind::Native { .. }))
        .collect();
    let line = |a: PeerId, b: PeerId| Line {
        ends: [a, b],
        network: network.clone(),
    };
    let star = || match natives.split_first() {
        Some((hub, others)) => others.iter().map(|other| line(*hub, *other)).collect(),
        None => Vec::new(),
    };
    let mesh = || {
        let pairs = natives.iter().enumerate();
        let pairs = pairs.flat_map(|(index, a)| natives[index + 1..].iter().map(|b| line(*a, *b)));
        pairs.collect()
    };
    let Some(value) = file.take("lines") else {
        return Ok(star());
    };
    if value.is_text() {
        return value.parsed(|text| match text {
            "star" => Ok(star()),
            "mesh" => Ok(mesh()),
            _ => Err("it is `star`, `mesh` or a list of pairs".into()),
        });
    }
    let mut lines: Vec<Line> = Vec::new();
    for pair in value.list()? {
        let problem = pair.problem("it is two native peers");
        let ends = two(pair, peers)?;
        let native = ends.iter().all(|end| natives.contains(end));
        if !native || ends[0] == ends[1] {
            return Err(problem);
        }
        if lines
            .iter()
            .any(|line| line.other(ends[0]) == Some(ends[1]))
        {
            return Err(Problem {
                message: "`lines`: these two are there already".into(),
                ..problem
            });
        }
        lines.push(line(ends[0], ends[1]));
    }
    Ok(lines)
}

/// `[[link]]`: what is between these two is otherwise.
fn links(
    file: &mut Table<'_>,
    peers: &[super::plan::Peer],
    lines: &mut [Line],
) -> Result<(), Problem> {
    let Some(value) = file.take("link") else {
        return Ok(());
    };
    for value in value.list()? {
        let mut table = value.table("a link")?;
        let between = table.need("between")?;
        let problem = between.problem("these two have no line with each other");
        let [a, b] = two(between, peers)?;
        let line = lines.iter_mut().find(|line| line.other(a) == Some(b));
        let line = line.ok_or(problem)?;
        line.network = condition(&mut table, line.network.clone())?;
        table.finish()?;
    }
    Ok(())
}

/// Two peers by their names.
fn two(value: Value<'_>, peers: &[super::plan::Peer]) -> Result<[PeerId; 2], Problem> {
    let problem = value.problem("it is a list of two peers");
    let mut two = Vec::new();
    for name in value.list().map_err(|_| problem.clone())? {
        two.push(peer(name, peers)?);
    }
    two.try_into().map_err(|_| problem)
}

/// A peer by its name.
fn peer(value: Value<'_>, peers: &[super::plan::Peer]) -> Result<PeerId, Problem> {
    value.parsed(|name| {
        let names: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
        let found = names.iter().position(|known| *known == name);
        found.ok_or_else(|| match document::nearest(name, &names) {
            Some(meant) => format!("there is no such peer; did you mean `{meant}`?"),
            None => format!(
                "there is no such peer; there are {}",
                document::listed(&names)
            ),
        })
    })
}

#[cfg(test)]
mod tests;
