//! The task that passes one track on: it moves packets between the tracks of sessions and a [`Relay`].

use super::relay::{Action, Counts, Input, Relay, Subscriber};
use crate::media::track::{
    Arrived, Feedback, FeedbackSink, FrameTap, IncomingPackets, Leaving, OutgoingPackets,
};
use crate::media::{Codec, IncomingTrack};
use std::collections::{HashMap, HashSet};
use std::time::Instant;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

/// Receivers that wait to be added or removed.
const COMMANDS: usize = 64;

/// What receivers say: a NACK each 20 ms of 64 of them would be 64 in that time.
const FEEDBACK: usize = 512;

/// The tap's number; members count from 1.
const TAP: u64 = 0;

/// Levels that wait for the room: what is not taken is old.
pub(super) type Levels = mpsc::Sender<u8>;

enum Command {
    Add(u64, OutgoingPackets),
    Remove(u64),
    Tap(Box<FrameTap>),
}

/// A track that is passed on until it is dropped, or ends.
#[derive(Debug)]
pub(super) struct Forwarding {
    codec: Codec,
    way: Way,
    counts: watch::Receiver<Counts>,
    _task: AbortOnDropHandle<()>,
}

/// The way to a track that is passed on. It does not keep it alive.
#[derive(Debug, Clone)]
pub(super) struct Way {
    commands: mpsc::Sender<Command>,
    feedback: mpsc::Sender<(u64, Feedback)>,
}

impl Way {
    /// Where a receiver of this number says what it gets.
    pub(super) fn sink(&self, who: u64) -> FeedbackSink {
        FeedbackSink {
            who,
            feedback: self.feedback.clone(),
        }
    }

    /// Passes the track on to one more.
    pub(super) async fn add(&self, who: u64, track: OutgoingPackets) {
        // A track that has ended takes nobody.
        let _ = self.commands.send(Command::Add(who, track)).await;
    }

    /// One does not want it any more.
    pub(super) async fn remove(&self, who: u64) {
        let _ = self.commands.send(Command::Remove(who)).await;
    }
}

impl Forwarding {
    /// Begins; `levels` is told how loud it is, if it is sound.
    pub(super) fn start(incoming: IncomingPackets, levels: Levels) -> Self {
        let codec = incoming.codec();
        let (commands_tx, commands) = mpsc::channel(COMMANDS);
        let (feedback_tx, feedback) = mpsc::channel(FEEDBACK);
        let (counts_tx, counts) = watch::channel(Counts::default());
        let task = Task {
            relay: Relay::new(codec),
            incoming,
            levels,
            commands,
            feedback,
            outgoing: HashMap::new(),
            early: HashSet::new(),
            tap: None,
            counts: counts_tx,
        };
        Self {
            codec,
            way: Way {
                commands: commands_tx,
                feedback: feedback_tx,
            },
            counts,
            _task: AbortOnDropHandle::new(tokio::spawn(task.run())),
        }
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    pub(super) fn way(&self) -> Way {
        self.way.clone()
    }

    pub(super) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Its frames, for somebody who does not only pass them on. There is one tap for each track.
    pub(super) fn tap(&self) -> Option<IncomingTrack> {
        let (tap, track) = FrameTap::new(self.codec);
        // overflow: nothing is given; this comes before all other commands.
        self.way
            .commands
            .try_send(Command::Tap(Box::new(tap)))
            .ok()?;
        Some(track)
    }

    /// Waits until the publisher sends it no more; what is returned names nothing of this.
    pub(super) fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut counts = self.counts.clone();
        async move { while counts.changed().await.is_ok() {} }
    }
}

struct Task {
    relay: Relay,
    incoming: IncomingPackets,
    levels: Levels,
    commands: mpsc::Receiver<Command>,
    feedback: mpsc::Receiver<(u64, Feedback)>,
    outgoing: HashMap<u64, Receiver>,
    /// Receivers that are ready and not here yet: what they say may overtake them.
    early: HashSet<u64>,
    tap: Option<FrameTap>,
    counts: watch::Sender<Counts>,
}

struct Receiver {
    track: OutgoingPackets,
    /// It has subscribed.
    ready: bool,
}

