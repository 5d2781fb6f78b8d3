//! A WebSocket's bytes, written and read by hand.

use crate::common::exchange;
use std::net::SocketAddr;
use tokio::net::TcpStream;

pub(crate) const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

/// A client's frame; the mask is zero, so that the payload stays readable.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
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

pub(crate) fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload.as_bytes())
}

pub(crate) fn joined(room: &str, rest: &[u8]) -> Vec<u8> {
    let mut frames = text(&format!(r#"{{"type":"join","room":"{room}"}}"#));
    frames.extend(rest);
    frames
}

/// What a server's frames say: the error codes and the close code.
pub(crate) fn answers(mut bytes: &[u8]) -> (Vec<String>, Option<u16>) {
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
pub(crate) async fn conversation(
    address: SocketAddr,
    headers: &str,
    frames: &[u8],
) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
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
