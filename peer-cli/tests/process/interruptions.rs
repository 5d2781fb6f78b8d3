//! What happens to a transfer when a server, a peer or a user goes away.

use std::path::Path;

use crate::harness::{End, Peer, Place, Signaling, clean, command, digest, in_place, noise};

/// At this rate it takes long enough that something can happen half way, even on a fast machine.
const LARGE: usize = 192 << 20;
const RATE: &str = "64MiB";

/// A transfer of one large file of which some has arrived but not all.
async fn half_way(server: &Signaling, place: &Place, content: &[u8]) -> (Peer, Peer) {
    let file = place.file("in/large", content);
    let file = file.to_str().unwrap();
    let words = ["send-file", "--server", &server.url, file, "--limit", RATE];
    let mut sender = Peer::start(&words);
    let code = sender.code().await;
    let mut receiver = Peer::receive(server, &code, &place.out(), &["--yes"]);
    let progress = receiver.event("progress").await;
    assert!(
        progress["bytes"].as_u64().unwrap() < content.len() as u64,
        "{progress}"
    );
    (sender, receiver)
}

/// The receiver said what it kept and how to go on; its words are followed, and do it.
async fn resumes(server: &Signaling, place: &Place, content: &[u8], end: &End) {
    assert!(in_place(&place.out()).is_empty());
    let kept = &end.last()["kept"];
    let bytes = kept["bytes"].as_u64().unwrap();
    assert!(bytes > 0 && bytes < content.len() as u64, "{end:#?}");
    let id = kept["id"].as_str().unwrap();
    assert!(Path::new(kept["path"].as_str().unwrap()).is_dir());
    let out = place.out();
    let out = out.to_str().unwrap();
    let resume = format!("peer-cli transfers resume {id} --out {out}");
    assert_eq!(end.last()["resume"], resume);

    let listed = command(&["transfers", "list", "--json", "--out", out]);
    let listed = { listed }.output().await.unwrap();
    let event: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(
        (&event["id"], &event["state"], &event["title"]),
        (&id.into(), &"resumable".into(), &"large".into())
    );
    assert_eq!(
        (&event["bytes"], &event["total"]),
        (&bytes.into(), &content.len().into())
    );

    let mut sender = Peer::send(server, &[&place.path("in/large")]);
    let code = sender.code().await;
    let words = resume
        .split(' ')
        .skip(1)
        .chain([code.as_str(), "--yes", "--server", &server.url]);
    let receiver = Peer::start(&words.collect::<Vec<_>>());
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    for end in [&sent, &received] {
        let done = end.is_done();
        assert_eq!(
            (&done["bytes"], &done["resumed"]),
            (&content.len().into(), &bytes.into())
        );
        for progress in end
            .events
            .iter()
            .filter(|event| event["event"] == "progress")
        {
            assert_eq!(progress["resumed"], bytes);
            assert!(progress["bytes"].as_u64() >= Some(bytes), "{progress}");
        }
    }
    assert_eq!(place.received()[Path::new("large")], digest(content));
    assert_eq!(place.received().len(), 1, "nothing else is left");
}

#[tokio::test]
async fn a_server_that_dies_interrupts_nothing() {
    let server = Signaling::start();
    let place = Place::new();
    let content = noise(LARGE, 4);
    let (sender, receiver) = half_way(&server, &place, &content).await;
    server.kill().await;
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    sent.is_done();
    received.is_done();
    assert_eq!(place.received()[Path::new("large")], digest(&content));
}

#[tokio::test]
async fn a_killed_receiver_is_noticed_by_the_sender() {
    let server = Signaling::start();
    let place = Place::new();
    let (sender, receiver) = half_way(&server, &place, &noise(LARGE, 5)).await;
    receiver.kill().await;
    let end = sender.end().await;
    assert_eq!(end.code, Some(4), "{end:#?}");
    assert_eq!(
        (&end.last()["event"], &end.last()["retry"]),
        (&"error".into(), &true.into())
    );
}

