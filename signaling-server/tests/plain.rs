//! Peers that never heard of this protocol: pages written from a tutorial.
#![allow(clippy::unwrap_used)]

mod common;

use common::TestServer;
use serde_json::{Value, json};

#[tokio::test]
async fn a_tutorial_page_meets_another_one_and_an_ordinary_member() {
    let server = TestServer::start().await;
    let (mut member, members) = server.joined("lobby").await;
    let mut first = server.plain("/").await;
    let first_id = member.expect("peer-joined").await["peer"].clone();
    assert_eq!(first_id["plain"], true);
    let mut second = server.plain("/ws?room=lobby").await;
    member.expect("peer-joined").await;

    first
        .send(json!({ "type": "offer", "sdp": "v=0\r\n" }))
        .await;
    for receiver in [&mut member, &mut second] {
        let offer = receiver.expect("offer").await;
        assert_eq!(
            (&offer["sdp"], &offer["from"]),
            (&json!("v=0\r\n"), &first_id["id"])
        );
    }
    // As a browser serialises it.
    let candidate = json!({
        "candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host", "sdpMid": "0",
        "sdpMLineIndex": 0, "usernameFragment": null,
    });
    second
        .send(json!({ "type": "ice-candidate", "candidate": candidate }))
        .await;
    assert_eq!(
        first.expect("ice-candidate").await["candidate"]["sdpMid"],
        "0"
    );
    member.expect("ice-candidate").await;

    member
        .send(json!({ "type": "answer", "to": first_id["id"], "sdp": "v=0\r\n" }))
        .await;
    member
        .send(json!({ "type": "chat", "content": "hello" }))
        .await;
    assert_eq!(first.expect("answer").await["from"], members["self"]);
    assert_eq!(first.expect("chat").await["content"], "hello");
    assert_eq!(second.expect("chat").await["content"], "hello");

    // Comings and goings are not told to plain peers, pairing is not for them, errors are.
    let (third, _) = server.joined("lobby").await;
    member.expect("peer-joined").await;
    third.close().await;
    member.expect("peer-left").await;
    member
        .send(json!({ "type": "sealed", "to": first_id["id"], "data": "AQ" }))
        .await;
    assert_eq!(member.expect("error").await["code"], "no-such-peer");
    first
        .send(json!({ "type": "register", "user": "me" }))
        .await;
    assert_eq!(first.expect("error").await["code"], "bad-type");

    first.close().await;
    assert_eq!(member.expect("peer-left").await["peer"], first_id["id"]);
}

#[tokio::test]
async fn a_first_join_makes_an_ordinary_member() {
    for path in ["/", "/ws?room=lobby"] {
        let server = TestServer::start().await;
        let mut witness = server.joined("lobby").await.0;
        let mut client = server.plain(path).await;
        assert_eq!(witness.expect("peer-joined").await["peer"]["plain"], true);
        client
            .send(json!({ "type": "join", "room": "other", "name": "Bob" }))
            .await;
        let joined = client.expect("joined").await;
        assert_eq!(
            (&joined["room"], &joined["peers"]),
            (&json!("other"), &json!([]))
        );
        assert_eq!(witness.expect("peer-left").await["reason"], "left");

        let (_, others) = server.joined("other").await;
        assert_eq!(
            others["peers"],
            json!([{ "id": joined["self"], "name": "Bob" }])
        );
    }
}

#[tokio::test]
async fn a_later_join_does_not() {
    let server = TestServer::start().await;
    let mut client = server.plain("/").await;
    client
        .send(json!({ "type": "chat", "content": "hi" }))
        .await;
    client
        .send(json!({ "type": "join", "room": "other" }))
        .await;
    client.refused("already-joined", 4400).await;
}

#[tokio::test]
async fn a_plain_peer_is_not_asked_for_a_hello() {
    let server = TestServer::with(|limits| {
        limits.hello_timeout = std::time::Duration::from_millis(50);
    })
    .await;
    let mut plain = server.plain("/").await;
    // The one that waits in vain connected later, so its time is up later.
    server.client().await.refused("hello-timeout", 4408).await;
    let mut other = server.plain("/").await;
    other
        .send(json!({ "type": "message", "payload": Value::Null }))
        .await;
    assert_eq!(plain.expect("message").await["payload"], Value::Null);
}

#[tokio::test]
async fn a_room_that_is_no_room() {
    let server = TestServer::start().await;
    for path in [
        "/ws?room=",
        "/ws?room=..%2f",
        "/?room=%F0%9F%A6%80",
        "/ws?room=a%00",
    ] {
        server.plain(path).await.refused("bad-room", 4400).await;
    }
    server
        .plain("/ws?room=a&room=b")
        .await
        .refused("bad-message", 4400)
        .await;
}
