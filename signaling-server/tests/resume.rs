//! Coming back: nothing lost, nothing twice, whatever was cut and wherever.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{
    Client, DEADLINE, TestServer,
    line::{Carrier, KINDS, Kind, Line, request},
};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

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

/// 29: a token that is used twice, one after the other and at the same time.
#[tokio::test]
async fn a_second_connection_takes_over() {
    for first in KINDS {
        for second in [Kind::WebSocket, Kind::Events] {
            let server = TestServer::start().await;
            let mut old = Line::enter(&server, first, "r").await;
            let mut new = Line {
                kind: second,
                carrier: Carrier::None,
                room: old.room.clone(),
                joined: old.joined.clone(),
                ..old
            };
            if first == Kind::Poll {
                let (polled, connected) = tokio::join!(old.poll(), async {
                    // The poll has to be there first, and nothing tells when it is.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    new.connect().await
                });
                assert_eq!(connected, Ok(0));
                assert_eq!(
                    (polled.0, &polled.1[0]["code"]),
                    (409, &json!("taken-over"))
                );
            } else {
                assert_eq!(new.connect().await, Ok(0));
                assert_eq!(old.refusal().await, "taken-over");
            }
            let mut other = Line::enter(&server, Kind::WebSocket, "r").await;
            assert_eq!(other.joined["peers"][0]["id"], new.id(), "still there");
            new.expect("peer-joined").await;
            new.send(json!({ "type": "chat", "content": "me" })).await;
            other.expect("chat").await;
        }
    }
    // At the same time: every one gets in, the last one stays, and there is one member.
    let server = TestServer::start().await;
    let line = Line::enter(&server, Kind::WebSocket, "r").await;
    let token = line.token();
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = Client::connect(server.address, "/ws").await;
        client
            .send(json!({ "type": "join", "resume": token, "ack": 0 }))
            .await;
        clients.push(client);
    }
    let mut stayed = 0;
    for client in &mut clients {
        client.send_text(r#"{"type":"ping"}"#).await;
        loop {
            match client.frame().await {
                Some(tokio_tungstenite::tungstenite::Message::Text(text)) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    match message["type"].as_str().unwrap() {
                        "pong" => {
                            stayed += 1;
                            break;
                        }
                        "error" => assert_eq!(message["code"], "taken-over"),
                        _ => {}
                    }
                }
                Some(tokio_tungstenite::tungstenite::Message::Close(frame)) => {
                    assert_eq!(u16::from(frame.unwrap().code), 4411);
                    break;
                }
                _ => break,
            }
        }
    }
    assert!(stayed >= 1, "the last one stays");
    let (_, joined) = server.joined("r").await;
    assert_eq!(joined["peers"].as_array().unwrap().len(), 1);
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

#[tokio::test]
async fn a_member_that_does_not_come_back_is_lost() {
    for kind in KINDS {
        let server = TestServer::with(|limits| {
            limits.resume_window = Duration::from_millis(400);
            limits.request_pause = Duration::from_millis(100);
        })
        .await;
        let mut witness = Line::enter(&server, Kind::WebSocket, "r").await;
        let mut line = Line::enter(&server, kind, "r").await;
        witness.expect("peer-joined").await;
        line.cut();
        assert_eq!(witness.expect("peer-away").await["peer"], line.id());
        let left = witness.expect("peer-left").await;
        assert_eq!(
            (&left["peer"], &left["reason"]),
            (&line.id(), &json!("lost"))
        );
        assert_eq!(line.connect().await.err().as_deref(), Some("resume-failed"));
    }
}

#[tokio::test]
async fn polls_with_pauses_are_not_away() {
    let server = TestServer::start().await;
    let mut witness = Line::enter(&server, Kind::WebSocket, "r").await;
    let mut line = Line::enter(&server, Kind::Poll, "r").await;
    for number in 0..20 {
        witness
            .send(json!({ "type": "message", "payload": number }))
            .await;
        assert_eq!(line.expect("message").await["payload"], number);
        line.send(json!({ "type": "message", "payload": number }))
            .await;
    }
    witness.expect("peer-joined").await;
    for number in 0..20 {
        assert_eq!(witness.expect("message").await["payload"], number);
    }
}

#[tokio::test]
async fn a_lost_place_is_for_others_after_a_while() {
    let server = TestServer::with(|limits| limits.place_hold = Duration::from_millis(300)).await;
    let pair = json!({ "room": "pair", "capacity": 2 });
    let mut stays = Line::join(&server, Kind::WebSocket, pair.clone())
        .await
        .unwrap();
    let mut goes = Line::join(&server, Kind::WebSocket, pair.clone())
        .await
        .unwrap();
    stays.expect("peer-joined").await;
    goes.cut();
    stays.expect("peer-away").await;
    let comes = async {
        loop {
            match Line::join(&server, Kind::WebSocket, pair.clone()).await {
                Ok(line) => break line,
                Err(code) => assert_eq!(code, "room-full"),
            }
        }
    };
    let comes = timeout(DEADLINE, comes).await.unwrap();
    assert_eq!(stays.expect("peer-left").await["peer"], goes.id());
    assert_eq!(stays.expect("peer-joined").await["peer"]["id"], comes.id());
    assert_eq!(goes.connect().await.err().as_deref(), Some("resume-failed"));
}

