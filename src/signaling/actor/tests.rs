//! The task against a server that does what a test says, on the test's clock.

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
