//! `forward`: terminals in an open room that see each other through it, and each other again when it leaves.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use signaling_server::Config;

use crate::harness::{End, Peer, Signaling, clean, command};

fn start(server: &Signaling, command: &str, words: &[&str]) -> Peer {
    let fixed = [command, "--room", "talk", "--server", &server.url];
    Peer::start(&[&fixed[..], words].concat())
}

const SENDING: [&str; 4] = ["--video", "test", "--audio", "test"];
const SILENT: [&str; 4] = ["--video", "none", "--audio", "none"];

#[track_caller]
fn frames(end: &End, direction: &str, kind: &str) -> u64 {
    assert_eq!(end.code, Some(0), "{end:#?}");
    assert_eq!(end.last()["event"], "call-done", "{end:#?}");
    end.last()[direction][kind]["frames"].as_u64().unwrap()
}

async fn started(peer: &mut Peer, direction: &str, times: usize) {
    for _ in 0..times {
        loop {
            let track = peer.event("track").await;
            if track["direction"] == direction && track["state"] == "started" {
                break;
            }
        }
    }
}

fn said(end: &End, name: &str, state: &str) -> usize {
    let matches = |event: &&Value| event["event"] == name && event["state"] == state;
    end.events.iter().filter(matches).count()
}

#[tokio::test]
async fn everybody_in_the_room_gets_what_the_others_send() {
    let server = Signaling::start();
    let mut forward = start(&server, "forward", &[]);
    forward.event("waiting").await;
    let mut publisher = start(&server, "call", &SENDING);
    publisher.event("connected").await;
    let mut first = start(&server, "call", &SENDING);
    // Two of the other, which has two of this one by then.
    started(&mut first, "in", 2).await;
    started(&mut publisher, "in", 2).await;
    let late = [&SILENT[..], &["--duration", "4"]].concat();
    let mut late = start(&server, "call", &late);
    started(&mut late, "in", 4).await;
    let late = late.end().await;
    // Both pictures and both sounds, for nearly all of the time.
    assert!(frames(&late, "received", "video") > 150, "{late:#?}");
    assert!(frames(&late, "received", "audio") > 250, "{late:#?}");
    publisher.interrupt();
    first.interrupt();
    assert_eq!(publisher.end().await.code, Some(130));
    assert_eq!(first.end().await.code, Some(130));
    while forward.event("participant").await["state"] != "left" {}
    forward.interrupt();
    let end = forward.end().await;
    assert_eq!(end.code, Some(0), "{end:#?}");
    let done = end.last();
    assert_eq!(done["event"], "forward-done");
    assert!(done["sent"].as_u64() > done["received"].as_u64(), "{done}");
    assert_eq!(done["dropped"], 0);
    assert_eq!(said(&end, "participant", "joined"), 3);
    assert_eq!(said(&end, "track", "started"), 4);
}

#[tokio::test]
async fn a_call_goes_through_a_forwarder_that_comes_and_on_without_it_when_it_leaves() {
    let server = Signaling::start();
    let mut first = start(&server, "call", &SENDING);
    first.event("waiting").await;
    let mut second = start(&server, "call", &SENDING);
    started(&mut first, "in", 2).await;
    started(&mut second, "in", 2).await;
    let mut forward = start(&server, "forward", &[]);
    for _ in 0..2 {
        while forward.event("participant").await["state"] != "joined" {}
    }
    started(&mut first, "in", 2).await;
    started(&mut second, "in", 2).await;
    forward.interrupt();
    let end = forward.end().await;
    assert_eq!(end.code, Some(0), "{end:#?}");
    started(&mut first, "in", 2).await;
    started(&mut second, "in", 2).await;
    second.interrupt();
    second.end().await;
    let first = first.end().await;
    assert_eq!(first.last()["reason"], "peer-hung-up", "{first:#?}");
    // Pictures begin at a key frame, which may be half a second away.
    assert!(frames(&first, "received", "audio") > 0);
}

