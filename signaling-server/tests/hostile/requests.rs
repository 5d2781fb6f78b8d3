//! Requests that no browser makes.

use crate::{
    common::{DEADLINE, TestServer, exchange, status},
    wire::UPGRADE,
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

/// Name (with the number in the list of bad input in docs/testing.md), bytes, and the status of the answer.
pub(crate) type Row = (&'static str, Vec<u8>, Option<u16>);

pub(crate) fn rows() -> Vec<Row> {
    let upgrade = |change: fn(&str) -> String| format!("{}\r\n", change(UPGRADE));
    let huge_line = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100_000));
    let many_headers = format!(
        "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n",
        "X-Filler: y\r\n".repeat(10_000)
    );
    vec![
        ("1 request line of 100 KB", huge_line.into(), Some(431)),
        ("2 10,000 headers", many_headers.into(), Some(431)),
        (
            "3 a header that never ends",
            b"GET / HTTP/1.1\r\nHost: x\r\n".to_vec(),
            None,
        ),
        (
            "4 upgrade without key",
            upgrade(|text| text.replace("Sec-WebSocket-Key", "X-Key")).into(),
            Some(426),
        ),
        (
            "5 version 12",
            upgrade(|text| text.replace("Version: 13", "Version: 12")).into(),
            Some(426),
        ),
        (
            "upgrade to something else",
            upgrade(|text| text.replace("websocket", "h2c")).into(),
            Some(426),
        ),
        (
            "upgrade over HTTP/1.0",
            upgrade(|text| text.replace("HTTP/1.1", "HTTP/1.0")).into(),
            Some(426),
        ),
        (
            "/ws without upgrade",
            b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            Some(426),
        ),
        (
            "POST to /ws",
            b"POST /ws HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                .to_vec(),
            Some(405),
        ),
        (
            "33 TLS to a plain port",
            vec![0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0, 0x0d, 0x0a],
            Some(400),
        ),
        ("zeros", vec![0; 10_000], Some(400)),
        ("nothing at all", Vec::new(), None),
        (
            "a path out of the page",
            b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
            Some(404),
        ),
    ]
}

#[tokio::test]
async fn bad_requests() {
    let server = TestServer::with(|limits| limits.header_timeout = Duration::from_secs(1)).await;
    for (name, bytes, expected) in rows() {
        let mut stream = server.raw().await;
        let answer = exchange(&mut stream, &bytes).await;
        let text = String::from_utf8_lossy(&answer);
        assert_eq!(status(&answer), expected, "{name}: {text}");
    }
    server.assert_serves().await;
}

#[tokio::test]
async fn a_trickled_header_is_cut_off() {
    let server = TestServer::with(|limits| limits.header_timeout = Duration::from_secs(1)).await;
    let mut stream = server.raw().await;
    let trickle = async {
        let mut answer = Vec::new();
        loop {
            let mut byte = [0];
            tokio::select! {
                read = stream.read(&mut byte) => match read {
                    Ok(0) | Err(_) => return answer,
                    Ok(_) => answer.push(byte[0]),
                },
                // The attack itself: a byte now and then.
                () = tokio::time::sleep(Duration::from_millis(20)) => {
                    if stream.write_all(b"X").await.is_err() {
                        return answer;
                    }
                }
            }
        }
    };
    timeout(DEADLINE, trickle)
        .await
        .expect("the server hangs up");
    server.assert_serves().await;
}
