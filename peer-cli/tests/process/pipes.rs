//! `send-file -` and `receive-file --out -`.

use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin};

use crate::harness::{Peer, Place, Signaling, command, noise};

/// `send-file - WORDS...`, with its stdin still open.
fn send_stdin(server: &Signaling, words: &[&str]) -> (Peer, ChildStdin) {
    let mut sender = command(&[&["send-file", "-", "--server", &server.url], words].concat());
    sender.stdin(Stdio::piped());
    let mut sender = Peer::run(sender);
    let stdin = sender.stdin();
    (sender, stdin)
}

/// `receive-file CODE --out -`, which has stdout for itself.
fn receive_stdout(server: &Signaling, code: &str) -> Child {
    let words = [
        "receive-file",
        code,
        "--server",
        &server.url,
        "--yes",
        "--out",
        "-",
    ];
    command(&words).spawn().expect("starts")
}

#[tokio::test]
async fn from_stdin_to_a_file_under_its_name() {
    let server = Signaling::start();
    let place = Place::new();
    let content = noise((3 << 20) + 17, 1);
    let (mut sender, mut stdin) = send_stdin(&server, &["--name", "dump.sql"]);
    let code = sender.code().await;
    let receiver = Peer::receive(&server, &code, &place.out(), &["--yes"]);
    stdin.write_all(&content).await.unwrap();
    drop(stdin);
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    for end in [&sent, &received] {
        assert_eq!(end.is_done()["bytes"], content.len());
        let file = end.events.iter().find(|event| event["event"] == "file");
        assert_eq!(file.unwrap()["size"], content.len());
    }
    assert!(std::fs::read(place.path("out/dump.sql")).unwrap() == content);
}

#[tokio::test]
async fn from_stdin_to_stdout_and_nothing_but_that() {
    let server = Signaling::start();
    for length in [0, 5, 3 << 20] {
        let content = noise(length, 1);
        let (mut sender, mut stdin) = send_stdin(&server, &[]);
        let receiver = receive_stdout(&server, &sender.code().await);
        stdin.write_all(&content).await.unwrap();
        drop(stdin);
        let (sent, received) = tokio::join!(sender.end(), receiver.wait_with_output());
        sent.is_done();
        let received = received.unwrap();
        let talk = String::from_utf8_lossy(&received.stderr);
        assert!(received.status.success(), "{talk}");
        assert!(received.stdout == content, "{length}");
        assert!(talk.contains("Done: 1 file"), "{talk}");
    }
}

#[tokio::test]
async fn nobody_reads_what_is_written_to_stdout() {
    let server = Signaling::start();
    let place = Place::new();
    let file = place.file("in/large", noise(32 << 20, 1));
    let mut sender = Peer::send(&server, &[&file]);
    let mut receiver = receive_stdout(&server, &sender.code().await);
    let mut stdout = receiver.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 1000]).await.unwrap();
    drop(stdout);
    let (sent, received) = tokio::join!(sender.end(), receiver.wait_with_output());
    let received = received.unwrap();
    let talk = String::from_utf8_lossy(&received.stderr);
    assert_eq!(received.status.code(), Some(9), "{talk}");
    let expected = "error: stdout: Broken pipe";
    assert!(
        talk.contains(expected) && talk.contains("what read it has ended"),
        "{talk}"
    );
    sent.failed(9, "peer-io");
}

#[tokio::test]
async fn stdout_takes_a_single_file() {
    let server = Signaling::start();
    let place = Place::new();
    place.file("in/tree/a", "x");
    let mut sender = Peer::send(&server, &[&place.path("in/tree")]);
    let receiver = receive_stdout(&server, &sender.code().await);
    let (sent, received) = tokio::join!(sender.end(), receiver.wait_with_output());
    let received = received.unwrap();
    let talk = String::from_utf8_lossy(&received.stderr);
    assert_eq!(received.status.code(), Some(2), "{talk}");
    assert!(talk.contains("takes a single file"), "{talk}");
    assert!(received.stdout.is_empty());
    let error = sent.failed(3, "declined");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("they take a single file"), "{message}");
}

#[tokio::test]
async fn a_sender_that_is_killed_leaves_no_half_of_a_stream() {
    let server = Signaling::start();
    let place = Place::new();
    let (mut sender, mut stdin) = send_stdin(&server, &["--name", "half"]);
    let code = sender.code().await;
    let mut receiver = Peer::receive(&server, &code, &place.out(), &["--yes"]);
    // There is always more, until nobody reads it.
    let writing = tokio::spawn(async move {
        let piece = noise(1 << 20, 1);
        while stdin.write_all(&piece).await.is_ok() {}
    });
    receiver.event("progress").await;
    sender.kill().await;
    let received = receiver.end().await;
    assert_eq!(received.code, Some(4), "{received:#?}");
    assert!(place.received().is_empty());
    writing.await.unwrap();
}

#[tokio::test]
async fn more_than_is_taken_is_declined_when_it_shows() {
    let server = Signaling::start();
    let place = Place::new();
    let (mut sender, mut stdin) = send_stdin(&server, &[]);
    let code = sender.code().await;
    let more = ["--yes", "--max-size", "1MiB"];
    let receiver = Peer::receive(&server, &code, &place.out(), &more);
    let writing = tokio::spawn(async move {
        // The sender ends before it has read all of this.
        let _ = stdin.write_all(&noise(8 << 20, 1)).await;
    });
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    writing.await.unwrap();
    sent.failed(3, "declined");
    received.failed(3, "too-large");
    assert!(place.received().is_empty());
}

#[tokio::test]
async fn what_cannot_be_piped_is_a_usage_error() {
    for words in [
        &["send-file", "-", "x"][..],
        &["send-file", "-", "--verify", "--quiet"],
        &["send-file", ".", "--name", "x"],
        &["send-file", "-", "--name", "a/b"],
        &[
            "receive-file",
            "7-crane-velvet-orbit",
            "--out",
            "-",
            "--json",
        ],
    ] {
        let output = command(words).output().await.unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {output:?}");
    }
}