/// Its clock has run since it was opened, and whoever is met next hears it all the same.
#[tokio::test]
async fn a_live_source_goes_on_with_whoever_is_met_next() {
    let server = Signaling::start();
    let mut forward = start(&server, "forward", &[]);
    forward.event("waiting").await;
    let live = [
        "ffmpeg",
        "-loglevel",
        "error",
        "-re",
        "-f",
        "lavfi",
        "-i",
        "sine",
        "-c:a",
        "libopus",
        "-page_duration",
        "20000",
        "-f",
        "ogg",
        "-",
    ];
    let mut live = clean(&live).spawn().unwrap();
    let sound: Stdio = live.stdout.take().unwrap().try_into().unwrap();
    let words = [
        "call",
        "--room",
        "talk",
        "--server",
        &server.url,
        "--video",
        "none",
        "--audio",
        "-",
    ];
    let mut publisher = command(&words);
    publisher.stdin(sound);
    let mut publisher = Peer::run(publisher);
    publisher.event("connected").await;
    let brief = [&SILENT[..], &["--duration", "6"]].concat();
    let brief = start(&server, "call", &brief).end().await;
    assert!(frames(&brief, "received", "audio") > 200, "{brief:#?}");
    let next = [&SILENT[..], &["--duration", "8"]].concat();
    let mut next = start(&server, "call", &next);
    started(&mut next, "in", 1).await;
    forward.interrupt();
    forward.end().await;
    started(&mut next, "in", 1).await;
    let next = next.end().await;
    assert!(frames(&next, "received", "audio") > 250, "{next:#?}");
    publisher.interrupt();
    publisher.end().await;
}

/// Two terminals that see each other through a forwarder.
async fn forwarded(server: &Signaling) -> (Peer, [Peer; 2]) {
    let mut forward = start(server, "forward", &[]);
    forward.event("waiting").await;
    let mut first = start(server, "call", &SENDING);
    first.event("connected").await;
    let mut second = start(server, "call", &SENDING);
    started(&mut first, "in", 2).await;
    started(&mut second, "in", 2).await;
    (forward, [first, second])
}

#[tokio::test]
async fn a_killed_forwarder_is_followed_by_another_one_at_once() {
    let server = Signaling::start();
    let (forward, [mut first, mut second]) = forwarded(&server).await;
    forward.kill().await;
    let killed = Instant::now();
    let mut next = start(&server, "forward", &[]);
    for _ in 0..2 {
        while next.event("participant").await["state"] != "joined" {}
    }
    assert!(
        killed.elapsed() < Duration::from_secs(5),
        "{:?}",
        killed.elapsed()
    );
    started(&mut first, "in", 2).await;
    started(&mut second, "in", 2).await;
    next.interrupt();
    assert_eq!(next.end().await.code, Some(0));
}

#[tokio::test]
async fn terminals_meet_each_other_when_their_forwarder_was_killed() {
    let server = Signaling::start();
    let (forward, [mut first, mut second]) = forwarded(&server).await;
    forward.kill().await;
    let killed = Instant::now();
    started(&mut first, "in", 2).await;
    started(&mut second, "in", 2).await;
    // Its path is lost after 30 s; the server gives its place away after 120.
    assert!(
        killed.elapsed() < Duration::from_secs(60),
        "{:?}",
        killed.elapsed()
    );
}

#[tokio::test]
async fn a_forwarder_and_its_calls_outlive_the_server() {
    let server = Signaling::start();
    let listen = server.url.trim_start_matches("http://").parse().unwrap();
    let (forward, [first, second]) = forwarded(&server).await;
    server.kill().await;
    let server = Signaling::with(Config {
        listen,
        ..Config::default()
    });
    // Both are still connected, and the forwarder is in the room again, under its name.
    let late = [&SILENT[..], &["--duration", "4"]].concat();
    let mut late = start(&server, "call", &late);
    // It was there first, so that the forwarder calls it: sound and pictures of both.
    started(&mut late, "in", 4).await;
    let late = late.end().await;
    assert!(frames(&late, "received", "audio") > 100, "{late:#?}");
    for peer in [first, second] {
        peer.interrupt();
        assert_eq!(peer.end().await.code, Some(130));
    }
    forward.interrupt();
    let end = forward.end().await;
    assert_eq!(end.code, Some(0), "{end:#?}");
    assert_eq!(said(&end, "participant", "joined"), 3);
}

#[tokio::test]
async fn a_room_has_one_forwarder() {
    let server = Signaling::start();
    let mut forward = start(&server, "forward", &["--duration", "60"]);
    forward.event("waiting").await;
    let other = start(&server, "forward", &[]).end().await;
    other.failed(2, "forwarder-there");
    forward.interrupt();
    forward.end().await;
}
