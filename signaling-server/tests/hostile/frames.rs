//! Frames and messages that no client of good will sends.

use crate::{
    common::TestServer,
    wire::{answers, conversation, frame, joined, text},
};
use std::time::Duration;

/// Name (with the number in the list of bad input in docs/testing.md), frames, expected error codes and close
/// code.
pub(crate) type Row = (&'static str, Vec<u8>, &'static [&'static str], Option<u16>);

/// Those that join do so in this room.
pub(crate) fn rows(room: &str) -> Vec<Row> {
    let joined = |rest: &[u8]| joined(room, rest);
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
    let deep_member =
        |depth: usize| format!(r#"{{"type":"message","payload":{}"#, "[".repeat(depth));
    let surrogate = r#"{"type":"chat","content":"\ud800"}"#;
    let join = |name: &str| format!(r#"{{"type":"join","room":"{name}"}}"#);
    vec![
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
            text(&join(&"a".repeat(1_000_000))),
            &["too-large"],
            Some(4413),
        ),
        (
            "23 room of 10 KB",
            text(&join(&"a".repeat(10_000))),
            &["bad-room"],
            Some(4400),
        ),
        ("23 empty room", text(&join("")), &["bad-room"], Some(4400)),
        ("23 ../", text(&join("../")), &["bad-room"], Some(4400)),
        ("23 NUL", text(&join("a\\u0000")), &["bad-room"], Some(4400)),
        ("23 emoji", text(&join("🦀")), &["bad-room"], Some(4400)),
        (
            "23 right-to-left",
            text(&join("a\u{202e}b")),
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
        (
            "14 10,000 pings",
            joined(&frame(0x89, b"x").repeat(10_000)),
            &["rate-limited"],
            Some(4429),
        ),
        (
            "18 depth 60,000 of a member",
            joined(&text(&deep_member(60_000))),
            &["bad-json"],
            Some(4400),
        ),
        (
            "18 depth 100,000 of a member",
            joined(&text(&deep_member(100_000))),
            &["too-large"],
            Some(4413),
        ),
        ("binary", frame(0x82, b"{}"), &["bad-json"], Some(4400)),
        (
            "a frame that stops half-way",
            vec![0x81, 0x8a, 0, 0, 0, 0, b'{'],
            &["hello-timeout"],
            Some(4408),
        ),
    ]
}

pub(crate) fn owned(codes: &[&str]) -> Vec<String> {
    codes.iter().map(|&code| code.to_owned()).collect()
}

#[tokio::test]
async fn bad_frames() {
    let server = TestServer::with(|limits| limits.hello_timeout = Duration::from_secs(1)).await;
    for (name, frames, errors, close) in rows("r") {
        let (_, answer) = conversation(server.address, "", &frames).await;
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
    let mut frames = joined(
        "r",
        &text(&format!(r#"{{"type":"message","payload":{payload}}}"#)),
    );
    frames.extend(text(r#"{"type":"leave"}"#));
    conversation(server.address, "", &frames).await;
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
    let (head, answer) = conversation(server.address, offer, &frame(0xc1, &[0; 100])).await;
    assert!(
        !head.to_lowercase().contains("sec-websocket-extensions"),
        "{head}"
    );
    assert_eq!(answers(&answer), (Vec::new(), Some(1002)));
}
