//! Transfers that must not happen.

use std::fs;

use peerline::session::{Intent, Session, SessionConfig};
use peerline::signaling::Signaling as Room;
use signaling_protocol::Join;

use crate::harness::{Peer, Place, Signaling};

#[tokio::test]
async fn what_exists_is_kept_unless_it_may_be_overwritten() {
    let server = Signaling::start();
    let place = Place::new();
    let file = place.file("in/a", "new");
    place.file("out/a", "old");

    let mut sender = Peer::send(&server, &[&file]);
    let code = sender.code().await;
    let receiver = Peer::receive(&server, &code, &place.out(), &["--yes"]);
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    let error = received.failed(9, "exists");
    assert!(
        error["hint"].as_str().unwrap().contains("--overwrite"),
        "{error}"
    );
    sent.failed(9, "peer-exists");
    assert_eq!(fs::read(place.path("out/a")).unwrap(), b"old");
    assert_eq!(place.received().len(), 1);

    let mut sender = Peer::send(&server, &[&file]);
    let code = sender.code().await;
    let receiver = Peer::receive(&server, &code, &place.out(), &["--yes", "--overwrite"]);
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    sent.is_done();
    received.is_done();
    assert_eq!(fs::read(place.path("out/a")).unwrap(), b"new");
}

#[tokio::test]
async fn without_anybody_to_accept_it_is_declined() {
    let server = Signaling::start();
    let place = Place::new();
    let file = place.file("in/a", "content");
    let mut sender = Peer::send(&server, &[&file]);
    let code = sender.code().await;
    let out = place.path("new/deep");
    let receiver = Peer::receive(&server, &code, &out, &[]);
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    let error = received.failed(3, "declined");
    assert!(error["hint"].as_str().unwrap().contains("--yes"), "{error}");
    sent.failed(3, "declined");
    assert!(!place.path("new").exists(), "nothing was made for nothing");
}

#[tokio::test]
async fn a_wrong_code_is_said_on_both_sides_and_burnt() {
    let server = Signaling::start();
    let place = Place::new();
    let file = place.file("in/a", "content");
    let mut sender = Peer::send(&server, &[&file]);
    let code = sender.code().await;
    let (room, words) = code.split_once('-').unwrap();
    let mut words: Vec<&str> = words.split('-').collect();
    words[1] = if words[1] == "zoo" { "abandon" } else { "zoo" };
    let wrong = format!("{room}-{}", words.join("-"));
    let out = place.path("out/never");
    let receiver = Peer::receive(&server, &wrong, &out, &["--yes"]);
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    sent.failed(6, "wrong-code");
    received.failed(6, "wrong-code");
    assert!(!out.exists(), "nothing was created");

    let again = Peer::receive(&server, &code, &out, &["--yes"]);
    again.end().await.failed(7, "no-such-room");
}

#[tokio::test]
async fn rooms_and_servers_that_are_not_there() {
    let server = Signaling::start();
    let place = Place::new();
    let code = "7-crane-velvet-orbit";
    let lost = Peer::receive(&server, code, &place.out(), &["--yes"])
        .end()
        .await;
    assert_eq!(lost.failed(7, "no-such-room")["retry"], true);

    let url = server.url.clone();
    server.kill().await;
    let words = ["receive-file", code, "--server", &url];
    Peer::start(&words)
        .end()
        .await
        .failed(7, "signaling-unreachable");
    let file = place.file("in/a", "content");
    let words = ["send-file", "--server", &url, file.to_str().unwrap()];
    Peer::start(&words)
        .end()
        .await
        .failed(7, "signaling-unreachable");
    assert!(place.received().is_empty());
}

#[tokio::test]
async fn a_code_in_use_is_refused() {
    let server = Signaling::start();
    let place = Place::new();
    let file = place.file("in/a", "content");
    let words = [
        "send-file",
        "--code",
        "7-crane-velvet-orbit",
        "--server",
        &server.url,
    ];
    let words = [&words[..], &[file.to_str().unwrap()]].concat();
    let mut first = Peer::start(&words);
    assert_eq!(first.code().await, "7-crane-velvet-orbit");
    Peer::start(&words).end().await.failed(7, "room-taken");
    first.interrupt();
    first.end().await.failed(130, "cancelled");
}

#[tokio::test]
async fn nobody_comes_in_time() {
    let server = Signaling::start();
    let place = Place::new();
    let file = place.file("in/a", "content");
    let words = [
        "send-file",
        "--timeout",
        "0.2",
        "--server",
        &server.url,
        file.to_str().unwrap(),
    ];
    let end = Peer::start(&words).end().await;
    assert_eq!(end.failed(5, "timeout")["retry"], true);
    assert!(end.names().contains(&"code"));
}

#[tokio::test]
async fn two_senders_cannot_help_each_other() {
    let server = Signaling::start();
    let place = Place::new();
    let file = place.file("in/a", "content");
    let mut sender = Peer::send(&server, &[&file]);
    let code: peerline::pairing::Code = sender.code().await.parse().unwrap();
    let join = Join {
        room: Some(code.room().parse().unwrap()),
        create: Some(false),
        ..Join::default()
    };
    let (room, joined) = Room::join(&server.url.parse().unwrap(), join)
        .await
        .unwrap();
    let config = SessionConfig {
        intent: Intent::SendFiles,
        loopback: true,
        ..SessionConfig::default()
    };
    // It may see the other side hang up before or after it counts as connected.
    let session = Session::guest(room, &joined, &code, config).await;
    let error = sender.end().await;
    let error = error.failed(2, "usage");
    assert!(
        error["message"].as_str().unwrap().contains("send files"),
        "{error}"
    );
    drop(session);
}
