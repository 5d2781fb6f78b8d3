//! Transfers that end well.

use std::fs;

use crate::harness::{Peer, Place, Signaling, command, digest, noise, snapshot};

#[tokio::test]
async fn one_file_arrives_and_both_sides_say_so() {
    let server = Signaling::start();
    let place = Place::new();
    let content = noise(3 << 20, 1);
    let file = place.file("in/report.pdf", &content);

    let mut sender = Peer::send(&server, &[&file]);
    let code = sender.event("code").await;
    assert_eq!(
        code["link"],
        format!("{}/#{}", server.url, code["code"].as_str().unwrap())
    );
    let code = code["code"].as_str().unwrap();
    let receiver = Peer::receive(&server, code, &place.out(), &["--yes"]);
    let (sent, received) = tokio::join!(sender.end(), receiver.end());

    for end in [&sent, &received] {
        let done = end.is_done();
        assert_eq!(done["bytes"], content.len());
        assert_eq!(done["files"], 1);
        assert_eq!(done["path"], "direct");
        assert!(done["seconds"].as_f64().unwrap() > 0.0 && done["rate"].as_f64().unwrap() > 0.0);
        let mut names = end.names();
        names.dedup();
        let peer = end
            .events
            .iter()
            .find(|event| event["event"] == "peer")
            .unwrap();
        assert!(
            peer["agent"].as_str().unwrap().starts_with("peer-cli/"),
            "{peer}"
        );
        assert_eq!(peer["engine"], "native");
        let connected = end
            .events
            .iter()
            .find(|event| event["event"] == "connected")
            .unwrap();
        assert_eq!(connected["path"], "direct");
        for field in ["local", "remote"] {
            assert!(connected[field].is_string(), "{connected}");
        }
        assert!(connected["rtt_ms"].is_number(), "{connected}");
    }
    // Progress may be told before or after the only file; the rest has one order.
    let order = |end: &crate::harness::End| {
        let mut names: Vec<String> = end.names().iter().map(|name| (*name).to_owned()).collect();
        names.retain(|name| name != "progress");
        names
    };
    assert_eq!(order(&sent), ["code", "peer", "connected", "file", "done"]);
    assert_eq!(
        order(&received),
        ["peer", "connected", "offer", "file", "done"]
    );
    assert!(sent.names().contains(&"progress") && received.names().contains(&"progress"));
    let digest_of = |end: &crate::harness::End| {
        end.events
            .iter()
            .find(|event| event["event"] == "file")
            .unwrap()["digest"]
            .clone()
    };
    assert_eq!(digest_of(&sent), digest_of(&received));
    // "ICE found a path" is left unsaid when DTLS is up a moment later.
    for phase in ["paired", "DTLS is up", "verified", "accepted"] {
        assert!(
            sent.stderr.contains(phase),
            "-v names {phase}:\n{}",
            sent.stderr
        );
        assert!(
            received.stderr.contains(phase),
            "-v names {phase}:\n{}",
            received.stderr
        );
    }
    assert_eq!(
        snapshot(&place.out()).len(),
        1,
        "no staging directory is left"
    );
    assert_eq!(fs::read(place.path("out/report.pdf")).unwrap(), content);
}

#[tokio::test]
async fn a_tree_and_files_beside_it_are_restored() {
    let server = Signaling::start();
    let place = Place::new();
    place.file("in/tree/deep/er/file", noise(100_000, 2));
    place.file("in/tree/empty file", "");
    place.file("in/tree/Grüße 写真 😀 \"'$(x)`.txt", "unusual");
    place.file("in/tree/-rf", "a name like an option");
    place.file("in/tree/.hidden", "hidden");
    fs::create_dir_all(place.path("in/tree/empty/nested")).unwrap();
    let many: Vec<_> = (0..50)
        .map(|n| place.file(&format!("in/many-{n}"), noise(n * 100, n as u64)))
        .collect();

    let tree = place.path("in/tree");
    let mut paths = vec![tree.as_path()];
    paths.extend(many.iter().map(|path| path.as_path()));
    let mut sender = Peer::send(&server, &paths);
    let code = sender.code().await;
    let receiver = Peer::receive(&server, &code, &place.path("out/new/deep"), &["--yes"]);
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    assert_eq!(sent.is_done()["files"], 55);
    assert_eq!(received.is_done()["files"], 55);
    assert_eq!(
        snapshot(&place.path("out/new/deep")),
        snapshot(&place.path("in"))
    );
}