#[tokio::test]
async fn a_killed_sender_is_noticed_by_the_receiver_which_keeps_what_it_has() {
    let server = Signaling::start();
    let place = Place::new();
    let content = noise(LARGE, 6);
    let (sender, receiver) = half_way(&server, &place, &content).await;
    sender.kill().await;
    let end = receiver.end().await;
    assert_eq!(end.code, Some(4), "{end:#?}");
    resumes(&server, &place, &content, &end).await;
}

#[tokio::test]
async fn ctrl_c_of_the_receiver_stops_both_and_keeps_what_it_has() {
    let server = Signaling::start();
    let place = Place::new();
    let content = noise(LARGE, 7);
    let (sender, receiver) = half_way(&server, &place, &content).await;
    receiver.interrupt();
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    received.failed(130, "cancelled");
    let error = sent.failed(4, "peer-cancelled");
    let again = error["resume"].as_str().unwrap();
    let file = place.path("in/large");
    let words = format!(
        "peer-cli send-file --server {} {}",
        server.url,
        file.display()
    );
    assert!(again.starts_with(&words), "{again}");
    resumes(&server, &place, &content, &received).await;
}

#[tokio::test]
async fn a_closed_terminal_is_a_polite_end() {
    let server = Signaling::start();
    let place = Place::new();
    let (sender, receiver) = half_way(&server, &place, &noise(LARGE, 9)).await;
    sender.signal(rustix::process::Signal::HUP);
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    sent.failed(130, "cancelled");
    received.failed(4, "peer-cancelled");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn nohup_is_respected() {
    let server = Signaling::start();
    let place = Place::new();
    let file = place.file("in/a", noise(1 << 20, 10));
    let program = env!("CARGO_BIN_EXE_peer-cli");
    let words = ["nohup", program, "send-file", "--server", &server.url];
    let mut sender = Peer::run(clean(&[&words[..], &[file.to_str().unwrap()]].concat()));
    let code = sender.code().await;
    sender.signal(rustix::process::Signal::HUP);
    let receiver = Peer::receive(&server, &code, &place.out(), &["--yes"]);
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    sent.is_done();
    received.is_done();
}

#[tokio::test]
async fn ctrl_c_of_the_sender_stops_both_and_the_receiver_keeps_what_it_has() {
    let server = Signaling::start();
    let place = Place::new();
    let content = noise(LARGE, 8);
    let (sender, receiver) = half_way(&server, &place, &content).await;
    sender.interrupt();
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    sent.failed(130, "cancelled");
    received.failed(4, "peer-cancelled");
    resumes(&server, &place, &content, &received).await;
}

#[tokio::test]
async fn ctrl_c_while_waiting_frees_the_room() {
    let server = Signaling::start();
    let place = Place::new();
    let file = place.file("in/a", "content");
    let mut sender = Peer::send(&server, &[&file]);
    let code = sender.code().await;
    sender.interrupt();
    sender.end().await.failed(130, "cancelled");
    let late = Peer::receive(&server, &code, &place.out(), &["--yes"]);
    late.end().await.failed(7, "no-such-room");
}

#[tokio::test]
async fn what_is_kept_is_discarded_when_asked() {
    let server = Signaling::start();
    let place = Place::new();
    let (sender, mut receiver) = half_way(&server, &place, &noise(LARGE, 9)).await;
    while receiver.event("progress").await["bytes"] == 0 {}
    sender.kill().await;
    let end = receiver.end().await;
    let id = end.last()["kept"]["id"].as_str().unwrap();
    let (out, partial) = (place.out(), end.last()["kept"]["path"].as_str().unwrap());
    let discard = async |words: &[&str]| {
        let place = ["--json", "--out", out.to_str().unwrap()];
        let words = [&["transfers", "discard"], words, &place].concat();
        command(&words).output().await.unwrap()
    };
    assert_eq!(discard(&["abcdefgh"]).await.status.code(), Some(2));
    assert!(Path::new(partial).is_dir());
    let discarded = discard(&[id]).await;
    let event: serde_json::Value = serde_json::from_slice(&discarded.stdout).unwrap();
    assert_eq!(
        (&event["event"], &event["id"]),
        (&"discarded".into(), &id.into())
    );
    assert!(!Path::new(partial).exists());
    // There is nothing left, which is as it was asked for.
    assert_eq!(discard(&["--all"]).await.status.code(), Some(0));
}
