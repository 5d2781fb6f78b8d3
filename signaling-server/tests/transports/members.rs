//! A member's life is the same over each of them.

use crate::common::{
    DEADLINE, TestServer,
    line::{KINDS, Kind, Line},
};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn every_transport_meets_every_other() {
    for host in KINDS {
        for guest in KINDS {
            let server = TestServer::start().await;
            let create = json!({ "create": true, "capacity": 2, "name": "Ada" });
            let mut a = Line::join(&server, host, create).await.unwrap();
            let join = json!({ "room": a.room, "create": false });
            let mut b = Line::join(&server, guest, join.clone()).await.unwrap();
            assert_eq!(b.joined["peers"][0]["name"], "Ada");
            assert_eq!(a.expect("peer-joined").await["peer"]["id"], b.id());
            for number in 0..40 {
                b.send(json!({ "type": "sealed", "to": a.id(), "data": format!("A{number}") }))
                    .await;
                a.send(json!({ "type": "message", "payload": number }))
                    .await;
            }
            for number in 0..40 {
                let sealed = a.expect("sealed").await;
                assert_eq!(
                    (&sealed["from"], &sealed["data"]),
                    (&b.id(), &json!(format!("A{number}")))
                );
                assert_eq!(b.expect("message").await["payload"], number);
            }
            a.send(json!({ "type": "chat", "to": "nobody", "content": "" }))
                .await;
            assert_eq!(a.expect("error").await["code"], "no-such-peer");
            a.send_as_it_is(r#"{"type":"ping"}"#).await;
            a.expect("pong").await;
            let third = Line::join(&server, host, join).await;
            assert_eq!(third.err().as_deref(), Some("room-full"));
            b.send_as_it_is(r#"{"type":"leave"}"#).await;
            let left = a.expect("peer-left").await;
            assert_eq!((&left["peer"], &left["reason"]), (&b.id(), &json!("left")));
        }
    }
}

/// A first message and the code with which it is refused: numbers of pitfalls 5.3.
#[tokio::test]
async fn refused_joins() {
    let server = TestServer::start().await;
    let full = json!({ "room": "full", "capacity": 2 });
    let mut members = Vec::new();
    for kind in KINDS.into_iter().take(2) {
        members.push(Line::join(&server, kind, full.clone()).await.unwrap());
    }
    for kind in KINDS {
        for (join, code) in [
            (json!({}), "bad-message"),
            (json!({ "room": "new", "capacity": 1 }), "bad-message"),
            (json!({ "room": "new", "capacity": 17 }), "bad-message"),
            (json!({ "room": "nobody", "create": false }), "no-such-room"),
            (json!({ "room": "full", "create": true }), "room-taken"),
            (json!({ "room": "full" }), "room-full"),
            (json!({ "room": "new", "name": "" }), "bad-message"),
            (
                json!({ "room": "new", "x": "x".repeat(17_000) }),
                "too-large",
            ),
        ] {
            let refused = Line::join(&server, kind, join.clone()).await;
            assert_eq!(refused.err().as_deref(), Some(code), "{kind:?} {join}");
        }
    }
    server.assert_serves().await;
}

#[tokio::test]
async fn going_away_is_told_on_every_transport() {
    for kind in KINDS {
        let server =
            TestServer::with(|limits| limits.drain_grace = Duration::from_millis(200)).await;
        let mut line = Line::enter(&server, kind, "r").await;
        let poll_token: Value = json!(line.token());
        assert!(poll_token.is_string());
        let told = tokio::spawn(async move {
            let after = line.expect("draining").await["reconnectAfterMs"].as_u64();
            assert!(after.unwrap() < 5000);
        });
        if kind == Kind::Poll {
            // Its request has to be there before the port is closed.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let stopped = server.stop();
        tokio::time::timeout(DEADLINE, told).await.unwrap().unwrap();
        tokio::time::timeout(DEADLINE, stopped)
            .await
            .unwrap()
            .unwrap();
    }
}
