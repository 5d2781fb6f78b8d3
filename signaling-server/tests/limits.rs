//! Every bound of the server, reached.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Client, DEADLINE, End, TestServer, config};
use serde_json::json;
use signaling_server::AddressLimits;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;

const SHORT: Duration = Duration::from_millis(500);

#[tokio::test]
async fn no_join_in_time() {
    let server = TestServer::with(|limits| limits.hello_timeout = SHORT).await;
    let mut silent = server.client().await;
    let mut chatty = server.client().await;
    chatty.send(json!({ "type": "dance" })).await;
    silent.refused("hello-timeout", 4408).await;
    let end = End {
        errors: vec!["bad-type".into(), "hello-timeout".into()],
        close: Some(4408),
    };
    assert_eq!(chatty.end().await, end);
}

#[tokio::test]
async fn pings_keep_a_peer_and_silence_loses_it() {
    let server = TestServer::with(|limits| {
        limits.ping_interval = Duration::from_millis(50);
        limits.idle_timeout = Duration::from_secs(1);
    })
    .await;
    let (mut alive, _) = server.joined("r").await;
    let (silent, joined) = server.joined("r").await;
    alive.expect("peer-joined").await;
    // Reading answers pings; the other one is not read from.
    let left = alive.expect("peer-left").await;
    assert_eq!(
        (&left["peer"], &left["reason"]),
        (&joined["self"], &json!("lost"))
    );
    let mut silent = silent;
    silent.refused("idle-timeout", 4408).await;
    alive.send(json!({ "type": "ping" })).await;
    alive.expect("pong").await;
}

