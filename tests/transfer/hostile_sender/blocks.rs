//! Blocks that are damaged, or break the rules.

use peerline::transfer::{Code, Digest, Event};

use super::script::*;

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
