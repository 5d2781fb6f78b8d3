//! Offers that no receiver takes.

use std::fs;

use peerline::transfer::{Code, Digest};

use super::script::*;
use crate::harness::*;

#[tokio::test]
async fn before_the_accept() {
    let entries = |from: u32, list: &str| {
        Say(format!(
            r#"{{"type":"entries","from":{from},"entries":[{list}]}}"#
        ))
    };
    let a = r#"{"path":"a","kind":"file","size":1}"#;
    let b = r#"{"path":"b","kind":"file","size":1}"#;
    let raw = |change: (&str, &str)| {
        let Say(text) = offer(1, 0, 1) else {
            unreachable!()
        };
        assert!(text.contains(change.0));
        Say(text.replace(change.0, change.1))
    };
    for (name, steps, expected) in [
        ("data first", vec![whole(0, 0, b"a")], Code::Protocol),
        (
            "data after half an offer",
            vec![offer(1, 0, 1), whole(0, 0, b"a")],
            Code::Protocol,
        ),
        ("entries first", vec![entries(0, a)], Code::Protocol),
        ("complete first", vec![complete(digest())], Code::Protocol),
        (
            "two offers",
            vec![offer(1, 0, 1), offer(1, 0, 1)],
            Code::Protocol,
        ),
        (
            "another version",
            vec![raw((r#""version":1"#, r#""version":2"#))],
            Code::Protocol,
        ),
        (
            "100,001 entries",
            vec![offer(100_001, 0, 0)],
            Code::BadManifest,
        ),
        (
            "4 billion entries",
            vec![offer(u32::MAX, 0, 0)],
            Code::BadManifest,
        ),
        ("nothing", vec![offer(0, 0, 0)], Code::BadManifest),
        (
            "beyond 2^53",
            vec![offer(1, 0, (1 << 53) + 1)],
            Code::BadManifest,
        ),
        (
            "2^64",
            vec![raw((r#""bytes":1"#, r#""bytes":18446744073709551616"#))],
            Code::Protocol,
        ),
        (
            "negative",
            vec![raw((r#""files":1"#, r#""files":-1"#))],
            Code::Protocol,
        ),
        (
            "huge exponent",
            vec![raw((r#""bytes":1"#, r#""bytes":1e999"#))],
            Code::Protocol,
        ),
        (
            "block size 0",
            vec![raw(("1048576", "0"))],
            Code::BadManifest,
        ),
        (
            "block size 3",
            vec![raw(("1048576", "3"))],
            Code::BadManifest,
        ),
        (
            "block size 1 GiB",
            vec![raw(("1048576", "1073741824"))],
            Code::BadManifest,
        ),
        (
            "counts differ",
            vec![raw((r#""files":1"#, r#""files":2"#))],
            Code::BadManifest,
        ),
        (
            "kinds differ",
            vec![offer(0, 1, 1), entries(0, a)],
            Code::BadManifest,
        ),
        (
            "bytes differ",
            vec![offer(1, 0, 2), entries(0, a)],
            Code::BadManifest,
        ),
        (
            "too many",
            vec![offer(1, 0, 1), entries(0, &format!("{a},{b}"))],
            Code::BadManifest,
        ),
        (
            "no entries",
            vec![offer(1, 0, 1), entries(0, "")],
            Code::BadManifest,
        ),
        (
            "out of order",
            vec![offer(2, 0, 2), entries(1, b)],
            Code::BadManifest,
        ),
        (
            "again",
            vec![offer(2, 0, 2), entries(0, a), entries(0, b)],
            Code::BadManifest,
        ),
        (
            "one path twice",
            vec![offer(2, 0, 2), entries(0, a), entries(1, a)],
            Code::BadManifest,
        ),
        (
            "without a size",
            vec![offer(1, 0, 1), entries(0, r#"{"path":"a","kind":"file"}"#)],
            Code::BadManifest,
        ),
        (
            "a link",
            vec![
                offer(1, 0, 1),
                entries(0, r#"{"path":"a","kind":"symlink","size":1}"#),
            ],
            Code::Protocol,
        ),
        (
            "2^63 bytes",
            vec![
                offer(1, 0, 1),
                entries(
                    0,
                    r#"{"path":"a","kind":"file","size":9223372036854775808}"#,
                ),
            ],
            Code::BadManifest,
        ),
        (
            "1 PiB on this disk",
            vec![
                offer(1, 0, 1 << 50),
                entries(0, r#"{"path":"a","kind":"file","size":1125899906842624}"#),
            ],
            Code::NoSpace,
        ),
    ] {
        check(name, steps, expected).await;
    }
}

/// Item 92 of the list of bad input, through the whole receiver.
#[tokio::test]
async fn hostile_names() {
    let long = "n".repeat(300);
    let deep = vec!["d"; 1000].join("/");
    let single = [
        "../x",
        "/etc/passwd",
        "a/../../b",
        "..\\x",
        "C:\\x",
        "\\\\host\\share",
        "x\0y",
        "x\ny",
        "\x1b[2J",
        "\u{202e}gpj.exe",
        &long,
        &deep,
        ".",
        "..",
        "",
        " ",
        "a.",
        "CON",
        "com1.txt",
        "file:stream",
        "\u{fffd}",
        ".peerline",
        ".peerline/x",
        ".PEERLINE",
        "victim/x/..",
        "a//b",
    ];
    for name in single {
        let path = serde_json::to_string(name).unwrap();
        let entry = format!(
            r#"{{"type":"entries","from":0,"entries":[{{"path":{path},"kind":"file","size":1}}]}}"#
        );
        check(name, vec![offer(1, 0, 1), Say(entry)], Code::BadManifest).await;
    }
    for (one, other) in [
        ("é", "e\u{301}"),
        ("README", "readme"),
        ("x", "x/y"),
        ("x/y", "x"),
        ("x", "X/y"),
    ] {
        let entry = format!(
            r#"{{"type":"entries","from":0,"entries":[{{"path":"{one}","kind":"file","size":1}},{{"path":"{other}","kind":"file","size":1}}]}}"#
        );
        check(one, vec![offer(2, 0, 2), Say(entry)], Code::BadManifest).await;
    }
    let both = r#"{"type":"entries","from":0,"entries":[{"path":"x","kind":"file","size":1},{"path":"x","kind":"directory"}]}"#;
    check(
        "file and directory",
        vec![offer(1, 1, 1), say(both)],
        Code::BadManifest,
    )
    .await;
}

/// Odd times and modes are no reason to fail, and give nobody rights.
#[cfg(unix)]
#[tokio::test]
async fn strange_times_and_modes() {
    use std::os::unix::fs::PermissionsExt;
    for (mtime, mode) in [
        ("253402300799999", 0o4755u32),
        ("-1", 0o2000),
        ("-9223372036854775808", 0o7777),
        ("9223372036854775807", u32::MAX),
    ] {
        let (_parent, out) = place();
        let entry = format!(
            r#"{{"type":"entries","from":0,"entries":[{{"path":"f","kind":"file","size":3,"mtime":{mtime},"mode":{mode}}}]}}"#
        );
        let file = Digest::of(Digest::of(b"abc").as_bytes());
        let mut all = b"\x01\0\0\0\x01f\0\0\0\0\0\0\0\x03".to_vec();
        all.extend(file.as_bytes());
        let steps = vec![
            offer(1, 0, 3),
            Say(entry),
            AwaitAccept,
            whole(0, 0, b"abc"),
            complete(Digest::of(&all)),
        ];
        let (near, far) = channels();
        let both = async { tokio::join!(play(near, steps), run_receiver(far, options(&out))) };
        let (_, receiver) = deadline(both).await;
        receiver.result.unwrap();
        let received = fs::metadata(out.join("f")).unwrap().permissions().mode() & 0o7777;
        assert_eq!(received & !(mode & 0o777), 0, "{mtime}: {received:o}");
    }
}
