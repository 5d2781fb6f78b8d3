//! No server named: the sender brings one, and the receiver finds it.

use crate::harness::{Peer, Place};

#[tokio::test]
async fn a_receiver_on_this_host_finds_the_sender() {
    let place = Place::new();
    let file = place.file("in/a", "content");
    let mut sender = Peer::start(&["send-file", file.to_str().unwrap()]);
    let listening = sender.event("listening").await;
    assert!(
        listening["server"].as_str().unwrap().starts_with("http://"),
        "{listening}"
    );
    let said = sender.event("code").await;
    let code = said["code"].as_str().unwrap();
    assert_eq!(said["command"], format!("peer-cli receive-file {code}"));
    let out = place.out();
    let receiver = Peer::start(&[
        "receive-file",
        code,
        "--yes",
        "--out",
        out.to_str().unwrap(),
    ]);
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    sent.is_done();
    received.is_done();
    assert_eq!(std::fs::read(place.path("out/a")).unwrap(), b"content");
}

#[tokio::test]
async fn a_receiver_that_was_given_the_link_needs_no_search() {
    let place = Place::new();
    let file = place.file("in/a", "content");
    let mut sender = Peer::start(&["send-file", file.to_str().unwrap()]);
    let link = sender.event("code").await["link"]
        .as_str()
        .unwrap()
        .to_owned();
    let out = place.out();
    let receiver = Peer::start(&[
        "receive-file",
        &link,
        "--yes",
        "--out",
        out.to_str().unwrap(),
    ]);
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    sent.is_done();
    received.is_done();
}

#[tokio::test]
async fn ctrl_c_ends_the_server_too() {
    let place = Place::new();
    let file = place.file("in/a", "content");
    let mut sender = Peer::start(&["send-file", file.to_str().unwrap()]);
    let server = sender.event("listening").await["server"]
        .as_str()
        .unwrap()
        .to_owned();
    let code = sender.code().await;
    sender.interrupt();
    sender.end().await.failed(130, "cancelled");
    let receiver = Peer::start(&["receive-file", &code, "--yes", "--server", &server]);
    let end = receiver.end().await;
    assert_eq!(end.code, Some(7), "{end:#?}");
}
