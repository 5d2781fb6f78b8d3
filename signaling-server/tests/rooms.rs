//! Joining, leaving and relaying.
#![allow(clippy::unwrap_used)]

mod common;

use common::TestServer;
use serde_json::{Value, json};

#[tokio::test]
async fn those_who_join_learn_of_each_other() {
    let server = TestServer::start().await;
    let mut host = server.client().await;
    host.send(
        json!({ "type": "join", "room": "7", "create": true, "capacity": 2, "name": "Ada",
        "resumable": true }),
    )
    .await;
    let hosts = host.expect("joined").await;
    assert_eq!(hosts["room"], "7");
    assert_eq!(hosts["peers"], json!([]));
    assert_eq!(hosts["iceServers"], json!([]));
    assert_eq!(
        hosts["limits"],
        json!({ "messageBytes": 65536, "messagesPerSecond": 50, "peers": 2 })
    );
    let token = hosts["resume"].as_str().unwrap();
    assert!(
        token.len() >= 24 && token.ends_with(".7"),
        "144 bits and where to use them"
    );

    let mut guest = server.client().await;
    guest
        .send(json!({ "type": "join", "room": "7", "create": false }))
        .await;
    let guests = guest.expect("joined").await;
    assert_eq!(
        guests["peers"],
        json!([{ "id": hosts["self"], "name": "Ada" }])
    );
    assert_eq!(
        host.expect("peer-joined").await["peer"],
        json!({ "id": guests["self"] })
    );

    guest.send(json!({ "type": "leave" })).await;
    assert_eq!(guest.end().await.close, Some(1000));
    let left = host.expect("peer-left").await;
    assert_eq!(
        (&left["peer"], &left["reason"]),
        (&guests["self"], &json!("left"))
    );
}

#[tokio::test]
async fn refused_joins() {
    let server = TestServer::start().await;
    let mut pair = Vec::new();
    for _ in 0..2 {
        let mut client = server.client().await;
        client
            .send(json!({ "type": "join", "room": "pair", "capacity": 2 }))
            .await;
        client.expect("joined").await;
        pair.push(client);
    }
    let rows = [
        (json!({ "room": "pair" }), "room-full", 4403),
        (
            json!({ "room": "pair", "create": true }),
            "room-taken",
            4409,
        ),
        (
            json!({ "room": "nobody", "create": false }),
            "no-such-room",
            4404,
        ),
        (json!({}), "bad-message", 4400),
        (json!({ "create": false }), "bad-message", 4400),
        (json!({ "room": "new", "capacity": 1 }), "bad-message", 4400),
        (
            json!({ "room": "new", "capacity": 17 }),
            "bad-message",
            4400,
        ),
        (json!({ "room": "../" }), "bad-room", 4400),
    ];
    for (mut join, code, close) in rows {
        join["type"] = json!("join");
        let mut client = server.client().await;
        client.send(join).await;
        client.refused(code, close).await;
    }
}

#[tokio::test]
async fn seventeen_peers_do_not_fit() {
    let server = TestServer::start().await;
    let mut members = Vec::new();
    for index in 0..16 {
        let (client, joined) = server.joined("crowd").await;
        assert_eq!(joined["peers"].as_array().unwrap().len(), index);
        members.push(client);
    }
    let mut client = server.client().await;
    client
        .send(json!({ "type": "join", "room": "crowd" }))
        .await;
    client.refused("room-full", 4403).await;
}

