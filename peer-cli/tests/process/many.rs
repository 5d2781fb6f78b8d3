//! `send-file --to-many`: one code, several receivers, some of whom die, guess or do not want it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::{End, Peer, Place, Signaling, in_place, noise};

fn send(server: &Signaling, file: &Path, more: &[&str]) -> Peer {
    let file = file.to_str().unwrap();
    let words = ["send-file", file, "--server", &server.url];
    Peer::start(&[&words[..], more].concat())
}

fn receive(server: &Signaling, place: &Place, code: &str, number: usize) -> Peer {
    receive_with(server, place, code, number, &["--yes"])
}

fn receive_with(
    server: &Signaling,
    place: &Place,
    code: &str,
    number: usize,
    more: &[&str],
) -> Peer {
    Peer::receive(server, code, &place.path(&format!("out{number}")), more)
}

/// Waits until this one has verified more than so much.
async fn far(receiver: &mut Peer, bytes: u64) {
    while receiver.event("progress").await["bytes"].as_u64().unwrap() <= bytes {}
}

/// What was said of one of several receivers.
fn about(end: &End, receiver: u64, name: &str) -> Vec<Value> {
    let said = end.events.iter();
    let said = said.filter(|event| event["receiver"] == receiver && event["event"] == name);
    said.cloned().collect()
}

#[tokio::test]
async fn three_get_it_by_one_code_and_one_is_killed_and_comes_back() {
    let server = Signaling::start();
    let place = Place::new();
    let content = noise(24 << 20, 7);
    let file = place.file("in/large", &content);
    // Slow enough to be in its middle on any machine.
    let mut sender = send(&server, &file, &["--to-many", "3", "--limit", "12MiB"]);
    let said = sender.event("code").await;
    let code = said["code"].as_str().unwrap().to_owned();
    let command = said["command"].as_str().unwrap();
    assert!(
        command.starts_with(&format!("peer-cli receive-file {code}")),
        "{command}"
    );
    let first = receive(&server, &place, &code, 0);
    let second = receive(&server, &place, &code, 1);
    let mut third = receive(&server, &place, &code, 2);
    // Of what is verified 10 MiB may not be written down yet.
    far(&mut third, 13 << 20).await;
    third.kill().await;
    assert!(in_place(&place.path("out2")).is_empty());
    let again = receive(&server, &place, &code, 2);
    let (first, second, again, sent) =
        tokio::join!(first.end(), second.end(), again.end(), sender.end());
    let done = sent.is_done();
    assert_eq!(
        (&done["receivers"], &done["bytes"]),
        (&3.into(), &(24 << 20).into())
    );
    assert!(done["receiver"].is_null(), "{done}");
    assert!(again.is_done()["resumed"].as_u64().unwrap() >= 3 << 20);
    for (number, end) in [first, second, again].iter().enumerate() {
        assert_eq!(end.is_done()["bytes"], 24 << 20);
        let out = place.path(&format!("out{number}"));
        assert!(fs::read(out.join("large")).unwrap() == content, "{number}");
        assert_eq!(in_place(&out).len(), 1);
    }
    // Four came; the one that was killed is the only one that failed.
    let counts = |name| (1..=4).map(|n| about(&sent, n, name).len()).sum::<usize>();
    assert_eq!((counts("connected"), counts("done")), (4, 3), "{sent:#?}");
    assert!(counts("peer") == 4 && counts("progress") > 4);
}

