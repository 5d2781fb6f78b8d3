//! One scenario from its first peer to its verdict: which step is on, what it waits for, and for how long. Pure.

mod exchange;
mod failures;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::inbox::{Inbox, Look};
use super::plan::{Act, Expected, PeerId, PeerKind, Scenario, ServerAct, Step, What};
use super::script;

pub(crate) use exchange::{Action, Failure, Input, Verdict};

/// How long peers may take to be there, all of those that start together: a session needs up to 15 s on a bad network,
/// and a browser some seconds on a machine that is busy.
const START_LIMIT: Duration = Duration::from_secs(40);

/// How often a page is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// The course of one scenario.
#[derive(Debug)]
pub(crate) struct Timeline {
    scenario: Arc<Scenario>,
    deadline: Instant,
    phase: Phase,
    inboxes: Vec<Inbox>,
    there: BTreeSet<PeerId>,
    /// Lines that come back by themselves.
    restores: Vec<(Instant, usize)>,
}

#[derive(Debug)]
enum Phase {
    /// The peers that are there from the beginning come.
    Gathering {
        missing: Missing,
        until: Instant,
    },
    Step {
        index: usize,
        until: Instant,
        doing: Doing,
    },
    Over,
}

/// What a step is at.
#[derive(Debug)]
enum Doing {
    /// Something is being performed.
    Performing,
    /// A peer comes.
    Starting(Missing),
    /// Something has to come.
    Looking {
        base: u64,
        seen: String,
    },
    /// A page is asked.
    Asking(Asking),
    Pausing,
}

#[derive(Debug, Default)]
struct Asking {
    /// When to ask again; not now, if an answer is due.
    again: Option<Instant>,
    /// Of frames: how many there were at first.
    base: Option<f64>,
    seen: String,
}

/// Peers and lines that are not up yet.
#[derive(Debug, Default)]
struct Missing {
    peers: BTreeSet<PeerId>,
    lines: BTreeSet<usize>,
}

impl Missing {
    fn is_empty(&self) -> bool {
        self.peers.is_empty() && self.lines.is_empty()
    }
}

impl Timeline {
    /// Begins at `now`, with all peers that are there from the beginning.
    pub(crate) fn begin(scenario: Arc<Scenario>, now: Instant) -> (Self, Vec<Action>) {
        let peers = scenario.peers.iter().enumerate();
        let first: Vec<PeerId> = peers
            .filter(|(_, peer)| peer.starts)
            .map(|(id, _)| id)
            .collect();
        let mut timeline = Self {
            inboxes: vec![Inbox::default(); scenario.peers.len()],
            deadline: now + scenario.timeout,
            phase: Phase::Over,
            there: BTreeSet::new(),
            restores: Vec::new(),
            scenario,
        };
        let (missing, mut actions) = timeline.bring(&first);
        timeline.phase = Phase::Gathering {
            missing,
            until: now + START_LIMIT,
        };
        actions.extend(timeline.proceed(now));
        (timeline, actions)
    }

