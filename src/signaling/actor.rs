//! The task that owns a connection to a server.

use super::backoff::Backoff;
use super::client::Wishes;
use super::error::{Lost, Refusal};
use super::keepalive::{Due, Keepalive};
use super::ledger::{Arrival, Ledger};
use super::transport::{Anew, Incoming, Transport, resuming};
use signaling_protocol::{ClientMessage, ErrorCode, Join, Joined, Secret, ServerMessage};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{self, Instant};

/// Messages that wait in each direction between the handle and the task: a burst of candidates. With
/// messages of 64 KiB this bounds a direction to 4 MiB. Full outwards, the sender waits; full inwards,
/// the task stops reading, and the server will throw the member out as a slow consumer.
pub(super) const QUEUE: usize = 64;

/// Time for the network to take one message. A connection that takes nothing for so long is gone.
const SEND_LIMIT: Duration = Duration::from_secs(10);

/// Time for one attempt to come back, from the look-up of the name to the server's answer.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);

/// Between attempts to find a room again whose place is given away by now. A peer that needs the server
/// sooner says so.
const SLOW: Duration = Duration::from_secs(30);

/// Time for the last messages and the goodbye. Nobody waits longer for a program to end.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);

pub(super) struct Actor<T> {
    transport: T,
    to_send: mpsc::Receiver<ClientMessage>,
    received: mpsc::Sender<Result<ServerMessage, Lost>>,
    /// Why there is no connection now, while there is none.
    trouble: watch::Sender<Option<Lost>>,
    /// When the server last gave a sign of life.
    heard: watch::Sender<std::time::Instant>,
    wishes: Arc<Wishes>,
    /// A new place, for the handle to know of before anything that is said there.
    rejoined: Option<Joined>,
    keepalive: Keepalive,
    ledger: Ledger,
    /// What this client joined with, and what it comes back with.
    place: Option<(Join, Secret)>,
    /// How long a server that goes away wants to be left alone.
    asked: Duration,
    /// An error that may turn out to be why the server closes the connection.
    complaint: Option<Refusal>,
}

/// The ends of an actor's queues.
pub(super) struct Ends {
    pub(super) to_send: mpsc::Receiver<ClientMessage>,
    pub(super) received: mpsc::Sender<Result<ServerMessage, Lost>>,
    pub(super) trouble: watch::Sender<Option<Lost>>,
    pub(super) heard: watch::Sender<std::time::Instant>,
    pub(super) wishes: Arc<Wishes>,
}

/// What the task woke up for.
enum Wake {
    Received(Result<Incoming, Lost>),
    /// The handle is told of its new place.
    Told,
    Send(ClientMessage),
    Due,
    Check,
    HandleDropped,
}

impl<T: Transport> Actor<T> {
    /// `place`: what the client joined with and the token that it got, if it can come back.
    pub(super) fn new(transport: T, ends: Ends, place: Option<(Join, Secret)>) -> Self {
        let keepalive = Keepalive::new(Instant::now().into_std());
        let Ends {
            to_send,
            received,
            trouble,
            heard,
            wishes,
        } = ends;
        Self {
            transport,
            to_send,
            received,
            trouble,
            heard,
            wishes,
            rejoined: None,
            keepalive,
            ledger: Ledger::new(place.is_some()),
            place,
            asked: Duration::ZERO,
            complaint: None,
        }
    }

    pub(super) async fn run(mut self) {
        let received = self.received.clone();
        // Whatever it waits for then, a connection or a server that takes nothing.
        let over = async {
            received.closed().await;
            time::sleep(LEAVE_LIMIT).await;
        };
        tokio::select! {
            () = self.run_to_its_end() => {}
            () = over => tracing::debug!("the server took no goodbye"),
        }
    }

    async fn run_to_its_end(&mut self) {
        match self.run_inner().await {
            Ok(()) => {
                tracing::debug!("leaving the room");
                // Past the limit the connection is dropped, which the server notices too.
                self.leave().await;
            }
            Err(lost) => {
                tracing::debug!(%lost, "signaling lost");
                self.to_send.close();
                self.trouble.send_replace(Some(lost.clone()));
                // Fails only if the handle is gone, and then nobody wants to know.
                let _ = self.received.send(Err(lost)).await;
                let _ = time::timeout(LEAVE_LIMIT, self.finish()).await;
            }
        }
    }

    /// Moves messages until the handle is dropped, over as many connections as it takes.
    async fn run_inner(&mut self) -> Result<(), Lost> {
        loop {
            let Err(lost) = self.converse().await else {
                return Ok(());
            };
            if self.received.is_closed() {
                return Err(lost);
            }
            self.come_back(lost).await?;
        }
    }

    /// Moves messages over one connection.
    async fn converse(&mut self) -> Result<(), Lost> {
        loop {
            match self.wake().await {
                Wake::HandleDropped => return Ok(()),
                Wake::Told => {}
                Wake::Send(message) => {
                    let seq = self.ledger.number(&message);
                    self.send(seq, &message).await?;
                }
                Wake::Due => self.due().await?,
                Wake::Check => self.keepalive.ask(Instant::now().into_std()),
                Wake::Received(incoming) => {
                    self.hear();
                    let incoming = incoming.map_err(|lost| self.explained(lost))?;
                    self.receive(incoming)?;
                }
            }
        }
    }

