//! Streams, whose size nobody knows before they end.

use peerline::transfer::{Code, Digest};

use super::script::*;

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
