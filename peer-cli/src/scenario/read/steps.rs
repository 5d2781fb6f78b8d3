//! `steps = [...]`: one thing after the other.

mod values;

use std::time::Duration;

use peerline::channel::Delivery;
use peerline::media::Kind;

use super::super::document::{Problem, Table, Value, listed, nearest};
use super::super::plan::{
    Act, Expected, MAX_STEPS, PeerId, PeerKind, Scenario, ServerAct, Step, What,
};
use super::{peer, peers::codec, two};
use values::{channel, count, delivery, kind, load, probe, state};

/// What a step can do. Each of them has exactly one of these.
pub(in super::super) const VERBS: [&str; 26] = [
    "call", "check", "click", "console", "cut", "exit", "expect", "fill", "frames", "kill",
    "leave", "open", "opened", "output", "pause", "received", "restore", "send", "sent", "server",
    "start", "state", "text", "transfer", "visible", "write",
];

pub(super) fn read(
    file: &mut Table<'_>,
    scenario: &Scenario,
    within: Duration,
) -> Result<Vec<Step>, Problem> {
    let value = file.need("steps")?;
    let problem = value.problem(format!("there are 1 to {MAX_STEPS} of them"));
    let values = value.list()?;
    if values.is_empty() || values.len() > MAX_STEPS {
        return Err(problem);
    }
    let mut steps = Vec::new();
    for value in values {
        let table = value.table("a step")?;
        steps.push(step(table, scenario, within)?);
    }
    Ok(steps)
}

fn step(mut table: Table<'_>, scenario: &Scenario, within: Duration) -> Result<Step, Problem> {
    let (line, text) = (table.line(), table.excerpt());
    let verb = verb(&table)?;
    let actor = table.take("peer").map(|value| peer(value, &scenario.peers));
    let actor = actor.transpose()?;
    let step = Reading {
        scenario,
        verb,
        actor,
    };
    let what = step.what(&mut table)?;
    let within = match what {
        What::Pause(_) => within,
        _ => table
            .take("within")
            .map(Value::duration)
            .transpose()?
            .unwrap_or(within),
    };
    table.describes(format!("a step with `{verb}`"));
    table.finish()?;
    Ok(Step {
        line,
        text,
        within,
        what,
    })
}

/// The one thing that a step does.
fn verb(table: &Table<'_>) -> Result<&'static str, Problem> {
    let names = table.names();
    let found: Vec<_> = VERBS.into_iter().filter(|verb| table.has(verb)).collect();
    match found[..] {
        [verb] => Ok(verb),
        [] => {
            let others = [
                "peer", "to", "from", "channel", "within", "count", "is", "contains",
            ];
            let unknown = names.iter().find(|name| !others.contains(&name.as_str()));
            let meant = unknown.and_then(|name| Some((name, nearest(name, &VERBS)?)));
            Err(table.problem(match meant {
                Some((name, meant)) => {
                    format!("a step with `{name}` does nothing; did you mean `{meant}`?")
                }
                None => format!("this step does nothing; it needs one of {}", listed(&VERBS)),
            }))
        }
        _ => Err(table.problem(format!(
            "a step does one thing, and this one has {}",
            listed(&found)
        ))),
    }
}

/// A step that is being read.
struct Reading<'s> {
    scenario: &'s Scenario,
    verb: &'static str,
    actor: Option<PeerId>,
}

/// Kinds of peers that can do something.
#[derive(Clone, Copy)]
enum Who {
    Native,
    Page,
    Program,
    Anybody,
}

