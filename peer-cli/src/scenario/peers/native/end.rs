//! One end of a line: a session, its channels, transfers and tracks.

use std::collections::HashMap;

use peerline::channel::{Channel, ChannelReceiver, ChannelSender, Delivery, Message};
use peerline::media::Codec;
use peerline::session::{Bye, ByeCode, Connectivity, IncomingChannel, Session};
use peerline::transfer::{CONTROL_PROTOCOL, LANE_PROTOCOL};
use tokio::task::JoinSet;

use super::super::Order;
use super::files::{Arrivals, Load};
use super::{End, clip, files};
use crate::scenario::inbox::{OnLine, numbered};
use crate::scenario::plan::{Act, State};

/// What channels of scenarios speak.
const PROTOCOL: &str = "peerline-test/1";

/// Does what it is told until the session is left or nobody gives orders any more. The session's own end is told, and
/// later orders fail.
pub(super) async fn run(end: End, mut session: Session) {
    let End {
        reporter,
        with,
        mut orders,
        link,
        home,
        ..
    } = end;
    let mut incoming = session.incoming();
    let mut tracks = session.incoming_tracks();
    let mut connectivity = session.connectivity();
    let mut work = Work {
        channels: HashMap::new(),
        tasks: JoinSet::new(),
        arrivals: Arrivals::default(),
        home,
        tell: Tell { reporter, with },
    };
    let mut over = false;
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Act(Act::Leave)) => {
                    // Whoever is left hears it, however long that takes.
                    tokio::spawn(session.close(Bye::new(ByeCode::Done, "the scenario said so")));
                    return work.tell.reporter.done(Ok(())).await;
                }
                Some(Order::Act(Act::Kill)) => {
                    // What is said from here on is never heard, as of a process that is no more.
                    link.set_outage(true);
                    return work.tell.reporter.done(Ok(())).await;
                }
                Some(Order::Act(act)) => {
                    let done = work.act(&session, act).await;
                    work.tell.reporter.done(done).await;
                }
                Some(Order::Ask(_) | Order::Picture(_)) => {}
                None => return,
            },
            channel = incoming.next(), if !over => {
                if let Some(channel) = channel {
                    work.take(channel).await;
                }
            }
            track = tracks.next(), if !over => {
                if let Some(track) = track {
                    let teller = clip::Teller::Line(work.tell.clone());
                    work.tasks.spawn(clip::count(track, teller));
                }
            }
            Ok(()) = connectivity.changed(), if !over => {
                let state = match *connectivity.borrow_and_update() {
                    Connectivity::Connected => State::Connected,
                    Connectivity::Interrupted(_) => State::Interrupted,
                };
                work.tell.say(OnLine::State(state, None)).await;
            }
            why = session.ended(), if !over => {
                over = true;
                work.tell.say(OnLine::State(State::Ended, Some(why.to_string()))).await;
            }
        }
    }
}

/// Tells what happens on this line.
#[derive(Clone)]
pub(super) struct Tell {
    pub(super) reporter: crate::scenario::report::Reporter,
    pub(super) with: crate::scenario::plan::PeerId,
}

impl Tell {
    pub(super) async fn say(&self, what: OnLine) {
        self.reporter.on_line(self.with, what).await;
    }
}

/// What goes on over the session. Its tasks end with it.
struct Work {
    channels: HashMap<String, ChannelSender>,
    tasks: JoinSet<()>,
    arrivals: Arrivals,
    home: std::sync::Arc<super::Home>,
    tell: Tell,
}

impl Work {
    async fn act(&mut self, session: &Session, act: Act) -> Result<(), String> {
        match act {
            Act::Open {
                channel, delivery, ..
            } => self.open(session, channel, delivery).await,
            Act::Send {
                channel,
                text,
                count,
                ..
            } => self.send(&channel, &text, count).await,
            Act::Transfer { load, .. } => {
                let load = Load::prepare(&self.home, load).await?;
                let sending = files::send(session, load, self.tell.clone()).await?;
                self.tasks.spawn(sending);
                Ok(())
            }
            Act::Call { codecs, .. } => self.call(session, &codecs).await,
            Act::Start | Act::Leave | Act::Kill | Act::Write(_) => {
                Err("a line cannot do that".into())
            }
        }
    }

    async fn open(
        &mut self,
        session: &Session,
        label: String,
        delivery: Delivery,
    ) -> Result<(), String> {
        if self.channels.contains_key(&label) {
            return Err(format!("channel `{label}` is open already"));
        }
        let opened = session.open(label.as_str(), PROTOCOL, delivery).await;
        self.keep(opened.map_err(|error| error.to_string())?);
        Ok(())
    }

    /// Reads a channel from now on.
    fn keep(&mut self, channel: Channel) {
        let label = channel.label().to_owned();
        let (sender, receiver) = channel.split();
        self.channels.insert(label.clone(), sender);
        self.tasks.spawn(read(receiver, label, self.tell.clone()));
    }

    /// Waits as long as the other side takes nothing.
    async fn send(&mut self, label: &str, text: &str, count: u32) -> Result<(), String> {
        let channel = self.channels.get(label).ok_or_else(|| {
            let mut others: Vec<_> = self.channels.keys().map(String::as_str).collect();
            others.sort_unstable();
            match others[..] {
                [] => format!(
                    "there is no channel `{label}`, nor any other: one side has to open it first"
                ),
                _ => format!("there is no channel `{label}`, but {}", others.join(", ")),
            }
        })?;
        let channel = channel.clone();
        if count == 1 {
            let sent = channel.send(Message::Text(text.to_owned())).await;
            return sent.map_err(|error| error.to_string());
        }
        // In the background: a link that is cut holds them up, and the scenario goes on.
        let (text, tell) = (text.to_owned(), self.tell.clone());
        self.tasks.spawn(async move {
            for n in 1..=count {
                let message = Message::Text(numbered(&text, n));
                if channel.send(message).await.is_err() {
                    tell.say(OnLine::Failed(format!(
                        "message {n} of {count} could not be sent"
                    )))
                    .await;
                    return;
                }
            }
        });
        Ok(())
    }

    async fn call(&mut self, session: &Session, codecs: &[Codec]) -> Result<(), String> {
        for codec in codecs {
            let track = session.tracks().add(*codec).await;
            let track = track.map_err(|error| error.to_string())?;
            self.tasks.spawn(clip::play(track));
        }
        Ok(())
    }

    /// A channel that the other side opened.
    async fn take(&mut self, incoming: IncomingChannel) {
        let IncomingChannel { channel, protocol } = incoming;
        if protocol == CONTROL_PROTOCOL || protocol == LANE_PROTOCOL {
            if let Some(begun) = self.arrivals.take(channel) {
                let receiving = files::receive(begun, self.home.clone(), self.tell.clone());
                self.tasks.spawn(receiving);
            }
            return;
        }
        let label = channel.label().to_owned();
        self.keep(channel);
        self.tell.say(OnLine::Opened(label)).await;
    }
}

/// Tells what comes on a channel until it closes.
async fn read(mut channel: ChannelReceiver, label: String, tell: Tell) {
    while let Some(message) = channel.recv().await {
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(bytes) => format!("{} bytes that are no text", bytes.len()),
        };
        let channel = label.clone();
        tell.say(OnLine::Message { channel, text }).await;
    }
}
