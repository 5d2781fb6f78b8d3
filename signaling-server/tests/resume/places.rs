//! Whose a place is, and for how long it is kept.

use crate::common::{
    Client, DEADLINE, TestServer,
    line::{Carrier, KINDS, Kind, Line, request},
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

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
