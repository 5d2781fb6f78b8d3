//! Input that no client of good will sends, over raw sockets. After each the server still serves.
#![allow(clippy::unwrap_used)]

mod common;

use common::{DEADLINE, TestServer, exchange, status};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

/// A client's frame; the mask is zero, so that the payload stays readable.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload.as_bytes())
}

fn joined(rest: &[u8]) -> Vec<u8> {
    let mut frames = text(r#"{"type":"join","room":"r"}"#);
    frames.extend(rest);
    frames
}

/// Name, frames, expected error codes and close code.
type Row<'a> = (&'a str, Vec<u8>, &'a [&'a str], Option<u16>);

fn owned(codes: &[&str]) -> Vec<String> {
    codes.iter().map(|&code| code.to_owned()).collect()
}

/// What a server's frames say: the error codes and the close code.
fn answers(mut bytes: &[u8]) -> (Vec<String>, Option<u16>) {
    let (mut errors, mut close) = (Vec::new(), None);
    while let [first, length, rest @ ..] = bytes {
        let (length, rest) = match length {
            126 => (
                usize::from(u16::from_be_bytes([rest[0], rest[1]])),
                &rest[2..],
            ),
            length => (usize::from(*length), rest),
        };
        let (payload, after) = rest.split_at(length);
        match first & 0x0f {
            1 => {
                let message: serde_json::Value = serde_json::from_slice(payload).unwrap();
                if message["type"] == "error" {
                    errors.push(message["code"].as_str().unwrap().to_owned());
                }
            }
            8 if payload.len() >= 2 => close = Some(u16::from_be_bytes([payload[0], payload[1]])),
            _ => {}
        }
        bytes = after;
    }
    (errors, close)
}

/// What comes back after the upgrade when a client sends these bytes and reads to the end.
async fn conversation(server: &TestServer, headers: &str, frames: &[u8]) -> (String, Vec<u8>) {
    let mut stream = server.raw().await;
    let mut bytes = format!("{UPGRADE}{headers}\r\n").into_bytes();
    bytes.extend(frames);
    let answer = exchange(&mut stream, &bytes).await;
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap()
        + 4;
    (
        String::from_utf8(answer[..end].to_vec()).unwrap(),
        answer[end..].to_vec(),
    )
}