#[tokio::test]
async fn places_of_one_address_are_bounded() {
    let server = TestServer::with(|limits| limits.loopback.connections = 5).await;
    for _ in 0..5 {
        let mut line = Line::enter(&server, Kind::WebSocket, "r").await;
        line.cut();
    }
    let join = json!({ "type": "join", "room": "r" }).to_string();
    let again = async {
        loop {
            let path = "/api/rooms/r/messages";
            let (status, answer) = request(server.address, "POST", path, None, &join).await;
            // Until the server has seen the cuts, there is no connection either.
            if answer[0]["message"].as_str().unwrap().contains("members") {
                break (status, answer);
            }
        }
    };
    let (status, answer) = timeout(DEADLINE, again).await.unwrap();
    assert_eq!((status, &answer[0]["code"]), (429, &json!("rate-limited")));
    // Those who do not ask to come back are not counted by that.
    let (_, joined) = server.joined("r").await;
    assert_eq!(joined["peers"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn guesses_of_tokens_are_counted() {
    let server = TestServer::with(|limits| limits.loopback.joins_per_minute = 5).await;
    let mut codes = Vec::new();
    for _ in 0..8 {
        let guess = "AAAAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAA.r";
        let path = "/api/rooms/r/poll";
        let (_, answer) = request(server.address, "GET", path, Some(guess), "").await;
        codes.push(answer[0]["code"].as_str().unwrap().to_owned());
    }
    assert_eq!(codes[4], "resume-failed");
    assert_eq!(codes[7], "rate-limited");
}

/// A proxy that passes on a given number of bytes in one direction and then resets both sides.
async fn proxy(server: SocketAddr, up: usize, down: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        drop(listener);
        let mut far = TcpStream::connect(server).await.unwrap();
        for stream in [&near, &far] {
            let socket = socket2::SockRef::from(stream);
            socket.set_linger(Some(Duration::ZERO)).unwrap();
        }
        let ((mut near_out, mut near_in), (mut far_out, mut far_in)) = (near.split(), far.split());
        tokio::select! {
            () = pass(&mut near_out, &mut far_in, up) => {}
            () = pass(&mut far_out, &mut near_in, down) => {}
        }
    });
    address
}

async fn pass(
    from: &mut (impl tokio::io::AsyncRead + Unpin),
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    mut left: usize,
) {
    let mut buffer = [0; 4096];
    while left > 0 {
        let most = left.min(buffer.len());
        match from.read(&mut buffer[..most]).await {
            Ok(0) | Err(_) => return,
            Ok(count) => {
                left -= count;
                if to.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// What a member does in the handshakes below: it resumes, says three things and hears three.
async fn attempt(line: &mut Line, address: SocketAddr, heard: &mut Vec<u64>, total: u64) -> bool {
    let Ok(stream) = TcpStream::connect(address).await else {
        return false;
    };
    let Some(mut client) = Client::try_over(stream, "/ws").await else {
        return false;
    };
    let join = json!({ "type": "join", "resume": line.token(), "ack": line.got });
    if !client.try_send(join).await {
        return false;
    }
    let mut received = None;
    while heard.len() < 3 || received.is_none_or(|received| received < total) {
        let Some(message) = client.try_next().await else {
            return false;
        };
        match message["type"].as_str().unwrap() {
            "resumed" => {
                let known = message["received"].as_u64().unwrap();
                for seq in known + 1..=total {
                    let text = json!({ "type": "message", "payload": seq, "seq": seq });
                    if !client.try_send(text).await {
                        return false;
                    }
                }
                // Answered behind everything that was sent before it.
                if !client.try_send(json!({ "type": "ping" })).await {
                    return false;
                }
            }
            "pong" => received = Some(total),
            "message" => {
                assert_eq!(message["seq"], line.got + 1, "in order and once");
                line.got += 1;
                heard.push(message["payload"].as_u64().unwrap());
            }
            "ack" | "peer-away" | "peer-back" => {}
            _ => panic!("{message}"),
        }
    }
    true
}

/// Cuts the connection behind every byte of a resumed handshake, first of what goes up, then of what
/// comes down, each time against the same two members.
#[tokio::test]
async fn a_connection_cut_behind_any_byte_loses_and_repeats_nothing() {
    let server = TestServer::with(|limits| {
        limits.message_burst = 1_000_000;
        limits.messages_per_second = 1_000_000;
    })
    .await;
    let mut other = Line::enter(&server, Kind::WebSocket, "r").await;
    let mut line = Line::enter(&server, Kind::WebSocket, "r").await;
    other.expect("peer-joined").await;
    line.cut();
    other.expect("peer-away").await;
    let mut total = 0;
    let mut payload = 0;
    let lengths: Vec<usize> = (1..160).chain((160..700).step_by(7)).collect();
    let cuts = lengths
        .iter()
        .map(|&up| (up, usize::MAX))
        .chain(lengths.iter().map(|&down| (usize::MAX, down)));
    let mut cut_short = 0;
    for (up, down) in cuts {
        let wanted: Vec<u64> = (payload..payload + 3).collect();
        for number in &wanted {
            let to = line.id();
            other
                .send(json!({ "type": "message", "to": to, "payload": number }))
                .await;
        }
        payload += 3;
        total += 3;
        let mut heard = Vec::new();
        let through = proxy(server.address, up, down).await;
        if !attempt(&mut line, through, &mut heard, total).await {
            cut_short += 1;
            assert!(attempt(&mut line, server.address, &mut heard, total).await);
        }
        assert_eq!(heard, wanted, "{up} {down}");
        let mut passed_on = Vec::new();
        while passed_on.len() < 3 {
            let message = other.next().await;
            match message["type"].as_str().unwrap() {
                "message" => passed_on.push(message["payload"].as_u64().unwrap()),
                "peer-away" | "peer-back" => {}
                kind => panic!("{kind}"),
            }
            let ack = json!({ "type": "ack", "seq": other.got });
            other.send_as_it_is(&ack.to_string()).await;
        }
        assert_eq!(passed_on, (total - 2..=total).collect::<Vec<_>>());
    }
    assert!(cut_short > 200, "{cut_short} handshakes were cut");
}
