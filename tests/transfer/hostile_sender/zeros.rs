//! Blocks of zeros that are told of instead of sent.

use peerline::transfer::{Code, Digest};

use super::script::*;

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