impl Reading<'_> {
    fn what(&self, table: &mut Table<'_>) -> Result<What, Problem> {
        let value = table.need(self.verb)?;
        match self.verb {
            "cut" => {
                let lines = self.between(value)?;
                let lasts = table.take("for").map(Value::duration).transpose()?;
                Ok(What::Cut { lines, lasts })
            }
            "restore" => Ok(What::Restore {
                lines: self.between(value)?,
            }),
            "pause" => Ok(What::Pause(value.duration()?)),
            "server" => {
                let act = value.parsed(|text| match text {
                    "restart" => Ok(ServerAct::Restart {
                        down: Duration::ZERO,
                    }),
                    "stop" => Ok(ServerAct::Stop),
                    "start" => Ok(ServerAct::Start),
                    _ => Err("it is restart, stop or start".into()),
                })?;
                let act = match (act, table.take("for")) {
                    (ServerAct::Restart { .. }, Some(value)) => ServerAct::Restart {
                        down: value.duration()?,
                    },
                    (_, Some(value)) => return Err(value.problem("only a restart takes a while")),
                    (act, None) => act,
                };
                if self.scenario.server != super::super::plan::ServerChoice::Embedded {
                    return Err(table.problem("only a scenario's own server can be stopped: take `server` at the top away"));
                }
                Ok(What::Server(act))
            }
            _ => match self.act(value, table)? {
                Ok(act) => Ok(act),
                Err(value) => self.expectation(value, table),
            },
        }
    }

    /// What a peer is made to do; the value again if it is nothing of that.
    fn act<'t>(
        &self,
        value: Value<'t>,
        table: &mut Table<'_>,
    ) -> Result<Result<What, Value<'t>>, Problem> {
        let (who, act) = match self.verb {
            "start" | "leave" | "kill" => {
                let problem = value.problem("it is true");
                if !value.read::<bool>()? {
                    return Err(problem);
                }
                let act = match self.verb {
                    "start" => Act::Start,
                    "leave" => Act::Leave,
                    _ => Act::Kill,
                };
                (Who::Anybody, act)
            }
            "open" => {
                let channel = value.parsed(channel)?;
                let delivery = match table.take("delivery") {
                    Some(value) => value.parsed(delivery)?,
                    None => Delivery::Reliable,
                };
                let to = self.other(table, "to")?;
                (
                    Who::Native,
                    Act::Open {
                        to,
                        channel,
                        delivery,
                    },
                )
            }
            "send" => {
                let text = value.read()?;
                let channel = table.need("channel")?.parsed(channel)?;
                let count = count(table)?;
                let to = self.other(table, "to")?;
                let act = Act::Send {
                    to,
                    channel,
                    text,
                    count,
                };
                (Who::Native, act)
            }
            "transfer" => {
                let load = load(value, table)?;
                let to = self.other(table, "to")?;
                (Who::Native, Act::Transfer { to, load })
            }
            "call" => {
                let mut codecs = Vec::new();
                for value in value.list()? {
                    codecs.push(value.parsed(codec)?);
                }
                let to = self.other(table, "to")?;
                (Who::Native, Act::Call { to, codecs })
            }
            "write" => (Who::Program, Act::Write(value.read()?)),
            _ => return Ok(Err(value)),
        };
        let peer = self.actor(table, who)?;
        Ok(Ok(What::Act { peer, act }))
    }

    fn expectation(&self, value: Value<'_>, table: &mut Table<'_>) -> Result<What, Problem> {
        let (who, expected) = match self.verb {
            "expect" => {
                let text = value.read()?;
                let channel = table.need("channel")?.parsed(channel)?;
                let count = count(table)?;
                let from = self.other(table, "from")?;
                let expected = Expected::Message {
                    from,
                    channel,
                    text,
                    count,
                };
                (Who::Native, expected)
            }
            "opened" => {
                let channel = value.parsed(channel)?;
                let from = self.other_if_native(table, "from")?;
                (Who::Anybody, Expected::Opened { from, channel })
            }
            "state" => {
                let state = value.parsed(state)?;
                let with = self.other_if_native(table, "to")?;
                (Who::Anybody, Expected::State { with, state })
            }
            "received" => {
                let problem = value.problem("it is a size, or true for any");
                let bytes = match value.is_text() {
                    true => Some(value.size()?),
                    false => value.read::<bool>()?.then_some(None).ok_or(problem)?,
                };
                let from = self.other(table, "from")?;
                (Who::Native, Expected::Received { from, bytes })
            }
            "sent" => {
                let problem = value.problem("it is true");
                value.read::<bool>()?.then_some(()).ok_or(problem)?;
                let to = self.other(table, "to")?;
                (Who::Native, Expected::Sent { to })
            }
            "frames" => {
                let count = value.read()?;
                let kind = match table.take("kind") {
                    Some(value) => value.parsed(kind)?,
                    None => Kind::Video,
                };
                let from = self.other_if_native(table, "from")?;
                (Who::Anybody, Expected::Frames { from, kind, count })
            }
            "output" => (Who::Program, Expected::Output(value.read()?)),
            "exit" => (Who::Program, Expected::Exit(value.read()?)),
            "console" => (Who::Page, Expected::Console(value.read()?)),
            verb => (Who::Page, Expected::Page(probe(verb, value, table)?)),
        };
        let peer = self.actor(table, who)?;
        Ok(What::Expect { peer, expected })
    }

    /// The peer that a step is about, which has to be of a kind that can do it.
    fn actor(&self, table: &Table<'_>, who: Who) -> Result<PeerId, Problem> {
        let peer = self.actor.ok_or_else(|| {
            let verb = self.verb;
            table.problem(format!("a step with `{verb}` needs `peer`"))
        })?;
        let kind = &self.scenario.peers[peer].kind;
        let (fits, wanted) = match who {
            Who::Native => (matches!(kind, PeerKind::Native { .. }), "a native peer"),
            Who::Page => (matches!(kind, PeerKind::Page { .. }), "a page"),
            Who::Program => (matches!(kind, PeerKind::Program { .. }), "a command"),
            Who::Anybody => match (self.verb, kind) {
                ("frames" | "state" | "opened", PeerKind::Program { .. }) => {
                    (false, "a native peer or a page")
                }
                ("opened", PeerKind::Member { .. }) => (false, "a native peer or a page"),
                _ => (true, ""),
            },
        };
        match fits {
            true => Ok(peer),
            false => Err(table.problem(format!(
                "`{}` is for {wanted}, and `{}` is {}",
                self.verb,
                self.scenario.name_of(peer),
                kind.name()
            ))),
        }
    }

    /// The other end of a line: the one that is named, or the only one that there is.
    fn other(&self, table: &mut Table<'_>, key: &'static str) -> Result<PeerId, Problem> {
        let actor = self.actor(table, Who::Native)?;
        let others: Vec<PeerId> = self
            .scenario
            .lines_of(actor)
            .map(|(_, other)| other)
            .collect();
        let name = self.scenario.name_of(actor);
        match table.take(key) {
            Some(value) => {
                let problem = value.problem(format!("`{name}` has no line with this one"));
                let other = peer(value, &self.scenario.peers)?;
                others.contains(&other).then_some(other).ok_or(problem)
            }
            None => match others[..] {
                [other] => Ok(other),
                [] => Err(table.problem(format!("`{name}` has no line with anybody"))),
                _ => {
                    let names: Vec<_> = others
                        .iter()
                        .map(|peer| self.scenario.name_of(*peer))
                        .collect();
                    Err(table.problem(format!(
                        "`{name}` has lines with {}: say which with `{key}`",
                        listed(&names)
                    )))
                }
            },
        }
    }

    /// As [`other`](Self::other) for a native peer; a page or a member of a room has nothing to say there.
    fn other_if_native(
        &self,
        table: &mut Table<'_>,
        key: &'static str,
    ) -> Result<Option<PeerId>, Problem> {
        let actor = self.actor(table, Who::Anybody)?;
        match self.scenario.peers[actor].kind {
            PeerKind::Native { .. } => self.other(table, key).map(Some),
            _ => Ok(None),
        }
    }

    /// `["a", "b"]`, all lines of `"a"`, or `"all"`.
    fn between(&self, value: Value<'_>) -> Result<Vec<usize>, Problem> {
        let problem =
            value.problem("there is no line there to be cut: only native peers have lines");
        let lines = &self.scenario.lines;
        let found: Vec<usize> = if value.is_text() {
            let copy = value.problem("");
            let name: String = value.read()?;
            if name == "all" {
                (0..lines.len()).collect()
            } else {
                let known = &self.scenario.peers;
                let found = known.iter().position(|peer| peer.name == name);
                let peer = found.ok_or_else(|| Problem {
                    message: format!(
                        "there is no peer `{name}`; it is a peer, two of them, or `all`"
                    ),
                    ..copy
                })?;
                self.scenario.lines_of(peer).map(|(line, _)| line).collect()
            }
        } else {
            let [a, b] = two(value, &self.scenario.peers)?;
            let between = |line: &usize| lines[*line].other(a) == Some(b);
            (0..lines.len()).filter(between).collect()
        };
        match found.is_empty() {
            true => Err(problem),
            false => Ok(found),
        }
    }
}
