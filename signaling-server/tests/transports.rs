//! One table of cases over WebSocket, event stream and polls.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{
    DEADLINE, TestServer, config, exchange,
    line::{KINDS, Kind, Line, request},
    status,
};
use serde_json::{Value, json};
use signaling_server::{Config, Origins};
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

#[tokio::test]
async fn requests_without_a_right() {
    let server = TestServer::start().await;
    let line = Line::enter(&server, Kind::Poll, "r").await;
    let token = line.token();
    let guess = format!("A{}", &token[1..]);
    let guess = if guess == token {
        format!("B{}", &token[1..])
    } else {
        guess
    };
    let chat = r#"{"type":"chat","content":""}"#;
    for (name, method, path, given, body, status, code) in [
        (
            "no token",
            "GET",
            "/api/rooms/r/events",
            None,
            "",
            401,
            "unauthorized",
        ),
        (
            "no token",
            "GET",
            "/api/rooms/r/poll",
            None,
            "",
            401,
            "unauthorized",
        ),
        (
            "24 before join",
            "POST",
            "/api/rooms/r/messages",
            None,
            chat,
            401,
            "not-joined",
        ),
        (
            "no token at all",
            "POST",
            "/api/rooms/r/messages",
            Some("x"),
            chat,
            410,
            "resume-failed",
        ),
        (
            "a guess",
            "POST",
            "/api/rooms/r/messages",
            Some(guess.as_str()),
            chat,
            410,
            "resume-failed",
        ),
        (
            "a guess",
            "GET",
            "/api/rooms/r/events",
            Some(guess.as_str()),
            "",
            410,
            "resume-failed",
        ),
        (
            "51 another room",
            "GET",
            "/api/rooms/q/poll",
            Some(token.as_str()),
            "",
            400,
            "bad-room",
        ),
        (
            "23 no room",
            "POST",
            "/api/rooms/..%2f/messages",
            None,
            r#"{"type":"join"}"#,
            400,
            "bad-room",
        ),
        (
            "23 emoji",
            "POST",
            "/api/rooms/%F0%9F%A6%80/messages",
            None,
            r#"{"type":"join"}"#,
            400,
            "bad-room",
        ),
        (
            "another room in the body",
            "POST",
            "/api/rooms/r/messages",
            None,
            r#"{"type":"join","room":"q"}"#,
            400,
            "bad-message",
        ),
        (
            "ack is no number",
            "GET",
            "/api/rooms/r/poll?ack=x",
            Some(token.as_str()),
            "",
            400,
            "bad-message",
        ),
        (
            "ack twice",
            "GET",
            "/api/rooms/r/poll?ack=0&ack=0",
            Some(token.as_str()),
            "",
            400,
            "bad-message",
        ),
        (
            "too far",
            "GET",
            "/api/rooms/r/poll?ack=7",
            Some(token.as_str()),
            "",
            400,
            "bad-message",
        ),
    ] {
        let (got, answer) = request(server.address, method, path, given, body).await;
        assert_eq!(
            (got, &answer[0]["code"]),
            (status, &json!(code)),
            "{name} {path}"
        );
    }
    server.assert_serves().await;
}

#[tokio::test]
async fn bodies_that_never_end_or_are_too_large() {
    let server =
        TestServer::with(|limits| limits.header_timeout = Duration::from_millis(300)).await;
    let line = Line::enter(&server, Kind::Poll, "r").await;
    let head = |length: usize, authorization: &str| {
        format!(
            "POST /api/rooms/r/messages HTTP/1.1\r\nHost: x\r\n{authorization}\
             Content-Length: {length}\r\n\r\n"
        )
    };
    let member = format!("Authorization: Bearer {}\r\n", line.token());
    let invalid = [head(3, "").as_bytes(), b"{\xff}"].concat();
    for (name, bytes, expected) in [
        ("3 a body that stops", head(100, "").into_bytes(), 408),
        (
            "3 a member's body that stops",
            head(100, &member).into_bytes(),
            408,
        ),
        (
            "13 1 GiB declared",
            format!("{}{}", head(1 << 30, ""), "x".repeat(20_000)).into(),
            413,
        ),
        ("16 invalid UTF-8", invalid, 400),
        (
            "33 no end of chunks",
            format!(
                "{}2\r\n{{}}\r\n",
                head(0, "Transfer-Encoding: chunked\r\n").replace("Content-Length: 0\r\n", "")
            )
            .into_bytes(),
            408,
        ),
        (
            "two lengths",
            head(0, "Content-Length: 5\r\n").into_bytes(),
            400,
        ),
    ] {
        let mut stream = server.raw().await;
        let answer = exchange(&mut stream, &bytes).await;
        assert_eq!(
            status(&answer),
            Some(expected),
            "{name}: {}",
            String::from_utf8_lossy(&answer)
        );
    }
    // The member is not to blame for what its network did.
    assert_eq!(line.post("").await.0, 200);
    let many = r#"{"type":"ping"}"#.to_owned() + "\n";
    assert_eq!(line.post(&many.repeat(65)).await.0, 413);
    server.assert_serves().await;
}

