//! What was missed comes again, in order and once.

use crate::common::{
    TestServer,
    line::{KINDS, Kind, Line},
};
use serde_json::json;

#[tokio::test]
async fn what_was_missed_comes_in_order_and_once_over_any_transport() {
    for before in KINDS {
        for after in KINDS {
            let server = TestServer::start().await;
            let mut other = Line::enter(&server, Kind::WebSocket, "r").await;
            let mut line = Line::enter(&server, before, "r").await;
            other.expect("peer-joined").await;
            for number in 0..5 {
                other
                    .send(json!({ "type": "message", "payload": number }))
                    .await;
            }
            for number in 0..3 {
                assert_eq!(line.expect("message").await["payload"], number);
            }
            // The last ones were sent, and got lost in the cut.
            line.cut();
            for number in 5..30 {
                other
                    .send(json!({ "type": "message", "payload": number }))
                    .await;
            }
            line.kind = after;
            assert_eq!(line.connect().await, Ok(0));
            for number in 3..30 {
                assert_eq!(
                    line.expect("message").await["payload"],
                    number,
                    "{before:?} {after:?}"
                );
            }
            line.send(json!({ "type": "chat", "content": "back" }))
                .await;
            let chat = loop {
                match other.next().await {
                    away if away["type"] == "peer-away" || away["type"] == "peer-back" => {
                        assert_eq!(away["peer"], line.id());
                    }
                    message => break message,
                }
            };
            assert_eq!((&chat["type"], &chat["from"]), (&json!("chat"), &line.id()));
        }
    }
}

#[tokio::test]
async fn what_is_sent_again_is_passed_on_once() {
    for kind in KINDS {
        let server = TestServer::start().await;
        let mut other = Line::enter(&server, Kind::WebSocket, "r").await;
        let mut line = Line::enter(&server, kind, "r").await;
        other.expect("peer-joined").await;
        for number in 1..=3 {
            line.send(json!({ "type": "message", "payload": number }))
                .await;
        }
        for number in 1..=3 {
            assert_eq!(other.expect("message").await["payload"], number);
        }
        line.cut();
        if kind == Kind::WebSocket {
            other.expect("peer-away").await;
        }
        assert_eq!(line.connect().await, Ok(3), "{kind:?}");
        if kind == Kind::WebSocket {
            other.expect("peer-back").await;
        }
        line.sent = 1;
        for number in 2..=5 {
            line.send(json!({ "type": "message", "payload": number }))
                .await;
        }
        for number in 4..=5 {
            assert_eq!(other.expect("message").await["payload"], number);
        }
    }
}

#[tokio::test]
async fn the_server_acknowledges_now_and_then() {
    let server = TestServer::start().await;
    let mut line = Line::enter(&server, Kind::WebSocket, "r").await;
    for _ in 0..40 {
        line.send(json!({ "type": "message", "payload": 0 })).await;
    }
    for seq in [16, 32] {
        let ack = line.raw_next().await.unwrap();
        assert_eq!((&ack["type"], &ack["seq"]), (&json!("ack"), &json!(seq)));
    }
    let large = "x".repeat(60_000);
    for _ in 0..2 {
        line.send(json!({ "type": "chat", "content": large })).await;
    }
    assert_eq!(line.raw_next().await.unwrap()["seq"], 42, "by size");
}

#[tokio::test]
async fn acknowledgements_of_the_wrong_time() {
    let server = TestServer::start().await;
    let mut line = Line::enter(&server, Kind::WebSocket, "r").await;
    let (_other, _) = server.joined("r").await;
    line.expect("peer-joined").await;
    line.cut();
    for (got, code) in [(2, "bad-message"), (u64::MAX, "bad-message")] {
        line.got = got;
        assert_eq!(line.connect().await.err().as_deref(), Some(code));
    }
    line.got = 1;
    assert_eq!(line.connect().await, Ok(0), "the member is still there");
    line.cut();
    line.got = 0;
    let gone = line.connect().await.err();
    assert_eq!(gone.as_deref(), Some("resume-failed"), "1 was acknowledged");
}
