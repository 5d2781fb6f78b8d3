//! Single requests: who may make them, from which pages, and what is wrong with some.

use crate::common::{
    DEADLINE, TestServer, config, exchange,
    line::{Kind, Line, request},
    status,
};
use serde_json::json;
use signaling_server::{Config, Origins};
use std::time::Duration;

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
