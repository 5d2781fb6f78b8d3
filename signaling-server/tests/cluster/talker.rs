//! A member that never stops talking. It comes back wherever there is a node, sends again what was not
//! acknowledged, and makes sure that what it hears is complete, in order and once.

use crate::common::Client;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    net::TcpStream,
    select,
    sync::watch,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::task::AbortOnDropHandle;

/// How often it says something, and how much at once, so that a node which dies has something on its way:
/// less than a server allows in the long run, so that what is sent again after an outage fits.
const PACE: Duration = Duration::from_millis(600);
const BURST: usize = 24;

/// How often it says what it has heard.
const ACK_EVERY: u64 = 16;

/// Pause before it tries to connect again, when no node answered.
const PAUSE: Duration = Duration::from_millis(30);

/// Where nodes are, by slot, and which slot each talker wants to be at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nodes {
    pub(crate) at: [Option<SocketAddr>; 2],
    pub(crate) wanted: Vec<usize>,
    pub(crate) over: bool,
}

/// How far a talker is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    pub(crate) slot: usize,
    /// Since when it is connected there.
    pub(crate) since: Instant,
    /// Messages that it has sent, that a server has acknowledged, and that it has heard.
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    pub(crate) heard: u64,
    /// Messages that were sent again.
    pub(crate) again: u64,
}

pub(crate) struct Talker {
    pub(crate) progress: watch::Receiver<Progress>,
    _task: AbortOnDropHandle<()>,
}

impl Talker {
    /// Two in a room of their own, at the slots that they want. They talk when both are there.
    pub(crate) async fn pair(index: usize, nodes: &watch::Receiver<Nodes>) -> [Self; 2] {
        let room = format!("room-{index}");
        let one = Member::join(&room, index, nodes).await;
        let other = Member::join(&room, index + 1, nodes).await;
        [one, other].map(|(member, client)| Self {
            progress: member.progress.subscribe(),
            _task: AbortOnDropHandle::new(tokio::spawn(member.live(client))),
        })
    }

    pub(crate) fn now(&self) -> Progress {
        *self.progress.borrow()
    }
}

struct Member {
    index: usize,
    token: Value,
    /// The number of the last message that came.
    got: u64,
    nodes: watch::Receiver<Nodes>,
    progress: watch::Sender<Progress>,
}

impl Member {
    async fn join(room: &str, index: usize, nodes: &watch::Receiver<Nodes>) -> (Self, Client) {
        let slot = nodes.borrow().wanted[index];
        let address = nodes.borrow().at[slot].unwrap();
        let mut client = Client::connect(address, "/ws").await;
        client
            .send(json!({ "type": "join", "room": room, "resumable": true }))
            .await;
        let joined = client.expect("joined").await;
        let progress = watch::Sender::new(Progress {
            slot,
            since: Instant::now(),
            sent: 0,
            acknowledged: 0,
            heard: 0,
            again: 0,
        });
        let member = Self {
            index,
            token: joined["resume"].clone(),
            got: 0,
            nodes: nodes.clone(),
            progress,
        };
        (member, client)
    }

    async fn live(mut self, mut client: Client) {
        loop {
            self.talk(&mut client).await;
            client.cut();
            client = self.come_back().await;
        }
    }

    /// Talks and listens until the connection ends, or until it wants to be elsewhere.
    async fn talk(&mut self, client: &mut Client) {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let slot = self.progress.borrow().slot;
        loop {
            let over = self.nodes.borrow().over;
            select! {
                biased;
                message = client.try_next() => match message {
                    Some(message) => if !self.take(client, &message).await { return },
                    None => return,
                },
                _ = self.nodes.changed() => {
                    let nodes = self.nodes.borrow_and_update();
                    let wanted = nodes.wanted[self.index];
                    if wanted != slot && nodes.at[wanted].is_some() {
                        return;
                    }
                }
                _ = pace.tick(), if !over => if !self.speak(client).await { return },
            }
        }
    }

    /// Says what is new; whether the connection still stands.
    async fn speak(&mut self, client: &mut Client) -> bool {
        for _ in 0..BURST {
            let mut number = 0;
            self.progress.send_modify(|progress| {
                progress.sent += 1;
                number = progress.sent;
            });
            if !say(client, number).await {
                return false;
            }
        }
        true
    }

    /// Takes one message; whether the connection still stands.
    async fn take(&mut self, client: &mut Client, message: &Value) -> bool {
        let kind = message["type"].as_str().unwrap();
        if let Some(seq) = message["seq"].as_u64()
            && kind != "ack"
        {
            assert_eq!(seq, self.got + 1, "in order and once: {message}");
            self.got = seq;
        }
        match kind {
            "message" => {
                let payload = message["payload"].as_u64().unwrap();
                self.progress.send_modify(|progress| {
                    assert_eq!(payload, progress.heard + 1, "complete, in order and once");
                    progress.heard = payload;
                });
                if payload.is_multiple_of(ACK_EVERY) {
                    return client
                        .try_send(json!({ "type": "ack", "seq": self.got }))
                        .await;
                }
            }
            "ack" => self.acknowledged(message["seq"].as_u64().unwrap()),
            "peer-joined" | "peer-away" | "peer-back" | "draining" => {}
            _ => panic!("talker {}: {message}", self.index),
        }
        true
    }

    fn acknowledged(&self, seq: u64) {
        self.progress.send_modify(|progress| {
            let known = progress.acknowledged..=progress.sent;
            assert!(known.contains(&seq), "{seq} is not in {known:?}");
            progress.acknowledged = seq;
        });
    }

    /// Connects wherever there is a node, and says again what the server does not have.
    async fn come_back(&mut self) -> Client {
        loop {
            let nodes = self.nodes.borrow_and_update().clone();
            let wanted = nodes.wanted[self.index];
            for slot in [wanted, 1 - wanted] {
                if let Some(address) = nodes.at[slot]
                    && let Some(client) = self.resume(slot, address).await
                {
                    return client;
                }
            }
            // As any client does, so that a dead node is not asked without end.
            sleep(PAUSE).await;
        }
    }

    async fn resume(&mut self, slot: usize, address: SocketAddr) -> Option<Client> {
        let stream = TcpStream::connect(address).await.ok()?;
        let mut client = Client::try_over(stream, "/ws").await?;
        let join = json!({ "type": "join", "resume": self.token, "ack": self.got });
        if !client.try_send(join).await {
            return None;
        }
        let resumed = client.try_next().await?;
        assert_eq!(resumed["type"], "resumed", "{resumed}");
        let received = resumed["received"].as_u64().unwrap();
        self.acknowledged(received);
        let sent = self.progress.borrow().sent;
        self.progress.send_modify(|progress| {
            (progress.slot, progress.since) = (slot, Instant::now());
            progress.again += sent - received;
        });
        for number in received + 1..=sent {
            if !say(&mut client, number).await {
                return None;
            }
        }
        Some(client)
    }
}

/// The message with this number.
async fn say(client: &mut Client, number: u64) -> bool {
    client
        .try_send(json!({ "type": "message", "payload": number, "seq": number }))
        .await
}