#[tokio::test]
async fn what_one_has_it_gives_the_others_unless_it_is_told_not_to() {
    let server = Signaling::start();
    let place = Place::new();
    let content = noise(32 << 20, 3);
    let file = place.file("in/large", &content);
    for (more, none) in [(&[][..], false), (&["--no-share"], true)] {
        let words = [&["--to-many", "2", "--limit", "16MiB"], more].concat();
        let mut sender = send(&server, &file, &words);
        let code = sender.code().await;
        let offset = usize::from(none) * 10;
        let receivers = [0, 1].map(|number| receive(&server, &place, &code, number + offset));
        let [first, second] = receivers.map(Peer::end);
        let (first, second, sent) = tokio::join!(first, second, sender.end());
        assert_eq!(sent.is_done()["receivers"], 2);
        let helped = |end: &End| end.is_done()["helped"].as_u64().unwrap_or(0);
        let helped = helped(&first) + helped(&second);
        assert_eq!(helped == 0, none, "{helped}");
        for end in [first, second] {
            let seconds = end.is_done()["seconds"].as_f64().unwrap();
            println!("{none} {helped} {seconds}");
        }
    }
}

#[tokio::test]
async fn a_wrong_guess_burns_the_code_and_those_who_are_there_get_theirs() {
    let server = Signaling::start();
    let place = Place::new();
    let content = noise(16 << 20, 5);
    let file = place.file("in/large", &content);
    let code = "many-crane-velvet-orbit";
    let words = ["--to-many", "3", "--limit", "12MiB", "--code", code];
    let mut sender = send(&server, &file, &words);
    assert_eq!(sender.code().await, code);
    let mut first = receive(&server, &place, code, 0);
    far(&mut first, 1 << 20).await;
    let wrong = receive(&server, &place, "many-crane-velvet-zoo", 1);
    wrong.end().await.failed(6, "wrong-code");
    // The right one is good no more.
    let late = receive(&server, &place, code, 1).end().await;
    assert!(late.code == Some(6) || late.code == Some(7), "{late:#?}");
    let (first, sent) = tokio::join!(first.end(), sender.end());
    first.is_done();
    assert!(fs::read(place.path("out0/large")).unwrap() == content);
    let error = sent.failed(6, "wrong-code");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.starts_with("1 of 3 receivers have everything"),
        "{message}"
    );
    assert!(!place.path("out1/large").exists());
}

#[tokio::test]
async fn one_that_declines_has_answered() {
    let server = Signaling::start();
    let place = Place::new();
    let file = place.file("in/a.txt", "content");
    let mut sender = send(&server, &file, &["--to-many", "2"]);
    let code = sender.code().await;
    let policy = ["--accept", "names:*.pdf"];
    let declines = receive_with(&server, &place, &code, 0, &policy).end().await;
    assert_eq!(declines.code, Some(3), "{declines:#?}");
    receive(&server, &place, &code, 1).end().await.is_done();
    let sent = sender.end().await;
    let error = sent.failed(3, "declined");
    assert_eq!(
        error["message"],
        "1 of 2 receivers have everything, 1 declined"
    );
    assert_eq!(about(&sent, 1, "failed").len(), 1, "{sent:#?}");
    // The code was good for these two.
    let late = receive(&server, &place, &code, 2).end().await;
    late.failed(7, "no-such-room");
}

#[tokio::test]
async fn what_cannot_be_is_said_at_once() {
    for words in [
        &["send-file", "-", "--to-many", "2"][..],
        &["send-file", ".", "--to-many", "1"],
        &["send-file", ".", "--to-many", "16"],
        &[
            "send-file",
            ".",
            "--to-many",
            "2",
            "--to",
            "7-crane-velvet-orbit",
        ],
        &["send-file", ".", "--to-many", "2", "--verify"],
        &["send-file", ".", "--no-share"],
    ] {
        let end = Peer::start(words).end().await;
        end.failed(2, "usage");
    }
    let server = Signaling::start();
    let place = Place::new();
    let file = place.file("in/a", "content");
    // Nobody comes; and Ctrl-C.
    let nobody = send(&server, &file, &["--to-many", "2", "--timeout", "1"])
        .end()
        .await;
    let error = nobody.failed(5, "timeout");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("0 of 2 receivers"),
        "{error}"
    );
    let mut stopped = send(&server, &file, &["--to-many", "2"]);
    stopped.code().await;
    stopped.interrupt();
    stopped.end().await.failed(130, "cancelled");
}