#[tokio::test]
async fn bad_requests() {
    let server = TestServer::with(|limits| limits.header_timeout = Duration::from_secs(1)).await;
    let upgrade = |change: fn(&str) -> String| format!("{}\r\n", change(UPGRADE));
    let huge_line = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100_000));
    let many_headers = format!(
        "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n",
        "X-Filler: y\r\n".repeat(10_000)
    );
    let rows: [(&str, Vec<u8>, Option<u16>); 13] = [
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
    ];
    for (name, bytes, expected) in rows {
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

#[tokio::test]
async fn bad_frames() {
    let server = TestServer::with(|limits| limits.hello_timeout = Duration::from_secs(1)).await;
    let endless = {
        let mut frames = frame(0x01, &[b'x'; 16 * 1024]);
        for _ in 0..64 {
            frames.extend(frame(0x00, &[b'x'; 16 * 1024]));
        }
        frames
    };
    let unmasked = [0x81, 2, b'{', b'}'];
    let gigabyte = [
        &[0x81, 0xff][..],
        &(1_u64 << 30).to_be_bytes(),
        &[0; 4],
        &[b'x'; 1000],
    ]
    .concat();
    let deep = format!(r#"{{"type":"message","payload":{}"#, "[".repeat(15_000));
    let surrogate = r#"{"type":"chat","content":"\ud800"}"#;
    let room = |name: &str| format!(r#"{{"type":"join","room":"{name}"}}"#);
    let rows: Vec<Row<'_>> = vec![
        ("9 unmasked frame", unmasked.to_vec(), &[], Some(1002)),
        ("10 reserved opcode", frame(0x83, b"{}"), &[], Some(1002)),
        ("11 reserved bits", frame(0xc1, b"{}"), &[], Some(1002)),
        ("12 1 MiB of fragments", endless, &["too-large"], Some(4413)),
        ("13 1 GiB declared", gigabyte, &["too-large"], Some(4413)),
        (
            "14 ping of 126 bytes",
            frame(0x89, &[0; 126]),
            &[],
            Some(1002),
        ),
        (
            "15 close with 1005",
            frame(0x88, &1005_u16.to_be_bytes()),
            &[],
            Some(1002),
        ),
        (
            "15 close with 9999",
            frame(0x88, &9999_u16.to_be_bytes()),
            &[],
            Some(1002),
        ),
        ("close of one byte", frame(0x88, &[3]), &[], Some(1002)),
        (
            "16 invalid UTF-8",
            frame(0x81, b"{\"type\":\"\xff\"}"),
            &[],
            Some(1007),
        ),
        (
            "17 lone surrogate",
            joined(&text(surrogate)),
            &["bad-json"],
            Some(4400),
        ),
        (
            "18 depth 15,000",
            joined(&text(&deep)),
            &["bad-json"],
            Some(4400),
        ),
        (
            "19 1e999",
            joined(&text(r#"{"type":"message","payload":1e999}"#)),
            &["bad-json"],
            Some(4400),
        ),
        (
            "20 duplicate keys",
            text(r#"{"type":"join","room":"a","room":"b"}"#),
            &["bad-message"],
            Some(4400),
        ),
        (
            "20 duplicate type",
            text(r#"{"type":"join","type":"leave"}"#),
            &["bad-json"],
            Some(4400),
        ),
        (
            "21 unknown type",
            text(r#"{"type":"dance"}"#),
            &["bad-type", "hello-timeout"],
            Some(4408),
        ),
        (
            "22 missing room",
            text(r#"{"type":"join"}"#),
            &["bad-message"],
            Some(4400),
        ),
        (
            "23 room of 1 MB",
            text(&room(&"a".repeat(1_000_000))),
            &["too-large"],
            Some(4413),
        ),
        (
            "23 room of 10 KB",
            text(&room(&"a".repeat(10_000))),
            &["bad-room"],
            Some(4400),
        ),
        ("23 empty room", text(&room("")), &["bad-room"], Some(4400)),
        ("23 ../", text(&room("../")), &["bad-room"], Some(4400)),
        ("23 NUL", text(&room("a\\u0000")), &["bad-room"], Some(4400)),
        ("23 emoji", text(&room("🦀")), &["bad-room"], Some(4400)),
        (
            "23 right-to-left",
            text(&room("a\u{202e}b")),
            &["bad-room"],
            Some(4400),
        ),
        (
            "24 before hello",
            text(r#"{"type":"chat","content":"x"}"#),
            &["not-joined"],
            Some(4400),
        ),
        (
            "25 second hello",
            joined(&text(r#"{"type":"join","room":"r"}"#)),
            &["already-joined"],
            Some(4400),
        ),
        ("binary", frame(0x82, b"{}"), &["bad-json"], Some(4400)),
        (
            "a frame that stops half-way",
            vec![0x81, 0x8a, 0, 0, 0, 0, b'{'],
            &["hello-timeout"],
            Some(4408),
        ),
    ];
    for (name, frames, errors, close) in rows {
        let (_, answer) = conversation(&server, "", &frames).await;
        let (got_errors, got_close) = answers(&answer);
        assert_eq!((got_errors, got_close), (owned(errors), close), "{name}");
    }
    server.assert_serves().await;
}

#[tokio::test]
async fn numbers_at_the_edge_are_relayed_as_numbers() {
    let server = TestServer::start().await;
    let (mut receiver, _) = server.joined("r").await;
    let payload = "[-0,18446744073709551616,18446744073709551615]";
    let mut frames = joined(&text(&format!(
        r#"{{"type":"message","payload":{payload}}}"#
    )));
    frames.extend(text(r#"{"type":"leave"}"#));
    conversation(&server, "", &frames).await;
    receiver.expect("peer-joined").await;
    let got = receiver.expect("message").await["payload"].clone();
    assert_eq!(got[0].as_f64(), Some(0.0));
    assert_eq!(got[1].as_f64(), Some(18_446_744_073_709_551_616.0));
    assert_eq!(got[2].as_u64(), Some(u64::MAX));
}

#[tokio::test]
async fn compression_is_offered_in_vain() {
    let server = TestServer::start().await;
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    // A compressed frame all the same.
    let (head, answer) = conversation(&server, offer, &frame(0xc1, &[0; 100])).await;
    assert!(
        !head.to_lowercase().contains("sec-websocket-extensions"),
        "{head}"
    );
    assert_eq!(answers(&answer), (Vec::new(), Some(1002)));
}

#[tokio::test]
async fn many_sockets_without_hello_are_closed() {
    let server = TestServer::with(|limits| limits.hello_timeout = Duration::from_millis(300)).await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(server.client().await);
    }
    for mut client in idle {
        client.refused("hello-timeout", 4408).await;
    }
    server.assert_serves().await;
}

#[tokio::test]
async fn a_half_open_connection_is_lost_after_the_idle_time() {
    let server = TestServer::with(|limits| limits.idle_timeout = Duration::from_millis(200)).await;
    let mut stream: TcpStream = server.raw().await;
    let mut bytes = format!("{UPGRADE}\r\n").into_bytes();
    bytes.extend(joined(&[]));
    stream.write_all(&bytes).await.unwrap();
    // Says nothing more and does not close, as if its last packets were dropped.
    let mut answer = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut answer))
        .await
        .expect("an end")
        .unwrap();
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap()
        + 4;
    assert_eq!(
        answers(&answer[end..]),
        (vec!["idle-timeout".to_owned()], Some(4408))
    );
}
