//! The side that decides what is measured.

use super::conversation::Conversation;
use super::message::{Message, Report, Side, Step};
use super::{BenchError, Ends, Event, LONGEST};
use crate::channel::Channel;
use crate::net::packet::BASE;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// The largest UDP payload of an Ethernet frame over IPv4: what most paths carry.
const ETHERNET: u16 = 1472;

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How long each measurement sends, up to [`LONGEST`].
    pub duration: Duration,
    /// For each of these, throughput both ways over so many lanes, in the largest packets.
    pub lanes: Vec<u16>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(2),
            lanes: vec![1, 2, 4],
        }
    }
}

/// Measures what `plan` says: round trips of the idle line, throughput each way for each number of lanes, and
/// then for one lane in smaller packets, each with the round trips under this load. `channel` was opened by
/// this side.
///
/// # Errors
/// See [`BenchError`]. What cannot be measured, such as more lanes than the other side takes, is no error but
/// a [`Report::Failed`].
pub async fn lead(
    channel: Channel,
    ends: Ends,
    plan: &Plan,
    mut tell: impl FnMut(Event<'_>),
) -> Result<Vec<Report>, BenchError> {
    let mut leader = Leader {
        conversation: Conversation::new(channel, ends, true),
        duration: plan.duration.min(LONGEST),
        next: 0,
        reports: Vec::new(),
    };
    tell(Event::Idling);
    leader.idle(&mut tell).await?;
    let mut largest = 0;
    for lanes in &plan.lanes {
        let packet = leader.both_ways(*lanes, 0, &mut tell).await?;
        largest = largest.max(packet);
    }
    for packet in [ETHERNET, BASE] {
        if packet < largest {
            leader.both_ways(1, packet, &mut tell).await?;
        }
    }
    leader.conversation.talk.say(&Message::End)?;
    Ok(leader.reports)
}

struct Leader {
    conversation: Conversation,
    duration: Duration,
    next: u32,
    reports: Vec<Report>,
}

impl Leader {
    async fn idle(&mut self, tell: &mut impl FnMut(Event<'_>)) -> Result<(), BenchError> {
        let talk = &mut self.conversation.talk;
        talk.pings.start(Instant::now());
        if let Ok(early) = timeout(self.duration, talk.heard()).await {
            early?;
            return Err(BenchError::Protocol("it spoke out of turn"));
        }
        talk.settle().await?;
        match talk.pings.latency() {
            Some(latency) => self.report(Report::Idle { latency }, tell),
            None => Ok(()),
        }
    }

    /// Returns the packet size that was used, 0 if none was.
    async fn both_ways(
        &mut self,
        lanes: u16,
        packet: u16,
        tell: &mut impl FnMut(Event<'_>),
    ) -> Result<u16, BenchError> {
        let mut used = 0;
        for sender in [Side::Leader, Side::Follower] {
            let step = Step {
                step: self.next,
                sender,
                lanes,
                packet,
                millis: u32::try_from(self.duration.as_millis()).unwrap_or(u32::MAX),
            };
            self.next += 1;
            tell(Event::Begun(&step));
            let report = self.measure(&step).await?;
            if let Report::Rate { packet, .. } = report {
                used = used.max(packet);
            }
            self.report(report, tell)?;
        }
        Ok(used)
    }

    async fn measure(&mut self, step: &Step) -> Result<Report, BenchError> {
        let conversation = &mut self.conversation;
        conversation.talk.say(&Message::Run(step.clone()))?;
        let outcome = match step.sender {
            Side::Leader => conversation.send(step).await?,
            Side::Follower => conversation.receive(step).await?,
        };
        conversation.talk.settle().await?;
        let latency = conversation.talk.pings.latency();
        let (sender, lanes) = (step.sender, step.lanes);
        Ok(match outcome {
            Ok(rate) => Report::Rate {
                sender,
                lanes,
                packet: rate.packet,
                bytes: rate.bytes,
                micros: rate.micros,
                latency,
            },
            Err(reason) => Report::Failed {
                sender,
                lanes,
                packet: step.packet,
                reason,
            },
        })
    }

    fn report(
        &mut self,
        report: Report,
        tell: &mut impl FnMut(Event<'_>),
    ) -> Result<(), BenchError> {
        tell(Event::Report(&report));
        self.conversation
            .talk
            .say(&Message::Report(report.clone()))?;
        self.reports.push(report);
        Ok(())
    }
}
