//! `receive-file --listen`: one sender after the other, and what each of them may do.

use std::fs;
use std::path::Path;

use rustix::process::Signal;

use crate::harness::{End, Peer, Place, Signaling, in_place, noise};

/// A receiver that takes what `accept` says, into `out/`.
fn listen(server: &Signaling, place: &Place, more: &[&str]) -> Peer {
    let out = place.out();
    let out = out.to_str().unwrap();
    let words = [
        "receive-file",
        "--listen",
        "--server",
        &server.url,
        "--dest",
        out,
    ];
    Peer::start(&[&words[..], more].concat())
}

fn send_to(server: &Signaling, code: &str, file: &Path, more: &[&str]) -> Peer {
    let file = file.to_str().unwrap();
    let words = ["send-file", file, "--to", code, "--server", &server.url];
    Peer::start(&[&words[..], more].concat())
}

/// Waits until it waits: until then, its room is that of the one before.
async fn ready(receiver: &mut Peer) {
    receiver.event("waiting").await;
}

/// Stopped between two transfers, it has done what it was asked to.
async fn stopped(mut receiver: Peer, signal: Signal) -> End {
    ready(&mut receiver).await;
    receiver.signal(signal);
    let end = receiver.end().await;
    assert_eq!(end.code, Some(0), "{end:#?}");
    end
}

#[tokio::test]
async fn several_come_one_after_the_other_under_one_code() {
    let server = Signaling::start();
    let place = Place::new();
    let mut receiver = listen(&server, &place, &["--accept", "all"]);
    let said = receiver.event("code").await;
    let code = said["code"].as_str().unwrap().to_owned();
    let command = said["command"].as_str().unwrap();
    let expected = format!("peer-cli send-file PATH --to {code} --server ");
    assert!(command.starts_with(&expected), "{command}");
    for number in 0..3 {
        ready(&mut receiver).await;
        let file = place.file(&format!("in/{number}"), noise(100_000, number));
        let to = match number {
            1 => said["link"].as_str().unwrap(),
            _ => &code,
        };
        let sent = send_to(&server, to, &file, &[]).end().await;
        assert_eq!(sent.is_done()["bytes"], 100_000);
        assert_eq!(receiver.event("done").await["bytes"], 100_000);
    }
    let end = stopped(receiver, Signal::TERM).await;
    let names = end.names();
    assert_eq!(names.iter().filter(|name| **name == "code").count(), 1);
    assert_eq!(place.received().len(), 3);
}

#[tokio::test]
async fn a_wrong_code_is_burnt_and_there_is_a_new_one() {
    let server = Signaling::start();
    let place = Place::new();
    let file = place.file("in/a", "content");
    let first = "first-crane-velvet-orbit";
    let mut receiver = listen(&server, &place, &["--accept", "all", "--code", first]);
    assert_eq!(receiver.code().await, first);
    ready(&mut receiver).await;
    let wrong = send_to(&server, "first-crane-velvet-zoo", &file, &[]);
    assert_eq!(wrong.end().await.code, Some(6));
    let failed = receiver.event("failed").await;
    assert_eq!(failed["code"], "wrong-code", "{failed}");
    let second = receiver.code().await;
    ready(&mut receiver).await;
    assert_ne!(second.split_once('-').unwrap().1, "crane-velvet-orbit");

    // The burnt one leads nowhere, the new one does.
    let late = send_to(&server, first, &file, &[]).end().await;
    late.failed(7, "no-such-room");
    send_to(&server, &second, &file, &[]).end().await.is_done();
    receiver.event("done").await;
    stopped(receiver, Signal::INT).await;
}

#[tokio::test]
async fn what_is_not_taken_is_declined_with_a_reason_and_the_next_one_comes() {
    let server = Signaling::start();
    let place = Place::new();
    let policy = ["--accept", "names:*.txt,names:b*", "--max-size", "1kB"];
    let mut receiver = listen(&server, &place, &policy);
    let code = receiver.code().await;
    for (name, length, reason) in [
        ("a.pdf", 10, "they take only *.txt, b*"),
        ("a.txt", 1001, "they take at most 1000 B"),
        ("a.txt", 1000, ""),
        ("book", 5, ""),
    ] {
        let file = place.file(&format!("in/{name}"), noise(length, 1));
        ready(&mut receiver).await;
        let sent = send_to(&server, &code, &file, &[]).end().await;
        if reason.is_empty() {
            sent.is_done();
            receiver.event("done").await;
            continue;
        }
        let error = sent.failed(3, "declined");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(reason), "{message}");
        assert_eq!(receiver.event("failed").await["code"], "declined");
    }
    stopped(receiver, Signal::TERM).await;
    assert_eq!(place.received().len(), 2);
}

