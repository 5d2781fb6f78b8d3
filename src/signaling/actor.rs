//! The task that owns a connection to a server.

use super::backoff::Backoff;
use super::error::{Lost, Refusal};
use super::keepalive::{Due, Keepalive};
use super::ledger::{Arrival, Ledger};
use super::transport::{Incoming, Transport, resuming};
use signaling_protocol::{ClientMessage, ErrorCode, Join, Secret, ServerMessage};
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

/// Time for the last messages and the goodbye. Nobody waits longer for a program to end.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);

pub(super) struct Actor<T> {
    transport: T,
    to_send: mpsc::Receiver<ClientMessage>,
    received: mpsc::Sender<Result<ServerMessage, Lost>>,
    /// Why there is no connection now, while there is none.
    trouble: watch::Sender<Option<Lost>>,
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
}

/// What the task woke up for.
enum Wake {
    Received(Result<Incoming, Lost>),
    Send(ClientMessage),
    Due,
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
        } = ends;
        Self {
            transport,
            to_send,
            received,
            trouble,
            keepalive,
            ledger: Ledger::new(place.is_some()),
            place,
            asked: Duration::ZERO,
            complaint: None,
        }
    }

    pub(super) async fn run(mut self) {
        match self.run_inner().await {
            Ok(()) => {
                tracing::debug!("leaving the room");
                // Past the limit the connection is dropped, which the server notices too.
                let _ = time::timeout(LEAVE_LIMIT, self.leave()).await;
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
                Wake::Send(message) => {
                    let seq = self.ledger.number(&message);
                    self.send(seq, &message).await?;
                }
                Wake::Due => self.due().await?,
                Wake::Received(incoming) => {
                    self.keepalive.heard(Instant::now().into_std());
                    let incoming = incoming.map_err(|lost| self.explained(lost))?;
                    self.receive(incoming)?;
                }
            }
        }
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
                Ok(_) => Wake::Received(self.transport.receive().await),
                Err(_) => Wake::HandleDropped,
            }
        };
        tokio::select! {
            biased;
            wake = receive => wake,
            message = self.to_send.recv(), if may_send => {
                message.map_or(Wake::HandleDropped, Wake::Send)
            }
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
        if self.place.is_none() || !lost.is_passing() {
            return Err(lost);
        }
        tracing::info!(%lost, "connecting to the signaling server again");
        self.trouble.send_replace(Some(lost.clone()));
        let asked = std::mem::take(&mut self.asked);
        let mut backoff = Backoff::new(Instant::now().into_std(), asked);
        while let Some(wait) = backoff.next(Instant::now().into_std()) {
            tokio::select! {
                () = time::sleep(wait) => {}
                // Nobody waits for it any more.
                () = self.received.closed() => return Err(lost),
            }
            match time::timeout(ATTEMPT_LIMIT, self.attempt()).await {
                Ok(Ok(())) => {
                    tracing::info!("the signaling server knows us");
                    self.keepalive.heard(Instant::now().into_std());
                    self.trouble.send_replace(None);
                    return Ok(());
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
        Err(lost)
    }

    async fn attempt(&mut self) -> Result<(), Lost> {
        let Some((join, token)) = &self.place else {
            return Err(Lost::Closed);
        };
        let join = resuming(join, token, self.ledger.got());
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
mod tests {
    use super::*;
    use crate::signaling::Signaling;
    use signaling_protocol::{Join, Joined, PeerId};

    /// A server that does what the test says, on the test's clock.
    struct Scripted {
        script: mpsc::Receiver<Result<Incoming, Lost>>,
        sent: mpsc::Sender<ClientMessage>,
    }

    impl Transport for Scripted {
        async fn send(&mut self, _: Option<u64>, message: &ClientMessage) -> Result<(), Lost> {
            self.sent
                .send(message.clone())
                .await
                .map_err(|_| Lost::Closed)
        }

        async fn receive(&mut self) -> Result<Incoming, Lost> {
            self.script.recv().await.unwrap_or(Err(Lost::Closed))
        }
    }

    /// The server's side of a joined connection.
    struct Far {
        script: mpsc::Sender<Result<Incoming, Lost>>,
        sent: mpsc::Receiver<ClientMessage>,
    }

    async fn joined() -> (Signaling, Far) {
        let (say, script) = mpsc::channel(1000);
        let (sent, heard) = mpsc::channel(8);
        let json = r#"{"room":"7","self":"me","peers":[],"iceServers":[],
            "limits":{"messageBytes":65536,"messagesPerSecond":50,"peers":2}}"#;
        let answer: Joined = serde_json::from_str(json).unwrap();
        say.send(Ok(ServerMessage::Joined(answer).into()))
            .await
            .unwrap();
        let transport = Scripted { script, sent };
        let (signaling, _) = Signaling::enter(transport, Join::default()).await.unwrap();
        let mut far = Far {
            script: say,
            sent: heard,
        };
        assert_eq!(
            far.sent.recv().await,
            Some(ClientMessage::Join(Join {
                resumable: true,
                ..Join::default()
            }))
        );
        (signaling, far)
    }

    impl Far {
        async fn say(&self, message: ServerMessage) {
            self.script.send(Ok(message.into())).await.unwrap();
        }
    }

    fn chat(content: &str) -> ClientMessage {
        ClientMessage::Chat {
            to: None,
            content: content.into(),
        }
    }

    fn relayed(content: &str) -> ServerMessage {
        let from: PeerId = "other".parse().unwrap();
        ServerMessage::Chat {
            from,
            content: content.into(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_pinged_after_25_s_and_lost_after_60() {
        let (mut signaling, mut far) = joined().await;
        let start = Instant::now();
        assert_eq!(far.sent.recv().await, Some(ClientMessage::Ping));
        assert_eq!(start.elapsed().as_secs(), 25);
        assert_eq!(signaling.next().await, Err(Lost::Silent));
        assert_eq!(start.elapsed().as_secs(), 60);
        assert_eq!(
            signaling.next().await,
            Err(Lost::Silent),
            "and it stays lost"
        );
        assert!(signaling.send(chat("too late")).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answered_ping_keeps_the_connection() {
        let (mut signaling, mut far) = joined().await;
        for _ in 0..5 {
            assert_eq!(far.sent.recv().await, Some(ClientMessage::Ping));
            far.say(ServerMessage::Pong).await;
        }
        far.say(relayed("still there")).await;
        assert_eq!(
            signaling.next().await,
            Ok(relayed("still there")),
            "pongs are not delivered"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_takes_nothing_is_lost() {
        let (mut signaling, _far) = joined().await;
        let start = Instant::now();
        for n in 0..20 {
            signaling.send(chat(&n.to_string())).await.unwrap();
        }
        assert_eq!(signaling.next().await, Err(Lost::Silent));
        assert_eq!(start.elapsed(), SEND_LIMIT);
    }

    /// What a server says before it goes, and what the handle says about it.
    #[tokio::test(start_paused = true)]
    async fn the_reason_of_a_loss_is_the_most_telling_one() {
        let error = |code| ServerMessage::error(code, "because");
        let refused = |code: ErrorCode| Lost::Refused(Refusal::new(code, "because", code.retry()));
        for (said, delivered, lost) in [
            (vec![], 0, Lost::Closed),
            (
                vec![error(ErrorCode::RateLimited)],
                0,
                refused(ErrorCode::RateLimited),
            ),
            (
                vec![error(ErrorCode::Unknown)],
                1,
                refused(ErrorCode::Unknown),
            ),
            (vec![error(ErrorCode::NoSuchPeer)], 1, Lost::Closed),
            (vec![relayed("a"), relayed("b")], 2, Lost::Closed),
        ] {
            let (mut signaling, far) = joined().await;
            for message in &said {
                far.say(message.clone()).await;
            }
            drop(far.script);
            for message in said.iter().take(delivered) {
                assert_eq!(signaling.next().await.as_ref(), Ok(message));
            }
            assert_eq!(signaling.next().await, Err(lost), "{said:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_handle_sends_what_was_queued_and_leaves() {
        let (signaling, mut far) = joined().await;
        signaling.send(chat("last words")).await.unwrap();
        drop(signaling);
        assert_eq!(far.sent.recv().await, Some(chat("last words")));
        assert_eq!(far.sent.recv().await, Some(ClientMessage::Leave));
        // The server never closes its side, which must not keep the task.
        let start = Instant::now();
        assert_eq!(far.sent.recv().await, None);
        assert_eq!(start.elapsed(), LEAVE_LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_handle_that_sends_before_it_reads_does_not_stop() {
        let (mut signaling, mut far) = joined().await;
        for n in 0..3 * QUEUE {
            far.say(relayed(&n.to_string())).await;
        }
        // More than both queues hold, while three times the inner queue waits to be read.
        for n in 0..3 * QUEUE {
            signaling.send(chat(&n.to_string())).await.unwrap();
            assert_eq!(far.sent.recv().await, Some(chat(&n.to_string())));
        }
        for n in 0..3 * QUEUE {
            assert_eq!(signaling.next().await, Ok(relayed(&n.to_string())));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_pauses_for_longer_than_the_limit_is_not_told_of_silence() {
        let (mut signaling, far) = joined().await;
        for n in 0..=QUEUE {
            far.say(relayed(&n.to_string())).await;
        }
        time::advance(Duration::from_secs(600)).await;
        for n in 0..=QUEUE {
            assert_eq!(signaling.next().await, Ok(relayed(&n.to_string())));
        }
    }
}
