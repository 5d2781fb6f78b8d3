//! Senders that break the protocol, against our receiver. Whatever they do, it ends with the right
//! code, and the disk is as it was.

use std::fs;

use peerline::channel::Message;
use peerline::transfer::{Channels, Code, Digest, Event, TransferError};

use crate::harness::*;

/// One thing a sender does.
#[derive(Clone)]
enum Step {
    Say(String),
    SayBinary,
    Lane(Vec<u8>),
    LaneText,
    AwaitAccept,
    AwaitResend,
    CloseLane,
}
use Step::*;

fn say(text: &str) -> Step {
    Say(text.to_owned())
}

fn offer(files: u32, directories: u32, bytes: u64) -> Step {
    let entries = files + directories;
    Say(format!(
        r#"{{"type":"offer","version":1,"title":"t","files":{files},"directories":{directories},"bytes":{bytes},"entries":{entries},"blockSize":1048576}}"#
    ))
}

/// `d/` and `d/f` of three bytes.
fn manifest() -> Vec<Step> {
    let entries = r#"{"type":"entries","from":0,"entries":[{"path":"d","kind":"directory"},{"path":"d/f","kind":"file","size":3}]}"#;
    vec![offer(1, 1, 3), say(entries)]
}

fn accepted() -> Vec<Step> {
    [manifest(), vec![AwaitAccept]].concat()
}

fn record(file: u32, block: u32, offset: u32, data: &[u8], digest: Option<Digest>) -> Vec<u8> {
    let flag = u32::from(digest.is_some()) << 31;
    let words = [file, block, offset, flag | data.len() as u32];
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    bytes.extend_from_slice(data);
    bytes.extend(digest.iter().flat_map(|digest| digest.as_bytes()));
    bytes
}

fn whole(file: u32, block: u32, data: &[u8]) -> Step {
    Lane(record(file, block, 0, data, Some(Digest::of(data))))
}

/// The right digest of the manifest above with `abc` in `d/f`.
fn digest() -> Digest {
    let file = Digest::of(Digest::of(b"abc").as_bytes());
    let mut all = b"\x02\0\0\0\x01d\x01\0\0\0\x03d/f\0\0\0\0\0\0\0\x03".to_vec();
    all.extend(file.as_bytes());
    Digest::of(&all)
}

