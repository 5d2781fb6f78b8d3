//! A sender that follows a script, line by line, right or wrong.

use std::fs;

use peerline::channel::Message;
use peerline::transfer::{Channels, Code, Digest, TransferError};

use crate::harness::*;

/// One thing a sender does.
#[derive(Clone)]
pub(super) enum Step {
    Say(String),
    SayBinary,
    Lane(Vec<u8>),
    LaneText,
    AwaitAccept,
    AwaitResend,
    CloseLane,
}
pub(super) use Step::*;

pub(super) fn say(text: &str) -> Step {
    Say(text.to_owned())
}

pub(super) fn offer(files: u32, directories: u32, bytes: u64) -> Step {
    let entries = files + directories;
    Say(format!(
        r#"{{"type":"offer","version":1,"title":"t","files":{files},"directories":{directories},"bytes":{bytes},"entries":{entries},"blockSize":1048576}}"#
    ))
}

/// `d/` and `d/f` of three bytes.
pub(super) fn manifest() -> Vec<Step> {
    let entries = r#"{"type":"entries","from":0,"entries":[{"path":"d","kind":"directory"},{"path":"d/f","kind":"file","size":3}]}"#;
    vec![offer(1, 1, 3), say(entries)]
}

pub(super) fn accepted() -> Vec<Step> {
    [manifest(), vec![AwaitAccept]].concat()
}

pub(super) fn record(
    file: u32,
    block: u32,
    offset: u32,
    data: &[u8],
    digest: Option<Digest>,
) -> Vec<u8> {
    let flag = u32::from(digest.is_some()) << 31;
    let words = [file, block, offset, flag | data.len() as u32];
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    bytes.extend_from_slice(data);
    bytes.extend(digest.iter().flat_map(|digest| digest.as_bytes()));
    bytes
}

pub(super) fn whole(file: u32, block: u32, data: &[u8]) -> Step {
    Lane(record(file, block, 0, data, Some(Digest::of(data))))
}

/// The right digest of the manifest above with `abc` in `d/f`.
pub(super) fn digest() -> Digest {
    let file = Digest::of(Digest::of(b"abc").as_bytes());
    let mut all = b"\x02\0\0\0\x01d\x01\0\0\0\x03d/f\0\0\0\0\0\0\0\x03".to_vec();
    all.extend(file.as_bytes());
    Digest::of(&all)
}

pub(super) fn complete(digest: Digest) -> Step {
    Say(format!(r#"{{"type":"complete","digest":"{digest}"}}"#))
}

/// Plays the steps; returns what the receiver said until it ended.
pub(super) async fn play(mut channels: Channels, steps: Vec<Step>) -> Vec<String> {
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

pub(super) struct Outcome {
    pub(super) receiver: Side,
    pub(super) heard: Vec<String>,
}

/// Runs a script against a receiver that accepts everything, with overwriting on: the most
/// dangerous setting.
pub(super) async fn run(steps: Vec<Step>) -> Outcome {
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

pub(super) async fn check(name: &str, steps: Vec<Step>, expected: Code) {
    let Outcome { receiver, heard } = run(steps).await;
    let error = receiver.result.expect_err(name);
    assert_eq!(error.code(), expected, "{name}: {error}");
    let told = heard
        .iter()
        .any(|text| text.contains(&format!(r#""code":"{expected}""#)));
    let knows = matches!(error, TransferError::Peer { .. } | TransferError::Closed);
    assert!(told != knows, "{name}: {heard:?}");
}
