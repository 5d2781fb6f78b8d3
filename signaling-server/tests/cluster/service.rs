//! What is the same on one node and on several.

use crate::{
    common::{
        Client,
        line::{KINDS, Kind, Line},
    },
    node::{figure, node, node_with, reaches},
    redis::Redis,
};
use serde_json::{Value, json};
use std::time::Duration;

/// Sends numbers both ways and takes them, in order and once.
pub(crate) async fn talk(a: &mut Line, b: &mut Line, numbers: std::ops::Range<u64>) {
    for number in numbers.clone() {
        for line in [&mut *a, &mut *b] {
            line.send(json!({ "type": "message", "payload": number }))
                .await;
        }
    }
    for number in numbers {
        for line in [&mut *a, &mut *b] {
            assert_eq!(line.heard("message").await["payload"], number);
        }
    }
}

#[tokio::test]
async fn peers_on_different_nodes_meet_and_talk_over_any_transport() {
    let redis = Redis::start().await;
    let (here, there) = (node(&redis).await, node(&redis).await);
    for kind in KINDS {
        let room = format!("{kind:?}");
        let mut a = Line::enter(&here, Kind::WebSocket, &room).await;
        let mut b = Line::enter(&there, kind, &room).await;
        assert_eq!(b.joined["peers"], json!([{ "id": a.id() }]), "{kind:?}");
        assert_eq!(a.expect("peer-joined").await["peer"]["id"], b.id());
        talk(&mut a, &mut b, 0..40).await;
        let sealed = json!({ "type": "sealed", "to": b.id(), "data": "AAAA" });
        a.send(sealed).await;
        assert_eq!(b.expect("sealed").await["from"], a.id());
        a.send(json!({ "type": "chat", "to": "nobody", "content": "?" }))
            .await;
        assert_eq!(a.expect("error").await["code"], "no-such-peer");
        a.send(json!({ "type": "dance" })).await;
        assert_eq!(a.expect("error").await["code"], "bad-type");
        talk(&mut a, &mut b, 40..60).await;
        a.send_as_it_is(r#"{"type":"leave"}"#).await;
        let left = b.expect("peer-left").await;
        assert_eq!((&left["peer"], &left["reason"]), (&a.id(), &json!("left")));
    }
}

#[tokio::test]
async fn rooms_are_the_same_everywhere() {
    let redis = Redis::start().await;
    let (here, there) = (node(&redis).await, node(&redis).await);
    let made = json!({ "create": true, "capacity": 2 });
    let mut a = Line::join(&here, Kind::WebSocket, made).await.unwrap();
    let room = a.room.clone();
    let join = async |extra: Value| {
        let mut join = json!({ "room": room });
        join.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        Line::join(&there, Kind::WebSocket, join).await
    };
    assert_eq!(
        join(json!({ "create": true })).await.err().unwrap(),
        "room-taken"
    );
    let b = join(json!({ "create": false })).await.unwrap();
    assert_eq!(b.joined["limits"]["peers"], 2);
    a.expect("peer-joined").await;
    assert_eq!(join(json!({})).await.err().unwrap(), "room-full");
    let none = json!({ "room": "nobody-here", "create": false });
    let none = Line::join(&there, Kind::WebSocket, none).await;
    assert_eq!(none.err().unwrap(), "no-such-room");

    // Everything that is kept ends by itself, whatever happens to the nodes.
    for (key, life) in redis.lives().await {
        assert!((1..=3_600_000).contains(&life), "{key} lives {life} ms");
    }
    a.send_as_it_is(r#"{"type":"leave"}"#).await;
    let mut b = b;
    b.expect("peer-left").await;
    b.send_as_it_is(r#"{"type":"leave"}"#).await;
    let gone = async { while redis.lives().await.iter().any(|(key, _)| key.contains('{')) {} };
    tokio::time::timeout(crate::common::DEADLINE, gone)
        .await
        .expect("nothing is left");
}

/// A plain peer that is in its room: nothing of it is read before.
async fn entered(mut page: Client) -> Client {
    page.send(json!({ "type": "ping" })).await;
    page.expect("pong").await;
    page
}

#[tokio::test]
async fn plain_peers_hear_each_other_across_nodes() {
    let redis = Redis::start().await;
    let (here, there) = (node(&redis).await, node(&redis).await);
    let mut page = entered(here.plain("/ws?room=r").await).await;
    let mut line = Line::enter(&there, Kind::WebSocket, "r").await;
    assert_eq!(line.joined["peers"][0]["plain"], true);
    let mut other = entered(there.plain("/ws?room=r").await).await;
    line.expect("peer-joined").await;
    page.send(json!({ "type": "offer", "sdp": "v=0" })).await;
    for offer in [other.expect("offer").await, line.expect("offer").await] {
        assert_eq!(
            (&offer["sdp"], offer.get("seq").is_some()),
            (&json!("v=0"), offer["seq"] == 2)
        );
    }
    other.send(json!({ "type": "answer", "sdp": "v=1" })).await;
    page.expect("answer").await;
    line.expect("answer").await;
    page.close().await;
    assert_eq!(line.heard("peer-left").await["reason"], "left");
}

#[tokio::test]
async fn a_member_goes_on_at_another_node() {
    let redis = Redis::start().await;
    let (here, there) = (node(&redis).await, node(&redis).await);
    for before in KINDS {
        for after in KINDS {
            let room = format!("{before:?}-{after:?}");
            let mut other = Line::enter(&here, Kind::WebSocket, &room).await;
            let mut line = Line::enter(&here, before, &room).await;
            other.expect("peer-joined").await;
            talk(&mut other, &mut line, 0..5).await;
            // Some arrive and are not acknowledged, some are on their way, some come later.
            for number in 5..10 {
                other
                    .send(json!({ "type": "message", "payload": number }))
                    .await;
            }
            assert_eq!(line.heard("message").await["payload"], 5);
            line.cut();
            for number in 10..20 {
                other
                    .send(json!({ "type": "message", "payload": number }))
                    .await;
            }
            line.address = there.address;
            line.kind = after;
            assert_eq!(line.connect().await, Ok(5), "{room}");
            for number in 6..20 {
                assert_eq!(line.heard("message").await["payload"], number, "{room}");
            }
            talk(&mut other, &mut line, 20..25).await;
        }
    }
}

#[tokio::test]
async fn whoever_comes_back_elsewhere_takes_over() {
    let redis = Redis::start().await;
    let (here, there) = (node(&redis).await, node(&redis).await);
    let mut other = Line::enter(&here, Kind::WebSocket, "r").await;
    let mut old = Line::enter(&here, Kind::WebSocket, "r").await;
    other.expect("peer-joined").await;
    let mut new = old.elsewhere(there.address);
    assert_eq!(new.connect().await, Ok(0));
    assert_eq!(old.refusal().await, "taken-over");
    talk(&mut other, &mut new, 0..5).await;
    // And back, while the connection there still stands.
    let mut again = new.elsewhere(here.address);
    assert_eq!(again.connect().await, Ok(5));
    assert_eq!(new.refusal().await, "taken-over");
    talk(&mut other, &mut again, 5..10).await;
    // Neither of them is known under another secret.
    let wrong = format!(
        "AAAAAAAAAAAAAAAAAAAAAAAA.{}.r",
        again.id().as_str().unwrap()
    );
    again.joined["resume"] = json!(wrong);
    again.cut();
    assert_eq!(again.connect().await.err().unwrap(), "resume-failed");
}

#[tokio::test]
async fn figures_tell_of_other_nodes_and_of_redis() {
    let redis = Redis::start().await;
    let (here, there) = (node(&redis).await, node(&redis).await);
    for node in [&here, &there] {
        reaches(node.address, "peerline_cluster_nodes", 2.0).await;
        reaches(node.address, "peerline_redis_up", 1.0).await;
    }
    let mut other = Line::enter(&here, Kind::WebSocket, "r").await;
    let mut line = Line::enter(&here, Kind::WebSocket, "r").await;
    other.expect("peer-joined").await;
    talk(&mut other, &mut line, 0..5).await;
    line.address = there.address;
    line.connect().await.unwrap();
    talk(&mut other, &mut line, 5..10).await;
    let moved =
        |direction| format!("peerline_cluster_takeovers_total{{direction=\"{direction}\"}}");
    reaches(here.address, &moved("out"), 1.0).await;
    reaches(there.address, &moved("in"), 1.0).await;
    for (node, script, calls) in [
        (&here, "join", 2.0),
        (&here, "post", 15.0),
        (&there, "post", 5.0),
    ] {
        let count = format!("peerline_redis_call_seconds_count{{script=\"{script}\"}}");
        // Whoever hears a message may do so before its sender's node is answered.
        reaches(node.address, &count, calls).await;
    }
    assert!(
        figure(here.address, "peerline_redis_failures_total")
            .await
            .abs()
            < 1e-9
    );
    drop(there.stop().await);
    reaches(here.address, "peerline_cluster_nodes", 1.0).await;
}

#[tokio::test]
async fn who_is_away_is_announced_and_lost_across_nodes() {
    let redis = Redis::start().await;
    let limits = |limits: &mut signaling_server::Limits| {
        limits.resume_window = Duration::from_secs(2);
    };
    let (here, there) = (
        node_with(&redis, limits).await,
        node_with(&redis, limits).await,
    );
    let mut witness = Line::enter(&here, Kind::WebSocket, "r").await;
    let mut line = Line::enter(&there, Kind::WebSocket, "r").await;
    witness.expect("peer-joined").await;
    line.cut();
    assert_eq!(witness.expect("peer-away").await["peer"], line.id());
    line.address = here.address;
    line.connect().await.unwrap();
    assert_eq!(witness.expect("peer-back").await["peer"], line.id());
    line.cut();
    witness.expect("peer-away").await;
    assert_eq!(witness.expect("peer-left").await["reason"], "lost");
    assert_eq!(line.connect().await.err().unwrap(), "resume-failed");
}

#[tokio::test]
async fn a_member_that_does_not_read_is_closed_wherever_it_is() {
    let redis = Redis::start().await;
    let (here, there) = (node(&redis).await, node(&redis).await);
    let mut sender = Line::enter(&here, Kind::WebSocket, "r").await;
    let mut slow = Client::connect(there.address, "/ws").await;
    slow.send(json!({ "type": "join", "room": "r", "resumable": true }))
        .await;
    let joined = slow.expect("joined").await;
    sender.expect("peer-joined").await;
    let large = "x".repeat(60_000);
    let mut sent = 0;
    let left = loop {
        // It reads, but acknowledges nothing.
        sender
            .send(json!({ "type": "chat", "to": joined["self"], "content": large }))
            .await;
        sent += 1;
        assert!(sent < 12, "five and a half fit");
        sender.send(json!({ "type": "dance" })).await;
        let answer = sender.next().await;
        if answer["type"] == "peer-left" {
            break answer;
        }
    };
    assert_eq!(
        (&left["peer"], &left["reason"]),
        (&joined["self"], &json!("kicked"))
    );
    let end = slow.end().await;
    assert!(end.close == Some(4008), "{end:?}");
}