#[tokio::test]
async fn sixty_four_mebibytes_are_the_same_on_both_sides() {
    let server = Signaling::start();
    let place = Place::new();
    let content = noise(64 << 20, 3);
    let file = place.file("in/large", &content);
    let mut sender = Peer::send(&server, &[&file]);
    let code = sender.code().await;
    let receiver = Peer::receive(&server, &code, &place.out(), &["--yes"]);
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    sent.is_done();
    received.is_done();
    assert_eq!(
        place.received()[std::path::Path::new("large")],
        digest(&content)
    );
    let mut last = 0;
    for progress in received
        .events
        .iter()
        .filter(|event| event["event"] == "progress")
    {
        let bytes = progress["bytes"].as_u64().unwrap();
        assert!(bytes >= last && bytes <= content.len() as u64, "{progress}");
        assert_eq!(progress["total"], content.len());
        last = bytes;
    }
    assert_eq!(last, content.len() as u64);
}

#[tokio::test]
async fn a_link_carries_its_server_and_an_environment_carries_the_code() {
    let server = Signaling::start();
    let place = Place::new();
    let file = place.file("in/a", "content");
    let mut sender = Peer::send(&server, &[&file]);
    let link = sender.event("code").await["link"]
        .as_str()
        .unwrap()
        .to_owned();
    let output = command(&[
        "receive-file",
        "--yes",
        "--out",
        place.out().to_str().unwrap(),
    ])
    .env("PEERLINE_CODE", link)
    .output()
    .await
    .unwrap();
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{talk}");
    assert!(output.stdout.is_empty(), "stdout is for results");
    for words in [
        "Connected: direct",
        "Offered: a (1 file, 7 B)",
        "Done: 1 file, 7 B in ",
    ] {
        assert!(talk.contains(words), "{words}:\n{talk}");
    }
    assert!(talk.trim_end().ends_with("direct"), "{talk}");
    sender.end().await.is_done();
}

#[tokio::test]
async fn words_to_compare_are_the_same_on_both_sides() {
    let server = Signaling::start();
    let place = Place::new();
    let file = place.file("in/a", "content");
    let words = [
        "send-file",
        "--verify",
        "--server",
        &server.url,
        file.to_str().unwrap(),
    ];
    let mut sender = Peer::start(&words);
    let code = sender.code().await;
    let mut receiver = Peer::receive(&server, &code, &place.out(), &["--yes", "--verify"]);
    let (here, there) = tokio::join!(sender.event("phrase"), receiver.event("phrase"));
    assert_eq!(here["phrase"], there["phrase"]);
    assert_eq!(here["phrase"].as_str().unwrap().split(' ').count(), 6);
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    sent.is_done();
    received.is_done();
}

#[tokio::test]
async fn what_is_excluded_stays_at_home() {
    let server = Signaling::start();
    let place = Place::new();
    for name in [
        "keep.txt",
        "draft.tmp",
        "built/program",
        "src/main.rs",
        ".git/HEAD",
    ] {
        place.file(&format!("project/{name}"), name);
    }
    place.file("project/.gitignore", "/built\n");
    let project = place.path("project");
    let words = [
        "send-file",
        "--server",
        &server.url,
        "--exclude",
        "*.tmp",
        "--gitignore",
        project.to_str().unwrap(),
    ];
    let mut sender = Peer::start(&words);
    let code = sender.code().await;
    let receiver = Peer::receive(&server, &code, &place.out(), &["--yes"]);
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    assert_eq!(sent.is_done()["files"], 3);
    received.is_done();
    let arrived = place.received();
    let arrived: Vec<&str> = arrived.keys().filter_map(|path| path.to_str()).collect();
    let expected = [
        "project",
        "project/.gitignore",
        "project/keep.txt",
        "project/src",
    ];
    assert_eq!(arrived[..4], expected);
    assert_eq!(arrived[4..], ["project/src/main.rs"]);
}

#[tokio::test]
async fn a_file_travels_over_as_many_lanes_as_asked_for() {
    let server = Signaling::start();
    let place = Place::new();
    let content = noise(64 << 20, 4);
    let file = place.file("in/large", &content);

    let file = file.to_str().unwrap();
    let mut sender = Peer::start(&["send-file", "--server", &server.url, "--lanes", "4", file]);
    let code = sender.code().await;
    let receiver = Peer::receive(&server, &code, &place.out(), &["--yes"]);
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    for end in [&sent, &received] {
        let done = end.is_done();
        assert_eq!(done["lanes"], 4, "{end:#?}");
        // Loopback carries what a DTLS record holds.
        assert_eq!(done["packet"], 16_376);
    }
    let arrived = fs::read(place.out().join("large")).unwrap();
    assert_eq!(digest(&arrived), digest(&content));
}
