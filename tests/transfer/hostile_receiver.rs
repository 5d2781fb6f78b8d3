//! Receivers that break the protocol, against our sender. It never takes them for a success.

use std::fs::write;

use peerline::channel::{Channel, ChannelSender, Message};
use peerline::transfer::{Channels, Code, Digest, Event, TransferError};
use tempfile::tempdir;

use crate::harness::*;

#[derive(Clone)]
enum Step {
    Say(String),
    SayBinary,
    LaneData,
    /// Until the last `entries`.
    AwaitOffer,
    AwaitComplete,
    Close,
}
use Step::*;

fn say(text: &str) -> Step {
    Say(text.to_owned())
}

fn accept() -> Step {
    say(r#"{"type":"accept"}"#)
}

fn resend(file: u32, block: u32) -> Step {
    Say(format!(
        r#"{{"type":"resend","file":{file},"block":{block}}}"#
    ))
}

const BYTES: u64 = (1 << 20) + 3;

/// A receipt with the digest that the sender announced, or with another one.
enum Receipt {
    Right,
    Wrong,
    Miscounted,
}

async fn play(channels: Channels, steps: Vec<Step>, receipt: Option<Receipt>) -> Vec<String> {
    let (control, mut incoming) = channels.control.split();
    let (lane, mut blocks) = channels.lane.split();
    let mut lane: Option<ChannelSender> = Some(lane);
    let drain = tokio::spawn(async move { while blocks.recv().await.is_some() {} });
    let mut heard: Vec<String> = Vec::new();
    let mut closed = false;
    for step in steps {
        let until = match &step {
            Say(text) => {
                let _ = control.send(Message::Text(text.clone())).await;
                continue;
            }
            SayBinary => {
                let _ = control.send(Message::Binary(vec![1].into())).await;
                continue;
            }
            LaneData => {
                let _ = lane
                    .as_ref()
                    .unwrap()
                    .send(Message::Binary(vec![1].into()))
                    .await;
                continue;
            }
            Close => {
                closed = true;
                break;
            }
            AwaitOffer => r#""type":"entries""#,
            AwaitComplete => r#""type":"complete""#,
        };
        while !heard.last().is_some_and(|text| text.contains(until)) {
            let Some(Message::Text(text)) = incoming.recv().await else {
                break;
            };
            heard.push(text);
        }
    }
    if let Some(receipt) = receipt {
        let announced = heard
            .last()
            .and_then(|text| text.split('"').nth(7))
            .unwrap()
            .to_owned();
        let (digest, bytes) = match receipt {
            Receipt::Right => (announced, BYTES),
            Receipt::Wrong => (Digest::of(b"").to_string(), BYTES),
            Receipt::Miscounted => (announced, BYTES - 1),
        };
        let text = format!(r#"{{"type":"receipt","digest":"{digest}","bytes":{bytes},"files":1}}"#);
        let _ = control.send(Message::Text(text)).await;
    }
    if closed {
        drop((control, lane.take(), incoming));
    } else {
        while let Some(Message::Text(text)) = incoming.recv().await {
            heard.push(text);
        }
    }
    drain.abort();
    heard
}

async fn run(steps: Vec<Step>, receipt: Option<Receipt>) -> (Side, Vec<String>) {
    let from = tempdir().unwrap();
    let file = from.path().join("file");
    write(&file, noise(BYTES as usize, 1)).unwrap();
    let (near, far) = channels();
    deadline(async { tokio::join!(run_sender(near, scan(&[file])), play(far, steps, receipt)) })
        .await
}

async fn check(name: &str, steps: Vec<Step>, receipt: Option<Receipt>, expected: Code) {
    let (sender, heard) = run(steps, receipt).await;
    let error = sender.result.expect_err(name);
    assert_eq!(error.code(), expected, "{name}: {error}");
    let told = heard
        .iter()
        .any(|text| text.contains(&format!(r#""code":"{expected}""#)));
    let silent = matches!(
        error,
        TransferError::Peer { .. } | TransferError::Closed | TransferError::Declined { .. }
    );
    assert!(told != silent, "{name}: {heard:?}");
}

#[tokio::test]
async fn the_script_is_right_when_nothing_is_wrong() {
    let unknown = say(r#"{"type":"later"}"#);
    let steps = vec![
        unknown.clone(),
        AwaitOffer,
        accept(),
        unknown,
        say(r#"{"type":"progress","bytes":5,"files":0}"#),
        AwaitComplete,
        resend(0, 1),
        resend(0, 0),
    ];
    let (sender, _) = run(steps, Some(Receipt::Right)).await;
    assert_eq!(sender.result.unwrap().bytes, BYTES);
    assert_eq!(
        sender
            .events
            .iter()
            .filter(|event| matches!(event, Event::Resent { .. }))
            .count(),
        2
    );
}

#[tokio::test]
async fn receivers_that_break_the_rules() {
    let progress = |bytes: u64| {
        Say(format!(
            r#"{{"type":"progress","bytes":{bytes},"files":0}}"#
        ))
    };
    let decline = say(r#"{"type":"decline","reason":"no"}"#);
    let receipt = Say(format!(
        r#"{{"type":"receipt","digest":"{}","bytes":{BYTES},"files":1}}"#,
        Digest::of(b"")
    ));
    let cancel = |code: &str| {
        Say(format!(
            r#"{{"type":"cancel","code":"{code}","message":"m"}}"#
        ))
    };
    for (name, steps, expected) in [
        (
            "accept before the offer is whole",
            vec![accept(), AwaitComplete, accept()],
            Code::Protocol,
        ),
        (
            "accept twice",
            vec![AwaitOffer, accept(), accept()],
            Code::Protocol,
        ),
        (
            "resend before accept",
            vec![AwaitOffer, resend(0, 0)],
            Code::Protocol,
        ),
        (
            "progress before accept",
            vec![AwaitOffer, progress(0)],
            Code::Protocol,
        ),
        (
            "receipt before accept",
            vec![AwaitOffer, receipt.clone()],
            Code::Protocol,
        ),
        (
            "no such file",
            vec![AwaitOffer, accept(), resend(1, 0)],
            Code::Protocol,
        ),
        (
            "no such block",
            vec![AwaitOffer, accept(), resend(0, 2)],
            Code::Protocol,
        ),
        (
            "progress beyond the end",
            vec![AwaitOffer, accept(), progress(BYTES + 1)],
            Code::Protocol,
        ),
        (
            "decline after accept",
            vec![AwaitOffer, accept(), decline.clone()],
            Code::Protocol,
        ),
        (
            "an offer",
            vec![
                AwaitOffer,
                say(r#"{"type":"entries","from":0,"entries":[]}"#),
            ],
            Code::Protocol,
        ),
        ("not JSON", vec![AwaitOffer, say("{")], Code::Protocol),
        (
            "binary control",
            vec![AwaitOffer, SayBinary],
            Code::Protocol,
        ),
        (
            "data on the lane",
            vec![AwaitOffer, accept(), LaneData],
            Code::Protocol,
        ),
        (
            "never satisfied",
            vec![
                AwaitOffer,
                accept(),
                AwaitComplete,
                resend(0, 0),
                resend(0, 0),
                resend(0, 0),
                resend(0, 0),
            ],
            Code::BadBlock,
        ),
        ("declined", vec![AwaitOffer, decline], Code::Declined),
        (
            "no space",
            vec![AwaitOffer, cancel("no-space")],
            Code::NoSpace,
        ),
        (
            "cancelled at once",
            vec![cancel("cancelled")],
            Code::Cancelled,
        ),
        (
            "cancelled later",
            vec![AwaitOffer, accept(), cancel("cancelled")],
            Code::Cancelled,
        ),
        (
            "cancelled last",
            vec![AwaitOffer, accept(), AwaitComplete, cancel("exists")],
            Code::Exists,
        ),
        ("closed at once", vec![Close], Code::Closed),
        (
            "closed before accept",
            vec![AwaitOffer, Close],
            Code::Closed,
        ),
        (
            "closed after accept",
            vec![AwaitOffer, accept(), Close],
            Code::Closed,
        ),
        (
            "closed without a receipt",
            vec![AwaitOffer, accept(), AwaitComplete, Close],
            Code::Closed,
        ),
    ] {
        check(name, steps, None, expected).await;
    }
    let all = || vec![AwaitOffer, accept(), AwaitComplete];
    check(
        "another digest",
        all(),
        Some(Receipt::Wrong),
        Code::BadBlock,
    )
    .await;
    check(
        "another count",
        all(),
        Some(Receipt::Miscounted),
        Code::Protocol,
    )
    .await;
}

/// A lane that closes alone is given time for a reason; without one it is the end.
#[tokio::test]
async fn a_lane_that_ends_alone() {
    let from = tempdir().unwrap();
    let file = from.path().join("file");
    write(&file, noise(BYTES as usize, 1)).unwrap();
    let (near, far) = channels();
    let play = async {
        let Channels { mut control, lane } = far;
        while !matches!(control.recv().await, Some(Message::Text(text)) if text.contains("entries"))
        {
        }
        control
            .send_text(r#"{"type":"accept"}"#.to_owned())
            .await
            .unwrap();
        drop(lane);
        while control.recv().await.is_some() {}
    };
    let both = async { tokio::join!(run_sender(near, scan(&[file])), play) };
    let (sender, ()) = deadline(both).await;
    assert_eq!(sender.result.unwrap_err().code(), Code::Closed);
}

/// Nothing is read from the disk for a receiver that has not accepted.
#[tokio::test]
async fn no_block_before_the_accept() {
    let from = tempdir().unwrap();
    let file = from.path().join("file");
    write(&file, "abc").unwrap();
    let (near, far) = channels();
    let play = async {
        let Channels {
            mut control,
            mut lane,
        } = far;
        while !matches!(control.recv().await, Some(Message::Text(text)) if text.contains("entries"))
        {
        }
        control
            .send_text(r#"{"type":"cancel","code":"cancelled","message":""}"#.to_owned())
            .await
            .unwrap();
        assert_eq!(lane.recv().await, None, "nothing came before the end");
        drop::<Channel>(control);
    };
    let both = async { tokio::join!(run_sender(near, scan(&[file])), play) };
    let (sender, ()) = deadline(both).await;
    assert_eq!(sender.result.unwrap_err().code(), Code::Cancelled);
}