    /// When `Tick` is due.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let until = match &self.phase {
            Phase::Gathering { until, .. } => *until,
            Phase::Step { until, doing, .. } => match doing {
                Doing::Asking(Asking {
                    again: Some(again), ..
                }) => *again.min(until),
                _ => *until,
            },
            Phase::Over => return None,
        };
        let restores = self.restores.iter().map(|(at, _)| *at);
        restores.chain([until, self.deadline]).min()
    }

    /// Takes something in, and says what is to be done.
    pub(crate) fn handle(&mut self, now: Instant, input: Input) -> Vec<Action> {
        let mut actions = self.restored(now);
        let next = match input {
            Input::Tick => Vec::new(),
            Input::Up(peer) => self.came(|missing| missing.peers.remove(&peer)),
            Input::Connected(line) => self.came(|missing| missing.lines.remove(&line)),
            Input::Broken { peer, why } => self.broken(peer, &why),
            Input::Done(done) => self.done(done),
            Input::Answer(answer) => self.answered(now, answer),
            Input::Seen { peer, seen } => {
                if let Some(inbox) = self.inboxes.get_mut(peer) {
                    inbox.note(seen);
                }
                Vec::new()
            }
            Input::Interrupted => self.end(Verdict::Stopped),
        };
        actions.extend(next);
        actions.extend(self.proceed(now));
        actions
    }

    /// Goes on as far as is possible now.
    fn proceed(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        loop {
            let next = match &mut self.phase {
                Phase::Gathering { missing, .. } if missing.is_empty() => Some(0),
                Phase::Gathering { .. } | Phase::Over => None,
                Phase::Step {
                    index,
                    until,
                    doing,
                } => match doing {
                    Doing::Starting(missing) if missing.is_empty() => Some(*index + 1),
                    Doing::Pausing if now >= *until => Some(*index + 1),
                    Doing::Looking { base, seen } => {
                        let scenario = &self.scenario;
                        let What::Expect { peer, expected } = &scenario.steps[*index].what else {
                            return actions;
                        };
                        match self.inboxes[*peer].look(expected, *base, scenario) {
                            Look::Met => Some(*index + 1),
                            Look::NotYet(instead) => {
                                *seen = instead;
                                None
                            }
                            Look::Never(why) => {
                                let failure = self.failure(&why);
                                actions.extend(self.end(Verdict::Failed(failure)));
                                return actions;
                            }
                        }
                    }
                    Doing::Asking(asking) if asking.again.is_some_and(|again| now >= again) => {
                        asking.again = None;
                        let index = *index;
                        actions.extend(self.ask(index));
                        None
                    }
                    _ => None,
                },
            };
            match next {
                Some(index) => actions.extend(self.step(now, index)),
                None => break,
            }
        }
        if let Some(late) = self.late(now) {
            actions.extend(self.end(Verdict::Failed(late)));
        }
        actions
    }

    /// Begins a step; behind the last one, everything is looked at once more.
    fn step(&mut self, now: Instant, index: usize) -> Vec<Action> {
        let scenario = self.scenario.clone();
        let Some(step) = scenario.steps.get(index) else {
            let verdict = match self.last_look() {
                Some(failure) => Verdict::Failed(failure),
                None => Verdict::Passed,
            };
            return self.end(verdict);
        };
        let (doing, actions) = match self.begin_step(now, step) {
            Ok(begun) => begun,
            Err(why) => {
                self.phase = Phase::Step {
                    index,
                    until: now,
                    doing: Doing::Performing,
                };
                let failure = self.failure(&why);
                return self.end(Verdict::Failed(failure));
            }
        };
        let lasts = match (&step.what, &doing) {
            (What::Pause(time), _) => *time,
            (What::Server(ServerAct::Restart { down }), _) => step.within + *down,
            (_, Doing::Starting(_)) => step.within.max(START_LIMIT),
            _ => step.within,
        };
        self.phase = Phase::Step {
            index,
            until: now + lasts,
            doing,
        };
        actions
    }

    fn begin_step(&mut self, now: Instant, step: &Step) -> Result<(Doing, Vec<Action>), String> {
        let done = Doing::Starting(Missing::default());
        Ok(match &step.what {
            What::Act {
                peer,
                act: Act::Start,
            } => {
                if self.there.contains(peer) {
                    return Err("it is there already".into());
                }
                let (missing, actions) = self.bring(&[*peer]);
                (Doing::Starting(missing), actions)
            }
            What::Act { peer, act } => {
                if !self.there.contains(peer) {
                    return Err("it is not there".into());
                }
                if matches!(act, Act::Leave | Act::Kill) {
                    self.there.remove(peer);
                }
                let action = Action::Perform {
                    peer: *peer,
                    act: act.clone(),
                };
                (Doing::Performing, vec![action])
            }
            What::Expect { peer, expected } => {
                let base = match expected {
                    Expected::Frames { from, kind, .. } => self.inboxes[*peer].frames(*from, *kind),
                    _ => 0,
                };
                match script::expression(&self.scenario.peers[*peer].kind, expected) {
                    Some(expression) => {
                        let ask = Action::Ask {
                            peer: *peer,
                            expression,
                        };
                        let seen = "the page has not answered".into();
                        let asking = Asking {
                            seen,
                            ..Asking::default()
                        };
                        (Doing::Asking(asking), vec![ask])
                    }
                    None => {
                        let seen = String::new();
                        (Doing::Looking { base, seen }, Vec::new())
                    }
                }
            }
            What::Cut { lines, lasts } => {
                if let Some(lasts) = lasts {
                    self.restores
                        .extend(lines.iter().map(|line| (now + *lasts, *line)));
                }
                (done, lines.iter().map(|line| Action::Cut(*line)).collect())
            }
            What::Restore { lines } => {
                self.restores.retain(|(_, line)| !lines.contains(line));
                (
                    done,
                    lines.iter().map(|line| Action::Restore(*line)).collect(),
                )
            }
            What::Server(act) => (Doing::Performing, vec![Action::Server(*act)]),
            What::Pause(_) => (Doing::Pausing, Vec::new()),
        })
    }

    /// Peers come, and with native ones their lines with those who are there.
    fn bring(&mut self, peers: &[PeerId]) -> (Missing, Vec<Action>) {
        let scenario = self.scenario.clone();
        let mut missing = Missing::default();
        let mut actions = Vec::new();
        for peer in peers {
            self.there.insert(*peer);
            self.inboxes[*peer].restarted();
            if !matches!(scenario.peers[*peer].kind, PeerKind::Native { .. }) {
                missing.peers.insert(*peer);
                actions.push(Action::Start(*peer));
            }
        }
        for (index, line) in scenario.lines.iter().enumerate() {
            let new = line.ends.iter().any(|end| peers.contains(end));
            let there = line.ends.iter().all(|end| self.there.contains(end));
            if new && there {
                let [a, b] = line.ends;
                self.inboxes[a].forget(b);
                self.inboxes[b].forget(a);
                missing.lines.insert(index);
                actions.push(Action::Connect(index));
            }
        }
        (missing, actions)
    }

    fn came(&mut self, take: impl FnOnce(&mut Missing) -> bool) -> Vec<Action> {
        match &mut self.phase {
            Phase::Gathering { missing, .. }
            | Phase::Step {
                doing: Doing::Starting(missing),
                ..
            } => drop(take(missing)),
            _ => {}
        }
        Vec::new()
    }

    fn broken(&mut self, peer: PeerId, why: &str) -> Vec<Action> {
        if matches!(self.phase, Phase::Over) {
            return Vec::new();
        }
        let own = self.scenario.peers[peer].line;
        let failure = match &self.phase {
            Phase::Step {
                doing: Doing::Starting(_),
                ..
            } => self.failure(why),
            _ => Failure {
                line: own,
                step: format!("peers.{}", self.scenario.name_of(peer)),
                expected: format!("{} to start", self.scenario.name_of(peer)),
                seen: why.to_owned(),
                findings: self.findings(|_| true),
            },
        };
        self.end(Verdict::Failed(failure))
    }

    fn done(&mut self, done: Result<(), String>) -> Vec<Action> {
        let Phase::Step { doing, .. } = &mut self.phase else {
            return Vec::new();
        };
        if !matches!(doing, Doing::Performing) {
            return Vec::new();
        }
        match done {
            // Nothing is missing: it goes on.
            Ok(()) => *doing = Doing::Starting(Missing::default()),
            Err(why) => {
                let failure = self.failure(&why);
                return self.end(Verdict::Failed(failure));
            }
        }
        Vec::new()
    }

    fn ask(&self, index: usize) -> Option<Action> {
        let What::Expect { peer, expected } = &self.scenario.steps[index].what else {
            return None;
        };
        let kind = &self.scenario.peers[*peer].kind;
        let expression = script::expression(kind, expected)?;
        Some(Action::Ask {
            peer: *peer,
            expression,
        })
    }

    fn answered(&mut self, now: Instant, answer: Result<Value, String>) -> Vec<Action> {
        let Phase::Step { index, doing, .. } = &mut self.phase else {
            return Vec::new();
        };
        let Doing::Asking(asking) = doing else {
            return Vec::new();
        };
        let What::Expect { expected, .. } = &self.scenario.steps[*index].what else {
            return Vec::new();
        };
        let look = match (answer, expected) {
            (Ok(answer), Expected::Page(probe)) => probe.judge(&answer),
            (Ok(answer), Expected::Frames { count, .. }) => {
                let total = answer.as_f64().unwrap_or(0.0);
                let came = total - *asking.base.get_or_insert(total);
                match came >= *count as f64 {
                    true => Look::Met,
                    false => Look::NotYet(format!("{came} of them came")),
                }
            }
            (Ok(_), _) => Look::NotYet("the page's answer means nothing here".into()),
            (Err(why), _) => Look::NotYet(why),
        };
        match look {
            Look::Met => *doing = Doing::Starting(Missing::default()),
            Look::NotYet(seen) | Look::Never(seen) => {
                asking.seen = seen;
                asking.again = Some(now + ASK_AGAIN);
            }
        }
        Vec::new()
    }

    /// Lines whose time has come.
    fn restored(&mut self, now: Instant) -> Vec<Action> {
        let mut due = Vec::new();
        self.restores.retain(|(at, line)| {
            let is_due = *at <= now;
            if is_due {
                due.push(Action::Restore(*line));
            }
            !is_due
        });
        due
    }

    fn end(&mut self, verdict: Verdict) -> Vec<Action> {
        if matches!(self.phase, Phase::Over) {
            return Vec::new();
        }
        self.phase = Phase::Over;
        vec![Action::End(verdict)]
    }
}

#[cfg(test)]
mod tests;