#[tokio::test]
async fn polls_wait_and_a_second_one_takes_over() {
    let server = TestServer::with(|limits| limits.poll_time = Duration::from_millis(200)).await;
    let line = Line::enter(&server, Kind::Poll, "r").await;
    assert_eq!(line.poll().await, (200, vec![]), "nothing came");

    let server = TestServer::start().await;
    let line = Line::enter(&server, Kind::Poll, "r").await;
    let mut other = Line::enter(&server, Kind::WebSocket, "r").await;
    assert_eq!(line.poll().await.1[0]["type"], "peer-joined");
    let mut line = line;
    line.got = 1;
    // Whichever comes first to the server is taken over by the other one, which gets the message.
    let second = async {
        let mut answers = Vec::new();
        let (a, b) = (line.poll(), line.poll());
        tokio::pin!(a, b);
        let first_done = tokio::select! { x = &mut a => (x, true), x = &mut b => (x, false) };
        other.send(json!({ "type": "message", "payload": 1 })).await;
        answers.push(first_done.0);
        answers.push(if first_done.1 { b.await } else { a.await });
        answers
    };
    let answers = tokio::time::timeout(DEADLINE, second).await.unwrap();
    assert_eq!(
        (answers[0].0, &answers[0].1[0]["code"]),
        (409, &json!("taken-over"))
    );
    assert_eq!(answers[1].1[0]["payload"], 1);
}

#[tokio::test]
async fn what_browsers_of_other_origins_are_told() {
    let only = Origins::Only(vec!["https://good.example".to_owned()]);
    for (origins, origin, expected) in [
        (Origins::Any, "https://evil.example", Some("*")),
        (Origins::Any, "null", Some("*")),
        (
            only.clone(),
            "https://good.example",
            Some("https://good.example"),
        ),
        (only.clone(), "https://evil.example", None),
        (only, "null", None),
    ] {
        let server = TestServer::with_config(Config {
            origins,
            ..config()
        })
        .await;
        for (method, path) in [
            ("OPTIONS", "/api/rooms/r/messages"),
            ("OPTIONS", "/api/rooms/r/events"),
            ("OPTIONS", "/api/rooms/r/poll"),
            ("POST", "/api/rooms/r/messages"),
            ("OPTIONS", "/events"),
        ] {
            let mut stream = server.raw().await;
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\nConnection: close\r\n\
                 Content-Length: 0\r\n\r\n"
            );
            let answer = exchange(&mut stream, request.as_bytes()).await;
            let text = String::from_utf8(answer.clone()).unwrap();
            let header = |name: &str| {
                text.lines()
                    .find_map(|line| line.strip_prefix(name))
                    .map(str::trim)
            };
            let context = format!("{origin} {method} {path}: {text}");
            assert_eq!(
                header("access-control-allow-origin:"),
                expected,
                "{context}"
            );
            match (expected, method) {
                (None, _) => assert_eq!(status(&answer), Some(403), "{context}"),
                (Some(_), "OPTIONS") => {
                    assert_eq!(status(&answer), Some(204), "{context}");
                    let headers = header("access-control-allow-headers:").unwrap();
                    assert!(headers.contains("authorization"), "{context}");
                }
                _ => assert_eq!(status(&answer), Some(400), "{context}"),
            }
        }
    }
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
