//! One measurement, as either side takes part in it.

use super::flow::{self, Sent, Tally};
use super::message::{Message, Step};
use super::pings::Pings;
use super::talk::Talk;
use super::{BenchError, Ends, LANE_PROTOCOL};
use crate::channel::Channel;
use crate::session::{Incoming, IncomingChannel, LaneOpener};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What one measurement may take besides sending: lanes have 15 s to come up, and what is on its way at the
/// end still has to arrive, some 4 MiB a lane, over a line that may be slow.
const AROUND: Duration = Duration::from_secs(90);

/// What one measurement came to; the error is why there is none, for people on both sides.
pub(super) type Outcome = Result<Rate, String>;

/// Throughput.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) packet: u16,
    pub(super) bytes: u64,
    pub(super) micros: u64,
}

/// This side's end.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) talk: Talk,
    lanes: LaneOpener,
    incoming: Incoming,
    /// Whether round trips are measured while there is load.
    pinging: bool,
}

impl Conversation {
    pub(super) fn new(channel: Channel, ends: Ends, pinging: bool) -> Self {
        Self {
            talk: Talk {
                channel,
                stop: ends.stop,
                pings: Pings::new(),
            },
            lanes: ends.lanes,
            incoming: ends.incoming,
            pinging,
        }
    }

    /// Sends what `step` asks for, and waits until the other side has counted it.
    pub(super) async fn send(&mut self, step: &Step) -> Result<Outcome, BenchError> {
        let sending = timeout(AROUND + step.duration(), self.sending(step));
        sending.await.unwrap_or(Err(BenchError::Silent))
    }

    async fn sending(&mut self, step: &Step) -> Result<Outcome, BenchError> {
        let opened = tokio::select! {
            opened = flow::open(&self.lanes, step) => opened,
            early = self.talk.heard() => return refusal(step, early?),
        };
        let lanes = match opened {
            Ok(lanes) => lanes,
            Err(reason) => return self.give_up(step, reason),
        };
        if self.pinging {
            self.talk.pings.start(Instant::now());
        }
        let poured = tokio::select! {
            poured = lanes.pour(step.duration()) => poured,
            early = self.talk.heard() => return refusal(step, early?),
        };
        self.talk.pings.stop();
        let Sent {
            lanes: _lanes,
            bytes,
            packet,
        } = match poured {
            Ok(sent) => sent,
            Err(reason) => return self.give_up(step, reason),
        };
        let number = step.step;
        self.talk.say(&Message::Sent {
            step: number,
            bytes,
            packet,
        })?;
        match self.talk.heard().await? {
            Message::Received {
                step,
                bytes: arrived,
                micros,
            } if (step, arrived) == (number, bytes) => Ok(Ok(Rate {
                packet,
                bytes,
                micros: micros.max(1),
            })),
            other => refusal(step, other),
        }
    }

    /// Counts what the other side sends for `step`.
    pub(super) async fn receive(&mut self, step: &Step) -> Result<Outcome, BenchError> {
        let receiving = timeout(AROUND + step.duration(), self.receiving(step));
        receiving.await.unwrap_or(Err(BenchError::Silent))
    }

    async fn receiving(&mut self, step: &Step) -> Result<Outcome, BenchError> {
        let mut counting = JoinSet::new();
        let (mut arrived, mut ended) = (0, 0);
        let tally = Arc::new(Tally::new(Instant::now()));
        let mut sent = None;
        let (bytes, packet) = loop {
            if let Some(sent) = sent.filter(|(bytes, _)| ended > 0 || tally.bytes() >= *bytes) {
                break sent;
            }
            tokio::select! {
                biased;
                message = self.talk.heard() => match message? {
                    Message::Sent { step: number, bytes, packet }
                        if number == step.step && sent.is_none() =>
                    {
                        self.talk.pings.stop();
                        sent = Some((bytes, packet));
                    }
                    other => return refusal(step, other),
                },
                Some(lane) = self.incoming.next(), if arrived < step.lanes => {
                    if !belongs(&lane, step) {
                        tracing::info!(label = lane.channel.label(), "closed an unknown channel");
                        continue;
                    }
                    arrived += 1;
                    counting.spawn(flow::count(lane.channel, tally.clone()));
                    if self.pinging && sent.is_none() {
                        self.talk.pings.start(Instant::now());
                    }
                }
                () = tally.changed(), if sent.is_some() => {}
                Some(_) = counting.join_next() => ended += 1,
            }
        };
        if tally.bytes() != bytes {
            return self.give_up(step, "a lane lost what was sent".to_owned());
        }
        let micros = tally.micros();
        self.talk.say(&Message::Received {
            step: step.step,
            bytes,
            micros,
        })?;
        Ok(Ok(Rate {
            packet,
            bytes,
            micros,
        }))
    }

    fn give_up(&mut self, step: &Step, reason: String) -> Result<Outcome, BenchError> {
        self.talk.pings.stop();
        self.talk.say(&Message::Failed {
            step: step.step,
            reason: reason.clone(),
        })?;
        Ok(Err(reason))
    }
}

fn belongs(lane: &IncomingChannel, step: &Step) -> bool {
    let label = lane.channel.label();
    lane.protocol == LANE_PROTOCOL && (0..step.lanes).any(|lane| step.label(lane) == label)
}

/// What else may come while something is measured.
fn refusal(step: &Step, message: Message) -> Result<Outcome, BenchError> {
    match message {
        Message::Failed {
            step: number,
            reason,
        } if number == step.step => Ok(Err(reason)),
        _ => Err(BenchError::Protocol("it spoke out of turn")),
    }
}
