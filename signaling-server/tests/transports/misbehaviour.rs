//! What a member may not send, and what it must not be too slow for.

use crate::common::{
    TestServer,
    line::{KINDS, Kind, Line},
};
use serde_json::json;

/// What a member sends, and the code of the error that ends it; numbers of pitfalls 5.3.
#[tokio::test]
async fn what_ends_a_member() {
    let server = TestServer::start().await;
    let deep = format!(
        r#"{{"type":"message","seq":1,"payload":{}"#,
        "[".repeat(15_000)
    );
    let large = format!(
        r#"{{"type":"chat","seq":1,"content":"{}"}}"#,
        "x".repeat(65_536)
    );
    let rows: [(&str, &str, &str); 16] = [
        ("not JSON", "hello", "bad-json"),
        (
            "17 lone surrogate",
            r#"{"type":"chat","seq":1,"content":"\ud800"}"#,
            "bad-json",
        ),
        ("18 depth", &deep, "bad-json"),
        (
            "19 1e999",
            r#"{"type":"message","seq":1,"payload":1e999}"#,
            "bad-json",
        ),
        (
            "20 type twice",
            r#"{"type":"ping","type":"leave"}"#,
            "bad-json",
        ),
        (
            "20 content twice",
            r#"{"type":"chat","seq":1,"content":"","content":""}"#,
            "bad-message",
        ),
        (
            "20 seq twice",
            r#"{"type":"chat","seq":1,"seq":1,"content":""}"#,
            "bad-message",
        ),
        (
            "25 second join",
            r#"{"type":"join","room":"r"}"#,
            "already-joined",
        ),
        ("12 large", &large, "too-large"),
        (
            "no number",
            r#"{"type":"chat","content":""}"#,
            "bad-message",
        ),
        (
            "a number too high",
            r#"{"type":"chat","seq":2,"content":""}"#,
            "bad-message",
        ),
        (
            "number 2^64",
            r#"{"type":"chat","seq":18446744073709551616,"content":""}"#,
            "bad-message",
        ),
        (
            "ack of what was not sent",
            r#"{"type":"ack","seq":99}"#,
            "bad-message",
        ),
        (
            "ack of 2^64 - 1",
            r#"{"type":"ack","seq":18446744073709551615}"#,
            "bad-message",
        ),
        ("ack below 0", r#"{"type":"ack","seq":-1}"#, "bad-message"),
        (
            "no field",
            r#"{"type":"sealed","seq":1,"to":"a"}"#,
            "bad-message",
        ),
    ];
    for kind in KINDS {
        let mut witness = Line::enter(&server, Kind::WebSocket, "r").await;
        for (name, text, code) in &rows {
            let mut line = Line::enter(&server, kind, "r").await;
            witness.expect("peer-joined").await;
            if kind == Kind::WebSocket {
                line.send_as_it_is(text).await;
                assert_eq!(line.refusal().await, *code, "{kind:?} {name}");
            } else {
                let (_, answer) = line.post(text).await;
                assert_eq!(answer[0]["code"], *code, "{kind:?} {name}");
            }
            assert_eq!(
                witness.expect("peer-left").await["reason"],
                "kicked",
                "{name}"
            );
            assert_eq!(
                line.connect().await.err().as_deref(),
                Some("resume-failed"),
                "{name}"
            );
        }
        witness.send_as_it_is(r#"{"type":"leave"}"#).await;
    }
    server.assert_serves().await;
}

#[tokio::test]
async fn errors_that_keep_the_member_count_as_messages() {
    let server = TestServer::start().await;
    for kind in KINDS {
        let mut line = Line::enter(&server, kind, "r").await;
        line.send(json!({ "type": "dance" })).await;
        assert_eq!(line.expect("error").await["code"], "bad-type");
        line.send_as_it_is(r#"{"no":"type"}"#).await;
        assert_eq!(line.expect("error").await["code"], "bad-type");
        line.send(json!({ "type": "chat", "content": "", "from": "somebody" }))
            .await;
        line.send_as_it_is(r#"{"type":"leave"}"#).await;
    }
}

#[tokio::test]
async fn too_many_messages() {
    let server = TestServer::with(|limits| limits.message_burst = 20).await;
    for kind in KINDS {
        let mut line = Line::enter(&server, kind, "r").await;
        let mut code = None;
        for _ in 0..60 {
            line.sent += 1;
            let text = json!({ "type": "chat", "content": "", "seq": line.sent }).to_string();
            match kind {
                Kind::WebSocket => line.send_as_it_is(&text).await,
                _ => {
                    let (status, answer) = line.post(&text).await;
                    if status != 200 {
                        code = Some((status, answer[0]["code"].clone()));
                        break;
                    }
                }
            }
        }
        match kind {
            Kind::WebSocket => assert_eq!(line.refusal().await, "rate-limited"),
            _ => assert_eq!(code, Some((429, json!("rate-limited")))),
        }
    }
}

/// 30: the queue of a member that does not read is bounded, whether a connection carries it or none.
#[tokio::test]
async fn a_member_that_does_not_read() {
    for kind in KINDS {
        let server = TestServer::with(|limits| {
            limits.messages_per_second = 1_000_000;
            limits.message_burst = 1_000_000;
        })
        .await;
        let mut sender = Line::enter(&server, Kind::WebSocket, "r").await;
        let mut deaf = Line::enter(&server, kind, "r").await;
        sender.expect("peer-joined").await;
        if kind == Kind::WebSocket {
            deaf.cut();
            sender.expect("peer-away").await;
        }
        let content = "x".repeat(10_000);
        let mut sent = 0;
        let left = loop {
            sender
                .send(json!({ "type": "chat", "to": deaf.id(), "content": content }))
                .await;
            sent += 1;
            // Of a stream the network takes some before the queue fills.
            assert!(sent < 2_000, "never noticed");
            sender.send_as_it_is(r#"{"type":"ping"}"#).await;
            let message = sender.next().await;
            if message["type"] != "pong" {
                break message;
            }
        };
        assert_eq!(
            (&left["type"], &left["reason"]),
            (&json!("peer-left"), &json!("kicked"))
        );
        assert!(sent >= 25, "256 KiB are kept, {sent}0 KB were too much");
        assert_eq!(deaf.connect().await.err().as_deref(), Some("resume-failed"));
    }
}