    fn hear(&mut self) {
        let now = Instant::now().into_std();
        self.keepalive.heard(now);
        self.heard.send_replace(now);
    }

    async fn wake(&mut self) -> Wake {
        let has_room = self.received.capacity() > 0;
        let may_send = self.ledger.has_room();
        let mut deadline = self.ledger.deadline();
        // While this side does not read, silence says nothing about the server.
        if has_room {
            let keepalive = self.keepalive.deadline();
            deadline = Some(deadline.map_or(keepalive, |ack| ack.min(keepalive)));
        }
        let due = async {
            match deadline {
                Some(deadline) => time::sleep_until(Instant::from_std(deadline)).await,
                None => std::future::pending().await,
            }
        };
        let receive = async {
            // Only what there is room for is read, so that a handle that sends before it reads cannot
            // stop this task.
            match self.received.reserve().await {
                Ok(place) => match self.rejoined.take() {
                    Some(joined) => {
                        place.send(Ok(ServerMessage::Joined(joined)));
                        Wake::Told
                    }
                    None => Wake::Received(self.transport.receive().await),
                },
                Err(_) => Wake::HandleDropped,
            }
        };
        tokio::select! {
            biased;
            wake = receive => wake,
            message = self.to_send.recv(), if may_send => {
                message.map_or(Wake::HandleDropped, Wake::Send)
            }
            () = self.wishes.check.notified() => Wake::Check,
            () = due => Wake::Due,
        }
    }

    fn receive(&mut self, incoming: Incoming) -> Result<(), Lost> {
        let now = Instant::now().into_std();
        let (message, arrival) = match incoming {
            Incoming::Alive => return Ok(()),
            Incoming::Unknown { seq } => (None, self.ledger.arrived(Some(seq), 0, now)),
            Incoming::Message {
                seq,
                bytes,
                message,
            } => (Some(message), self.ledger.arrived(seq, bytes, now)),
        };
        match arrival {
            Arrival::New => {}
            Arrival::Again => return Ok(()),
            Arrival::Gap => return Err(Lost::Protocol("it left a message out".to_owned())),
        }
        let Some(message) = message else {
            return Ok(());
        };
        match &message {
            ServerMessage::Pong => return Ok(()),
            ServerMessage::Ack { seq } if self.ledger.acknowledged(*seq) => return Ok(()),
            ServerMessage::Ack { .. } => {
                let absurd = "it acknowledged what was never sent".to_owned();
                return Err(Lost::Protocol(absurd));
            }
            ServerMessage::Joined(_) | ServerMessage::Resumed { .. } => {
                return Err(Lost::Protocol("it answered join twice".to_owned()));
            }
            ServerMessage::Draining { reconnect_after_ms } => {
                self.asked = Duration::from_millis(*reconnect_after_ms);
            }
            ServerMessage::Error {
                code,
                message,
                retry,
            } => {
                let refusal = Refusal::new(*code, message, *retry);
                if code.is_fatal() {
                    return Err(Lost::Refused(refusal));
                }
                self.complaint = (*code == ErrorCode::Unknown).then_some(refusal);
            }
            _ => {}
        }
        // There is room, because `wake` waited for it; a failure means that the handle is gone, which
        // the next `wake` sees.
        let _ = self.received.try_send(Ok(message));
        Ok(())
    }

    async fn due(&mut self) -> Result<(), Lost> {
        let now = Instant::now().into_std();
        if let Some(ack) = self.ledger.take_due(now) {
            self.send(None, &ack).await?;
        }
        match self.keepalive.take(now) {
            Some(Due::Ping) => self.send(None, &ClientMessage::Ping).await,
            Some(Due::Lost) => Err(Lost::Silent),
            None => Ok(()),
        }
    }

    async fn send(&mut self, seq: Option<u64>, message: &ClientMessage) -> Result<(), Lost> {
        let sent = time::timeout(SEND_LIMIT, self.transport.send(seq, message)).await;
        sent.unwrap_or(Err(Lost::Silent))
            .map_err(|lost| self.explained(lost))
    }

    /// A connection that closes after an error of a newer server was closed for that error.
    fn explained(&mut self, lost: Lost) -> Lost {
        match (lost, self.complaint.take()) {
            (Lost::Closed, Some(refusal)) => Lost::Refused(refusal),
            (lost, _) => lost,
        }
    }