#[tokio::test]
async fn messages_that_are_too_large() {
    let server = TestServer::start().await;
    let chat = |bytes: usize| {
        let frame = json!({ "type": "chat", "content": "" }).to_string().len();
        json!({ "type": "chat", "content": "x".repeat(bytes - frame) })
    };
    let mut early = server.client().await;
    early
        .send(json!({ "type": "join", "room": "r", "x": "x".repeat(16 * 1024) }))
        .await;
    early.refused("too-large", 4413).await;

    let (mut receiver, _) = server.joined("r").await;
    let (mut sender, _) = server.joined("r").await;
    receiver.expect("peer-joined").await;
    sender.send(chat(64 * 1024)).await;
    assert!(
        receiver.expect("chat").await["content"]
            .as_str()
            .unwrap()
            .len()
            > 65_000
    );
    sender.send(chat(64 * 1024 + 1)).await;
    sender.refused("too-large", 4413).await;
    assert_eq!(receiver.expect("peer-left").await["reason"], "kicked");

    // Numbers that take more room when they are written again, which a line break is a reason for.
    let (mut sender, _) = server.joined("r").await;
    receiver.expect("peer-joined").await;
    let numbers = vec!["1e15"; 12_000].join(",");
    let text = format!(r#"{{"type":"message","payload":[{numbers}]}}"#);
    sender.send_frame(Message::text(text.clone())).await;
    assert_eq!(
        receiver.expect("message").await["payload"]
            .as_array()
            .unwrap()
            .len(),
        12_000
    );
    let text = text.replace('[', "[\n");
    sender.send_frame(Message::text(text)).await;
    sender.refused("too-large", 4413).await;
}

#[tokio::test]
async fn too_many_messages() {
    let server = TestServer::with(|limits| limits.message_burst = 20).await;
    let (mut messages, _) = server.joined("r").await;
    let (mut pings, _) = server.joined("r").await;
    messages.expect("peer-joined").await;
    for _ in 0..100 {
        messages
            .send(json!({ "type": "chat", "content": "x" }))
            .await;
        pings.send_frame(Message::Ping("x".into())).await;
    }
    messages.refused("rate-limited", 4429).await;
    pings.refused("rate-limited", 4429).await;
}

#[tokio::test]
async fn a_peer_that_does_not_read() {
    let server = TestServer::with(|limits| {
        limits.messages_per_second = 1_000_000;
        limits.message_burst = 1_000_000;
    })
    .await;
    let (mut sender, _) = server.joined("r").await;
    let (mut other, _) = server.joined("r").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut deaf = Client::over(socket.connect(server.address).await.unwrap(), "/ws").await;
    deaf.send(json!({ "type": "join", "room": "r" })).await;
    let id = deaf.expect("joined").await["self"].clone();

    // The sender reads too, or it would be the slow one; what it waits for ends the loop.
    let content = "x".repeat(1000);
    let mut sent = 0;
    let reason = loop {
        for _ in 0..100 {
            sender
                .send(json!({ "type": "message", "to": id, "payload": content }))
                .await;
            sent += 1;
        }
        assert!(sent < 20_000, "never noticed");
        sender.send(json!({ "type": "ping" })).await;
        let left = loop {
            let message = sender.next().await;
            match message["type"].as_str().unwrap() {
                "pong" => break None,
                "peer-left" => break Some(message),
                _ => {}
            }
        };
        if let Some(left) = left {
            assert_eq!(left["peer"], id);
            break left["reason"].clone();
        }
    };
    assert_eq!(reason, "kicked");
    assert!(
        sent >= 256,
        "the queue holds 256 KiB, and {sent} KiB were too much"
    );

    // Somebody who reads at the end is told, and the room goes on.
    let end = deaf.end().await;
    assert!(end.close == Some(4008) || end.close.is_none(), "{end:?}");
    sender
        .send(json!({ "type": "chat", "content": "still here" }))
        .await;
    loop {
        if other.next().await["type"] == "chat" {
            break;
        }
    }
}

#[tokio::test]
async fn connections_of_one_address_and_altogether() {
    for (total, code, close) in [(10, "rate-limited", 4429), (2, "server-full", 4503)] {
        let server = TestServer::with(|limits| {
            limits.connections = total;
            limits.loopback.connections = 2;
        })
        .await;
        let (mut first, _) = server.joined("r").await;
        let (second, _) = server.joined("r").await;
        first.expect("peer-joined").await;
        server.client().await.refused(code, close).await;
        let mut raw = server.raw().await;
        let answer = common::exchange(&mut raw, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert_eq!(
            common::status(&answer),
            Some(if total == 2 { 503 } else { 429 })
        );

        second.close().await;
        first.expect("peer-left").await;
        // The place is free as soon as the server has seen the end of the connection.
        let again = async {
            loop {
                let mut client = server.client().await;
                client.send(json!({ "type": "join", "room": "r" })).await;
                if client.next().await["type"] == "joined" {
                    break;
                }
            }
        };
        tokio::time::timeout(DEADLINE, again).await.unwrap();
    }
}

#[tokio::test]
async fn joins_and_rooms_of_one_address() {
    let loopback = AddressLimits {
        connections: 100,
        joins_per_minute: 5,
        rooms: 2,
    };
    let server = TestServer::with(|limits| limits.loopback = loopback).await;
    let (_a, _) = server.joined("a").await;
    let (_b, _) = server.joined("b").await;
    let mut third = server.client().await;
    third.send(json!({ "type": "join", "room": "c" })).await;
    third.refused("rate-limited", 4429).await;
    let (_c, _) = server.joined("a").await;
    server.plain("/ws?room=a").await;
    let mut sixth = server.client().await;
    sixth.send(json!({ "type": "join", "room": "a" })).await;
    sixth.refused("rate-limited", 4429).await;
}

#[tokio::test]
async fn origins() {
    use signaling_server::{Config, Origins};
    let good = "https://good.example";
    let only = Origins::Only(vec![good.to_owned()]);
    let evil = "https://evil.example";
    let rows: [(Origins, &[&str], u16); 9] = [
        (Origins::Any, &[], 101),
        (Origins::Any, &[evil], 101),
        (Origins::Any, &["null"], 101),
        (Origins::Any, &[good, evil], 403),
        (only.clone(), &[], 101),
        (only.clone(), &[good], 101),
        (only.clone(), &[evil], 403),
        (only.clone(), &["null"], 403),
        (only, &[good, good], 403),
    ];
    for (origins, given, status) in rows {
        let context = format!("{origins:?} {given:?}");
        let server = TestServer::with_config(Config {
            origins,
            ..config()
        })
        .await;
        let mut stream: TcpStream = server.raw().await;
        let lines: String = given
            .iter()
            .map(|origin| format!("Origin: {origin}\r\n"))
            .collect();
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{lines}\r\n"
        );
        // Followed by a close frame, so that a WebSocket ends too.
        let mut bytes = request.into_bytes();
        bytes.extend([0x88, 0x80, 0, 0, 0, 0]);
        let answer = common::exchange(&mut stream, &bytes).await;
        assert_eq!(common::status(&answer), Some(status), "{context}");
    }
}
