//! `record`: a file for everybody who was in the room, and an index of them.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::{Peer, Place, Signaling};
use crate::media_files::{check_sync, probe};

fn call(server: &Signaling, words: &[&str]) -> Peer {
    let fixed = ["call", "--room", "talk", "--server", &server.url];
    Peer::start(&[&fixed[..], words].concat())
}

const SENDING: [&str; 4] = ["--video", "test", "--audio", "test"];

fn index(out: &Path) -> Value {
    let text = fs::read(out.join("index.json")).expect("there is an index");
    serde_json::from_slice(&text).expect("JSON")
}

fn record(server: &Signaling, out: &Path) -> Peer {
    let out = out.to_str().expect("UTF-8");
    Peer::start(&[
        "record",
        "--room",
        "talk",
        "--server",
        &server.url,
        "--out",
        out,
    ])
}

#[tokio::test]
async fn everybody_is_recorded_from_when_they_come_until_they_leave() {
    let server = Signaling::start();
    let place = Place::new();
    let out = place.path("talk");
    let mut recorder = record(&server, &out);
    recorder.event("waiting").await;
    assert_eq!(index(&out)["participants"], Value::Array(vec![]));
    let long = [&SENDING[..], &["--duration", "9"]].concat();
    let long = call(&server, &long);
    let short = [&SENDING[..], &["--duration", "4"]].concat();
    let first = call(&server, &short).end().await;
    assert_eq!(first.code, Some(0), "{first:#?}");
    // Its file is complete while the others go on.
    let path = recorder.event("recorded").await["path"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(probe(Path::new(&path)).codecs, ["opus", "vp8"]);
    // Somebody comes back, as somebody else, and is killed.
    let mut again = call(&server, &SENDING);
    while again.event("track").await["direction"] != "in" {}
    let long = long.end().await;
    assert_eq!(long.code, Some(0), "{long:#?}");
    again.kill().await;
    recorder.interrupt();
    let end = recorder.end().await;
    assert_eq!(end.code, Some(0), "{end:#?}");
    let done = end.last();
    assert_eq!(
        (&done["event"], &done["participants"]),
        (&"record-done".into(), &3.into()),
        "{end:#?}"
    );

    let index = index(&out);
    assert_eq!(index["room"], "talk");
    assert!(index["ended"].as_f64().unwrap() > 9.0);
    let participants = index["participants"].as_array().unwrap();
    let mut lengths = Vec::new();
    for participant in participants {
        let there = participant["to"].as_f64().unwrap() - participant["from"].as_f64().unwrap();
        let files = participant["files"].as_array().unwrap();
        assert_eq!(files.len(), 1, "{participant}");
        let path = out.join(files[0]["name"].as_str().unwrap());
        let probed = probe(&path);
        assert_eq!(probed.codecs, ["opus", "vp8"]);
        let said = files[0]["seconds"].as_f64().unwrap();
        assert!(
            (probed.seconds - said).abs() < 0.3,
            "{} and {said} s",
            probed.seconds
        );
        assert!(
            probed.seconds < there + 0.5,
            "{} s of {there} s",
            probed.seconds
        );
        let rate = probed.pictures as f64 / probed.seconds;
        assert!(rate > 24.0, "{rate} pictures a second");
        lengths.push((probed.seconds, path));
    }
    lengths.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (longest, path) = lengths.last().unwrap();
    assert!((7.5..9.5).contains(longest), "{longest} s");
    check_sync(path);
}

#[tokio::test]
async fn what_is_in_the_way_is_said_before_the_room_is_entered() {
    let server = Signaling::start();
    let place = Place::new();
    place.file("talk/old.mkv", "precious");
    let end = record(&server, &place.path("talk")).end().await;
    end.failed(9, "local-io");
    assert!(!end.names().contains(&"waiting"), "{end:#?}");
    assert_eq!(fs::read(place.path("talk/old.mkv")).unwrap(), b"precious");
}