fn complete(digest: Digest) -> Step {
    Say(format!(r#"{{"type":"complete","digest":"{digest}"}}"#))
}

/// Plays the steps; returns what the receiver said until it ended.
async fn play(mut channels: Channels, steps: Vec<Step>) -> Vec<String> {
    let mut heard = Vec::new();
    for step in steps {
        // A receiver that has ended refuses; what it said is read below.
        let _ = match step {
            Say(text) => channels.control.send_text(text).await,
            SayBinary => channels.control.send(vec![0; 3].into()).await,
            Lane(bytes) => channels.lane.send(bytes.into()).await,
            LaneText => channels.lane.send_text("hello".to_owned()).await,
            AwaitAccept => {
                await_message(&mut channels, "accept", &mut heard).await;
                Ok(())
            }
            AwaitResend => {
                await_message(&mut channels, "resend", &mut heard).await;
                Ok(())
            }
            CloseLane => {
                let (lane, _) = peerline::channel::Channel::pair("closed");
                drop(std::mem::replace(&mut channels.lane, lane));
                Ok(())
            }
        };
    }
    while let Some(Message::Text(text)) = channels.control.recv().await {
        heard.push(text);
    }
    heard
}

async fn await_message(channels: &mut Channels, kind: &str, heard: &mut Vec<String>) {
    while let Some(Message::Text(text)) = channels.control.recv().await {
        let found = text.contains(&format!(r#""type":"{kind}""#));
        heard.push(text);
        if found {
            return;
        }
    }
}

struct Outcome {
    receiver: Side,
    heard: Vec<String>,
}

/// Runs a script against a receiver that accepts everything, with overwriting on: the most
/// dangerous setting.
async fn run(steps: Vec<Step>) -> Outcome {
    let (parent, out) = place();
    fs::write(out.join("victim"), "mine").unwrap();
    let before = snapshot(parent.path());
    let (near, far) = channels();
    let both = async { tokio::join!(play(near, steps), run_receiver(far, overwrite(&out))) };
    let (heard, receiver) = deadline(both).await;
    if receiver.result.is_err() {
        // What had its digest is kept, and nothing else: the only file has three bytes.
        assert_eq!(in_place(parent.path()), before);
        let kept = kept(&out);
        assert!(kept.iter().all(|(_, bytes)| *bytes == 3), "{kept:?}");
        assert_eq!(out.join(".peerline").exists(), !kept.is_empty());
    }
    Outcome { receiver, heard }
}

async fn check(name: &str, steps: Vec<Step>, expected: Code) {
    let Outcome { receiver, heard } = run(steps).await;
    let error = receiver.result.expect_err(name);
    assert_eq!(error.code(), expected, "{name}: {error}");
    let told = heard
        .iter()
        .any(|text| text.contains(&format!(r#""code":"{expected}""#)));
    let knows = matches!(error, TransferError::Peer { .. } | TransferError::Closed);
    assert!(told != knows, "{name}: {heard:?}");
}

#[tokio::test]
async fn the_script_is_right_when_nothing_is_wrong() {
    let good = [accepted(), vec![whole(1, 0, b"abc"), complete(digest())]].concat();
    let outcome = run(good).await;
    assert_eq!(outcome.receiver.result.unwrap().digest, digest());
    let receipt = outcome.heard.last().unwrap();
    assert!(receipt.contains(r#""type":"receipt""#) && receipt.contains(&digest().to_string()));
}

#[tokio::test]
async fn lanes_may_be_slower_than_control() {
    let late = [accepted(), vec![complete(digest()), whole(1, 0, b"abc")]].concat();
    assert!(run(late).await.receiver.result.is_ok());
    // Also with unknown messages, and with unknown fields.
    let future = say(r#"{"type":"from-the-future","x":{"y":[1,2]}}"#);
    let mut mixed: Vec<Step> = vec![future.clone()];
    for step in [accepted(), vec![whole(1, 0, b"abc"), complete(digest())]].concat() {
        mixed.extend([step, future.clone()]);
    }
    assert!(run(mixed).await.receiver.result.is_ok());
}

#[tokio::test]
async fn a_damaged_block_that_gets_better() {
    let bad = Lane(record(1, 0, 0, b"abx", Some(Digest::of(b"abc"))));
    let steps = vec![
        bad.clone(),
        AwaitResend,
        bad,
        AwaitResend,
        whole(1, 0, b"abc"),
        complete(digest()),
    ];
    let outcome = run([accepted(), steps].concat()).await;
    assert!(outcome.receiver.result.is_ok());
    let resent = outcome.receiver.events.iter();
    assert_eq!(
        resent
            .filter(|event| matches!(event, Event::Resent { block: 0, .. }))
            .count(),
        2
    );
}

#[tokio::test]
async fn blocks_that_break_the_rules() {
    let abc = Some(Digest::of(b"abc"));
    let bad = Lane(record(1, 0, 0, b"abx", abc));
    let four = [
        bad.clone(),
        AwaitResend,
        bad.clone(),
        AwaitResend,
        bad.clone(),
        AwaitResend,
        bad,
    ];
    for (name, steps, expected) in [
        (
            "data for a directory",
            vec![whole(0, 0, b"abc")],
            Code::Protocol,
        ),
        ("no such entry", vec![whole(2, 0, b"abc")], Code::Protocol),
        ("no such block", vec![whole(1, 1, b"abc")], Code::Protocol),
        (
            "offset beyond the block",
            vec![Lane(record(1, 0, 9, b"a", None))],
            Code::Protocol,
        ),
        ("too long", vec![whole(1, 0, b"abcd")], Code::Protocol),
        ("too short", vec![whole(1, 0, b"ab")], Code::Protocol),
        (
            "without data",
            vec![Lane(record(1, 0, 0, b"", None))],
            Code::Protocol,
        ),
        (
            "a gap",
            vec![
                Lane(record(1, 0, 0, b"a", None)),
                Lane(record(1, 0, 2, b"c", abc)),
            ],
            Code::Protocol,
        ),
        (
            "an overlap",
            vec![
                Lane(record(1, 0, 0, b"ab", None)),
                Lane(record(1, 0, 1, b"bc", abc)),
            ],
            Code::Protocol,
        ),
        (
            "twice",
            vec![whole(1, 0, b"abc"), whole(1, 0, b"abc")],
            Code::Protocol,
        ),
        (
            "cut short",
            vec![Lane(record(1, 0, 0, b"abc", abc)[..30].to_vec())],
            Code::Protocol,
        ),
        ("an empty message", vec![Lane(vec![])], Code::Protocol),
        ("text on the lane", vec![LaneText], Code::Protocol),
        ("damaged for ever", four.to_vec(), Code::BadBlock),
        (
            "wrong whole",
            vec![whole(1, 0, b"abd"), complete(digest())],
            Code::BadBlock,
        ),
        (
            "complete twice",
            vec![complete(digest()), complete(digest())],
            Code::Protocol,
        ),
        ("a second offer", manifest(), Code::Protocol),
        (
            "an accept",
            vec![say(r#"{"type":"accept"}"#)],
            Code::Protocol,
        ),
        (
            "a receipt",
            vec![Say(format!(
                r#"{{"type":"receipt","digest":"{}","bytes":3,"files":1}}"#,
                digest()
            ))],
            Code::Protocol,
        ),
        ("not JSON", vec![say("hello")], Code::Protocol),
        ("binary control", vec![SayBinary], Code::Protocol),
        (
            "a digest that is none",
            vec![say(r#"{"type":"complete","digest":"xyz"}"#)],
            Code::Protocol,
        ),
        (
            "cancelled",
            vec![say(r#"{"type":"cancel","code":"cancelled","message":""}"#)],
            Code::Cancelled,
        ),
        (
            "cancelled with a new code",
            vec![say(
                r#"{"type":"cancel","code":"new","message":"\u001b[2J"}"#,
            )],
            Code::Protocol,
        ),
    ] {
        check(name, [accepted(), steps].concat(), expected).await;
    }
    let empty = r#"{"type":"entries","from":0,"entries":[{"path":"e","kind":"file","size":0}]}"#;
    let steps = vec![offer(1, 0, 0), say(empty), AwaitAccept, whole(0, 0, b"a")];
    check("size 0 with data", steps, Code::Protocol).await;
}

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

/// The script above, cut after every step: by closing, by a cancel, and by closing the lane alone.
#[tokio::test]
async fn it_may_end_anywhere() {
    let good = [accepted(), vec![whole(1, 0, b"abc")]].concat();
    for length in 0..=good.len() {
        let steps = &good[..length];
        let (parent, out) = place();
        let before = snapshot(parent.path());
        let (near, far) = channels();
        let close = async {
            let mut near = near;
            for step in steps {
                match step {
                    Say(text) => near.control.send_text(text.clone()).await.unwrap(),
                    Lane(bytes) => near.lane.send(bytes.clone().into()).await.unwrap(),
                    _ => drop(near.control.recv().await),
                }
            }
        };
        let both = async { tokio::join!(close, run_receiver(far, options(&out))) };
        let ((), receiver) = deadline(both).await;
        assert_eq!(
            receiver.result.unwrap_err().code(),
            Code::Closed,
            "after {length}"
        );
        assert_eq!(in_place(parent.path()), before, "after {length}");

        let cancel = say(r#"{"type":"cancel","code":"cancelled","message":"enough"}"#);
        check("cancel", [steps, &[cancel]].concat(), Code::Cancelled).await;
    }
}

#[tokio::test]
async fn a_lane_that_ends_alone() {
    tokio::join!(
        check("lane", [accepted(), vec![CloseLane]].concat(), Code::Closed),
        check("lane before the offer", vec![CloseLane], Code::Closed)
    );
    // The reason comes after the end of the lane.
    let cancel = say(r#"{"type":"cancel","code":"source-changed","message":""}"#);
    check(
        "late reason",
        [accepted(), vec![CloseLane, cancel]].concat(),
        Code::SourceChanged,
    )
    .await;
}

#[tokio::test]
async fn a_label_that_is_not_ours() {
    use peerline::channel::Channel;
    let (_near, control) = Channel::pair("files/../../etc");
    let (_lane, lane) = Channel::pair("lane/../../etc/0");
    let (_parent, out) = place();
    let side = deadline(run_receiver(Channels { control, lane }, options(&out))).await;
    assert_eq!(side.result.unwrap_err().code(), Code::Protocol);
}

fn stream_offer() -> Step {
    say(
        r#"{"type":"offer","version":1,"title":"t","files":1,"directories":0,"bytes":0,"entries":1,"blockSize":65536,"stream":true}"#,
    )
}

fn stream() -> Vec<Step> {
    let entry = r#"{"type":"entries","from":0,"entries":[{"path":"s","kind":"file"}]}"#;
    vec![stream_offer(), say(entry), AwaitAccept]
}

/// A whole block of a stream, in two records.
fn full(block: u32) -> Vec<Step> {
    let data = vec![block as u8; 1 << 16];
    let (begin, end) = data.split_at(1 << 15);
    vec![
        Lane(record(0, block, 0, begin, None)),
        Lane(record(0, block, 1 << 15, end, Some(Digest::of(&data)))),
    ]
}

fn stream_digest(blocks: &[Digest], size: u64) -> Digest {
    let joined: Vec<u8> = blocks.iter().flat_map(|block| *block.as_bytes()).collect();
    let mut all = b"\x01\0\0\0\x01s".to_vec();
    all.extend(size.to_be_bytes());
    all.extend(Digest::of(&joined).as_bytes());
    Digest::of(&all)
}

fn ends(digest: Digest, size: u64) -> Step {
    Say(format!(
        r#"{{"type":"complete","digest":"{digest}","size":{size}}}"#
    ))
}

#[tokio::test]
async fn streams_that_end_as_they_should() {
    let long = Digest::of(&[0; 1 << 16]);
    let short = Digest::of(b"abc");
    let both = ends(stream_digest(&[long, short], 65_539), 65_539);
    for (name, steps) in [
        ("nothing", vec![ends(stream_digest(&[], 0), 0)]),
        (
            "one full block",
            [full(0), vec![ends(stream_digest(&[long], 65_536), 65_536)]].concat(),
        ),
        (
            "the end first",
            [vec![both.clone()], full(0), vec![whole(0, 1, b"abc")]].concat(),
        ),
        (
            "the last block first",
            [vec![whole(0, 1, b"abc")], full(0), vec![both]].concat(),
        ),
    ] {
        let outcome = run([stream(), steps].concat()).await;
        assert!(
            outcome.receiver.result.is_ok(),
            "{name}: {:?}",
            outcome.heard
        );
    }
}

#[tokio::test]
async fn streams_that_do_not() {
    let (long, short) = (Digest::of(&[0; 1 << 16]), Digest::of(b"abc"));
    let right = stream_digest(&[long, short], 65_539);
    let good = || [full(0), vec![whole(0, 1, b"abc")]].concat();
    for (name, steps, expected) in [
        (
            "no size",
            [good(), vec![complete(right)]].concat(),
            Code::Protocol,
        ),
        (
            "one byte less",
            [good(), vec![ends(right, 65_538)]].concat(),
            Code::Protocol,
        ),
        (
            "no end",
            [full(0), vec![ends(right, 1 << 30), full(1)[0].clone()]].concat(),
            Code::Closed,
        ),
        (
            "beyond all",
            [good(), vec![ends(right, u64::MAX)]].concat(),
            Code::BadManifest,
        ),
        (
            "full where it must be short",
            [full(0), full(1), vec![ends(right, 65_539)]].concat(),
            Code::Protocol,
        ),
        (
            "a block beyond the end",
            [full(0), vec![whole(0, 2, b"x"), ends(right, 65_539)]].concat(),
            Code::Protocol,
        ),
        (
            "two ends",
            [good(), vec![whole(0, 2, b"abc")]].concat(),
            Code::Protocol,
        ),
        (
            "another digest",
            [good(), vec![ends(long, 65_539)]].concat(),
            Code::BadBlock,
        ),
        (
            "too long a block",
            vec![
                Lane(record(0, 0, 0, &[0; 60_000], None)),
                Lane(record(0, 0, 60_000, &[0; 6_000], Some(long))),
            ],
            Code::Protocol,
        ),
        (
            "the last number",
            vec![whole(0, u32::MAX, b"x")],
            Code::Protocol,
        ),
        (
            "zeros",
            vec![say(
                r#"{"type":"zeros","blocks":[{"file":0,"from":0,"count":1}]}"#,
            )],
            Code::Protocol,
        ),
    ] {
        let mut steps = [stream(), steps].concat();
        if expected == Code::Closed {
            let outcome = run({
                steps.push(CloseLane);
                steps
            });
            assert_eq!(outcome.await.receiver.result.unwrap_err().code(), expected);
            continue;
        }
        check(name, steps, expected).await;
    }
    // Which rule it breaks depends on what is read first, the end or the blocks.
    for size in [0, 65_536] {
        let steps = [stream(), good(), vec![ends(right, size)]].concat();
        let error = run(steps).await.receiver.result.unwrap_err();
        assert!(matches!(error.code(), Code::Protocol | Code::BadBlock));
    }
    let entry = |size: &str| {
        Say(format!(
            r#"{{"type":"entries","from":0,"entries":[{{"path":"s","kind":"file"{size}}}]}}"#
        ))
    };
    for (name, steps) in [
        ("a size", vec![stream_offer(), entry(r#","size":0"#)]),
        (
            "a directory",
            vec![
                stream_offer(),
                say(r#"{"type":"entries","from":0,"entries":[{"path":"s","kind":"directory"}]}"#),
            ],
        ),
        ("no stream", vec![offer(1, 0, 0), entry("")]),
    ] {
        check(name, steps, Code::BadManifest).await;
    }
}

#[tokio::test]
async fn zeros_that_are_true_and_zeros_that_are_not() {
    let zeros = |blocks: &str| Say(format!(r#"{{"type":"zeros","blocks":{blocks}}}"#));
    let one = || zeros(r#"[{"file":1,"from":0,"count":1}]"#);
    let file = Digest::of(Digest::of(&[0; 3]).as_bytes());
    let mut all = b"\x02\0\0\0\x01d\x01\0\0\0\x03d/f\0\0\0\0\0\0\0\x03".to_vec();
    all.extend(file.as_bytes());
    let right = complete(Digest::of(&all));
    let outcome = run([accepted(), vec![one(), right.clone()]].concat()).await;
    assert!(outcome.receiver.result.is_ok(), "{:?}", outcome.heard);

    for (name, steps, expected) in [
        (
            "of a directory",
            vec![zeros(r#"[{"file":0,"from":0,"count":1}]"#)],
            Code::Protocol,
        ),
        (
            "of nothing",
            vec![zeros(r#"[{"file":2,"from":0,"count":1}]"#)],
            Code::Protocol,
        ),
        (
            "none",
            vec![zeros(r#"[{"file":1,"from":0,"count":0}]"#)],
            Code::Protocol,
        ),
        (
            "too many",
            vec![zeros(r#"[{"file":1,"from":0,"count":2}]"#)],
            Code::Protocol,
        ),
        (
            "far away",
            vec![zeros(
                r#"[{"file":1,"from":4294967295,"count":4294967295}]"#,
            )],
            Code::Protocol,
        ),
        ("twice", vec![one(), one()], Code::Protocol),
        (
            "inside a block",
            vec![
                Lane(record(1, 0, 0, b"abx", Some(Digest::of(b"abc")))),
                AwaitResend,
                Lane(record(1, 0, 0, b"ab", None)),
                // What is on the lane is read before this is said.
                Lane(record(1, 0, 2, b"x", Some(Digest::of(b"abc")))),
                AwaitResend,
                one(),
                one(),
            ],
            Code::Protocol,
        ),
        (
            "another digest",
            vec![one(), complete(digest())],
            Code::BadBlock,
        ),
    ] {
        check(name, [accepted(), steps].concat(), expected).await;
    }
    let early = [manifest(), vec![one()]].concat();
    check("early", early, Code::Protocol).await;
}