impl Task {
    async fn run(mut self) {
        loop {
            let tap = self.tap.as_ref().and_then(FrameTap::deadline);
            let deadline = [self.relay.deadline(), tap].into_iter().flatten().min();
            let due = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            let input = tokio::select! {
                arrived = self.incoming.next() => match arrived {
                    Some(arrived) => Some(self.arrived(arrived)),
                    None => return,
                },
                command = self.commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => return,
                },
                Some((who, feedback)) = self.feedback.recv() => self.said(who, feedback),
                () = due => Some(Input::Tick),
            };
            if let Some(input) = input {
                self.give(input);
            }
            let now = Instant::now();
            if self.tap.as_mut().is_some_and(|tap| tap.poll(now)) {
                self.give(Input::KeyWanted(Subscriber(TAP)));
            }
        }
    }

    fn give(&mut self, input: Input) {
        for action in self.relay.handle(Instant::now(), input) {
            match action {
                Action::Send { to, packet } => self.send(to, Leaving::Packet(packet)),
                Action::Report {
                    to,
                    moment,
                    timestamp,
                } => self.send(to, Leaving::Report { moment, timestamp }),
                Action::AskKey { ssrc } => self.incoming.ask_key(ssrc),
            }
        }
        self.counts.send_if_modified(|counts| {
            let dropped = self
                .outgoing
                .values()
                .map(|receiver| receiver.track.dropped());
            *counts = Counts {
                dropped: dropped.sum(),
                ..self.relay.counts()
            };
            // It is looked at, not waited for.
            false
        });
    }

    fn send(&mut self, to: Subscriber, leaving: Leaving) {
        if let (TAP, Some(tap)) = (to.0, &mut self.tap) {
            return match leaving {
                Leaving::Packet(packet) => tap.packet(Instant::now(), packet),
                Leaving::Report { moment, timestamp } => tap.report(moment, timestamp),
            };
        }
        if let Some(receiver) = self.outgoing.get(&to.0) {
            receiver.track.send(leaving);
        }
    }

    fn arrived(&self, arrived: Arrived) -> Input {
        match arrived {
            Arrived::Packet {
                ssrc,
                packet,
                level,
            } => {
                if let Some(level) = level {
                    let _ = self.levels.try_send(level);
                }
                Input::Packet { ssrc, packet }
            }
            Arrived::Report {
                ssrc,
                moment,
                timestamp,
            } => Input::Report {
                ssrc,
                moment,
                timestamp,
            },
        }
    }

    fn command(&mut self, command: Command) -> Option<Input> {
        match command {
            Command::Add(who, track) => {
                let receiver = Receiver {
                    track,
                    ready: false,
                };
                let before = self.outgoing.insert(who, receiver);
                debug_assert!(before.is_none(), "each receiver has its number");
                match self.early.remove(&who) {
                    true => self.said(who, Feedback::Ready),
                    false => None,
                }
            }
            Command::Tap(tap) => {
                self.tap = Some(*tap);
                Some(Input::Subscribe {
                    who: Subscriber(TAP),
                    sequence: 0,
                    timestamp: 0,
                })
            }
            Command::Remove(who) => {
                self.early.remove(&who);
                self.outgoing.remove(&who);
                Some(Input::Unsubscribe(Subscriber(who)))
            }
        }
    }

    fn said(&mut self, who: u64, feedback: Feedback) -> Option<Input> {
        let receiver = Subscriber(who);
        Some(match feedback {
            Feedback::Ready => {
                let Some(known) = self.outgoing.get_mut(&who) else {
                    self.early.insert(who);
                    return None;
                };
                if std::mem::replace(&mut known.ready, true) {
                    // It did not want it for a while.
                    return Some(Input::KeyWanted(receiver));
                }
                let (sequence, timestamp) = known.track.begin(Instant::now());
                Input::Subscribe {
                    who: receiver,
                    sequence,
                    timestamp,
                }
            }
            Feedback::Refused => return None,
            Feedback::KeyWanted => Input::KeyWanted(receiver),
            Feedback::Nack(missing) => Input::Nack(receiver, missing),
            Feedback::Loss(lost) => Input::Loss(receiver, lost),
        })
    }
}