    /// Gets this client's place back after its connection was lost, or says why that cannot be.
    async fn come_back(&mut self, lost: Lost) -> Result<(), Lost> {
        // A connection of requests hears only from the next server that this one was restarted.
        let forgotten = match &lost {
            Lost::Refused(refusal) => refusal.code == ErrorCode::ResumeFailed,
            _ => false,
        };
        let anew = forgotten && self.wishes.room.get().is_some();
        if self.place.is_none() || !(lost.is_passing() || anew) {
            return Err(lost);
        }
        tracing::info!(%lost, "connecting to the signaling server again");
        self.trouble.send_replace(Some(lost.clone()));
        let asked = std::mem::take(&mut self.asked);
        let mut backoff = Backoff::new(Instant::now().into_std(), asked);
        loop {
            let slow = self.wishes.room.get().map(|_| SLOW);
            let soon = backoff.next(Instant::now().into_std());
            let Some(wait) = soon.or(slow) else {
                return Err(lost);
            };
            tokio::select! {
                () = time::sleep(wait) => {}
                () = self.wishes.check.notified(), if soon.is_none() => {
                    backoff = Backoff::new(Instant::now().into_std(), Duration::ZERO);
                }
                // Nobody waits for it any more.
                () = self.received.closed() => return Err(lost),
            }
            match self.try_again().await {
                Ok(Ok(())) => {
                    tracing::info!("the signaling server knows us");
                    self.hear();
                    self.trouble.send_replace(None);
                    return Ok(());
                }
                // Somebody else may hold the room for now.
                Ok(Err(Lost::Refused(refusal)))
                    if slow.is_some() && refusal.code != ErrorCode::TakenOver =>
                {
                    tracing::debug!(%refusal, "not yet");
                }
                // Too many attempts of this address are no verdict on this client.
                Ok(Err(Lost::Refused(refusal)))
                    if !refusal.is_passing() && refusal.code != ErrorCode::RateLimited =>
                {
                    return Err(Lost::Refused(refusal));
                }
                Ok(Err(error)) => tracing::debug!(%error, "not yet"),
                Err(_) => tracing::debug!("no answer yet"),
            }
        }
    }

    async fn try_again(&mut self) -> Result<Result<(), Lost>, time::error::Elapsed> {
        match time::timeout(ATTEMPT_LIMIT, self.attempt(false)).await {
            Ok(Err(Lost::Refused(refusal)))
                if refusal.code == ErrorCode::NoSuchRoom && self.wishes.room.get().is_some() =>
            {
                time::timeout(ATTEMPT_LIMIT, self.attempt(true)).await
            }
            tried => tried,
        }
    }

    /// `create`: make the room that is to be had again, if it is to be.
    async fn attempt(&mut self, create: bool) -> Result<(), Lost> {
        let Some((join, token)) = &self.place else {
            return Err(Lost::Closed);
        };
        let anew = self.wishes.room.get().cloned();
        let anew = anew.map(|old| Anew { old, create });
        let join = resuming(join, token, self.ledger.got(), anew);
        self.transport
            .reconnect()
            .await
            .map_err(|cause| Lost::Network(cause.to_string()))?;
        self.transport
            .send(None, &ClientMessage::Join(join))
            .await?;
        let received = loop {
            match self.transport.receive().await? {
                Incoming::Message {
                    message: ServerMessage::Resumed { received },
                    ..
                } => break received,
                Incoming::Message {
                    message: ServerMessage::Joined(joined),
                    ..
                } if self.wishes.room.get().is_some() => {
                    self.move_in(joined);
                    return Ok(());
                }
                Incoming::Message {
                    message:
                        ServerMessage::Error {
                            code,
                            message,
                            retry,
                        },
                    ..
                } => return Err(Lost::Refused(Refusal::new(code, &message, retry))),
                Incoming::Message {
                    message: ServerMessage::Draining { .. },
                    ..
                }
                | Incoming::Alive => {}
                Incoming::Message { .. } | Incoming::Unknown { .. } => {
                    let early = "a message came before the answer to join".to_owned();
                    return Err(Lost::Protocol(early));
                }
            }
        };
        self.ledger.settled();
        if !self.ledger.acknowledged(received) {
            let absurd = "it acknowledged what was never sent".to_owned();
            return Err(Lost::Protocol(absurd));
        }
        for (seq, message) in self.ledger.unacknowledged() {
            self.transport.send(Some(*seq), message).await?;
        }
        Ok(())
    }

    /// The server had forgotten this client: its place, numbers and peers are new.
    fn move_in(&mut self, joined: Joined) {
        tracing::info!("entered the room anew");
        self.place = match (self.place.take(), joined.resume.clone()) {
            (Some((join, _)), Some(token)) => Some((join, token)),
            _ => None,
        };
        self.ledger = Ledger::new(self.place.is_some());
        self.rejoined = Some(joined);
    }

    async fn leave(&mut self) {
        while let Some(message) = self.to_send.recv().await {
            let seq = self.ledger.number(&message);
            if self.transport.send(seq, &message).await.is_err() {
                return;
            }
        }
        if self
            .transport
            .send(None, &ClientMessage::Leave)
            .await
            .is_ok()
        {
            self.finish().await;
        }
    }

    /// Reads on until the server has closed the connection.
    async fn finish(&mut self) {
        while self.transport.receive().await.is_ok() {}
    }
}

#[cfg(test)]
mod tests;