#[tokio::test]
async fn it_survives_what_breaks_and_goes_on_from_there() {
    let server = Signaling::start();
    let place = Place::new();
    let mut receiver = listen(&server, &place, &["--accept", "all"]);
    let code = receiver.code().await;
    let content = noise(24 << 20, 1);
    let file = place.file("in/large", &content);
    ready(&mut receiver).await;

    // Slow enough to be killed in its middle on any machine.
    let sender = send_to(&server, &code, &file, &["--limit", "8MiB"]);
    loop {
        let progress = receiver.event("progress").await;
        if progress["bytes"].as_u64().unwrap() > 4 << 20 {
            break;
        }
    }
    sender.kill().await;
    let failed = receiver.event("failed").await;
    assert!(failed["kept"]["bytes"].as_u64().unwrap() > 0, "{failed}");

    // A name that is taken already.
    let taken = place.file("out/taken", "mine");
    ready(&mut receiver).await;
    send_to(&server, &code, &taken, &[])
        .end()
        .await
        .failed(9, "peer-exists");
    assert_eq!(receiver.event("failed").await["code"], "exists");

    ready(&mut receiver).await;
    let sent = send_to(&server, &code, &file, &[]).end().await;
    assert!(sent.is_done()["resumed"].as_u64().unwrap() > 0);
    receiver.event("done").await;
    stopped(receiver, Signal::TERM).await;
    assert!(fs::read(place.path("out/large")).unwrap() == content);
    assert_eq!(in_place(&place.out()).len(), 2);
}

#[tokio::test]
async fn stopped_in_the_middle_it_says_so() {
    let server = Signaling::start();
    let place = Place::new();
    let mut receiver = listen(&server, &place, &["--accept", "all", "--limit", "4MiB"]);
    let code = receiver.code().await;
    let file = place.file("in/large", noise(64 << 20, 1));
    ready(&mut receiver).await;
    let sender = send_to(&server, &code, &file, &[]);
    receiver.event("progress").await;
    receiver.interrupt();
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    received.failed(130, "cancelled");
    assert!(received.names().contains(&"failed"), "{received:#?}");
    sent.failed(4, "peer-cancelled");
}

#[tokio::test]
async fn without_a_server_it_brings_its_own() {
    let place = Place::new();
    let file = place.file("in/a", "content");
    let out = place.out();
    let words = ["receive-file", "--listen", "--accept", "all", "--out"];
    let mut receiver = Peer::start(&[&words[..], &[out.to_str().unwrap()]].concat());
    receiver.event("listening").await;
    let said = receiver.event("code").await;
    let link = said["link"].as_str().unwrap();
    ready(&mut receiver).await;
    let sender = Peer::start(&["send-file", file.to_str().unwrap(), "--to", link]);
    sender.end().await.is_done();
    receiver.event("done").await;
    stopped(receiver, Signal::TERM).await;
    assert_eq!(fs::read(place.path("out/a")).unwrap(), b"content");
}

#[tokio::test]
async fn what_it_cannot_begin_with_ends_it_at_once() {
    let nowhere = "http://127.0.0.1:9";
    for (words, exit, kind) in [
        (&["receive-file", "--listen"][..], 2, "usage"),
        (
            &[
                "receive-file",
                "http://h/#7-crane-velvet-orbit",
                "--listen",
                "--yes",
            ],
            2,
            "usage",
        ),
        (
            &["receive-file", "--listen", "--yes", "--out", "-"],
            2,
            "usage",
        ),
        (
            &["receive-file", "--listen", "--yes", "--server", nowhere],
            7,
            "signaling-unreachable",
        ),
    ] {
        let end = Peer::start(words).end().await;
        end.failed(exit, kind);
    }
}