#[tokio::test]
async fn the_server_picks_a_short_free_number() {
    let server = TestServer::start().await;
    let mut clients = Vec::new();
    let mut rooms = std::collections::HashSet::new();
    for index in 0..12 {
        let mut client = server.client().await;
        client
            .send(json!({ "type": "join", "create": true, "capacity": 2 }))
            .await;
        let room = client.expect("joined").await["room"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(room.len(), if index < 9 { 4 } else { 5 }, "{room}");
        room.parse::<u32>().unwrap();
        assert!(rooms.insert(room));
        clients.push(client);
    }
}

#[tokio::test]
async fn relays_everything_in_order_with_the_true_sender() {
    let server = TestServer::start().await;
    let (mut a, a_joined) = server.joined("r").await;
    let (mut b, b_joined) = server.joined("r").await;
    let (mut c, _) = server.joined("r").await;
    a.expect("peer-joined").await;
    a.expect("peer-joined").await;
    b.expect("peer-joined").await;

    let (a_id, b_id) = (&a_joined["self"], &b_joined["self"]);
    let candidate = json!({ "candidate": "candidate:1", "sdpMid": "0", "sdpMLineIndex": 0 });
    let sent = [
        json!({ "type": "offer", "to": b_id, "sdp": "v=0\r\n" }),
        json!({ "type": "answer", "to": b_id, "sdp": "v=0\r\n" }),
        json!({ "type": "ice-candidate", "to": b_id, "candidate": candidate }),
        json!({ "type": "ice-candidate", "to": b_id, "candidate": null }),
        json!({ "type": "sealed", "to": b_id, "data": "AQ" }),
        json!({ "type": "chat", "to": b_id, "content": "hi", "from": "somebody" }),
        json!({ "type": "message", "payload": { "from": "anybody" }, "from": b_id }),
    ];
    for message in &sent {
        a.send(message.clone()).await;
    }
    for message in &sent {
        let mut expected = message.clone();
        expected.as_object_mut().unwrap().remove("to");
        expected["from"] = a_id.clone();
        assert_eq!(b.next().await, expected);
    }
    // The others saw only what was for everyone.
    assert_eq!(c.expect("message").await["from"], *a_id);

    for number in 0..150 {
        a.send(json!({ "type": "message", "payload": number }))
            .await;
    }
    for number in 0..150 {
        assert_eq!(b.expect("message").await["payload"], number);
        assert_eq!(c.expect("message").await["payload"], number);
    }
}

#[tokio::test]
async fn nobody_reaches_another_room() {
    let server = TestServer::start().await;
    let (mut inside, _) = server.joined("one").await;
    let (mut victim, victims) = server.joined("two").await;
    let (mut friend, _) = server.joined("two").await;
    victim.expect("peer-joined").await;

    inside
        .send(json!({ "type": "chat", "to": victims["self"], "content": "psst" }))
        .await;
    let error = inside.expect("error").await;
    assert_eq!(
        (&error["code"], &error["retry"]),
        (&json!("no-such-peer"), &json!(false))
    );
    inside
        .send(json!({ "type": "chat", "content": "to all" }))
        .await;
    inside.send(json!({ "type": "ping" })).await;
    inside.expect("pong").await;

    friend
        .send(json!({ "type": "chat", "content": "hello" }))
        .await;
    assert_eq!(victim.expect("chat").await["content"], "hello");
}

#[tokio::test]
async fn a_lost_connection_leaves_the_room() {
    let server = TestServer::start().await;
    let (mut witness, _) = server.joined("r").await;
    for orderly in [false, true] {
        let (client, joined) = server.joined("r").await;
        witness.expect("peer-joined").await;
        let reason = if orderly {
            client.close().await;
            "left"
        } else {
            client.cut();
            "lost"
        };
        let left = witness.expect("peer-left").await;
        assert_eq!(
            (&left["peer"], &left["reason"]),
            (&joined["self"], &json!(reason))
        );
    }
    // Nobody else is left.
    let (_, joined) = server.joined("r").await;
    assert_eq!(joined["peers"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn errors_that_keep_the_connection() {
    let server = TestServer::start().await;
    let (mut client, _) = server.joined("r").await;
    for message in [
        json!({ "type": "dance" }),
        json!({ "no": "type" }),
        json!({ "type": 1 }),
    ] {
        client.send(message).await;
        assert_eq!(client.expect("error").await["code"], "bad-type");
    }
    client.send(json!({ "type": "ping" })).await;
    client.expect("pong").await;
}

#[tokio::test]
async fn what_must_come_first_and_only_once() {
    let server = TestServer::start().await;
    for message in [
        json!({ "type": "ping" }),
        json!({ "type": "chat", "content": "" }),
    ] {
        let mut client = server.client().await;
        client.send(message).await;
        client.refused("not-joined", 4400).await;
    }
    let (mut client, _) = server.joined("r").await;
    client.send(json!({ "type": "join", "room": "r" })).await;
    client.refused("already-joined", 4400).await;
}

#[tokio::test]
async fn an_unknown_resume_token_is_a_new_join() {
    let server = TestServer::start().await;
    let (_first, joined) = server.joined("r").await;
    assert_eq!(joined["resume"], Value::Null, "it did not ask to come back");
    let strange = "AAAAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAA.r";
    for token in ["", "x", strange] {
        let mut client = server.client().await;
        client
            .send(json!({ "type": "join", "room": "r", "resume": token }))
            .await;
        let again: Value = client.expect("joined").await;
        assert_ne!(again["self"], joined["self"]);
        // Without a room there is nothing else to do.
        let mut client = server.client().await;
        client
            .send(json!({ "type": "join", "resume": token }))
            .await;
        client.refused("resume-failed", 4410).await;
    }
}
