//! `doctor`: what it says of a server that has everything, and of what is broken.

use std::net::{Ipv4Addr, UdpSocket};

use serde_json::Value;

use crate::harness::{End, Peer, Signaling, command};
use crate::turn_servers::Turn;

/// All of it, with what is tried after the server has answered.
const TOTAL_SECONDS: f64 = 10.0;

fn verdicts<'a>(end: &'a End, check: &str) -> Vec<(&'a str, &'a str)> {
    let of = |event: &&Value| event["event"] == "check" && event["check"] == check;
    let found = end.events.iter().filter(of);
    let text = |value: &'a Value| value.as_str().expect("text");
    found
        .map(|event| (text(&event["verdict"]), text(&event["message"])))
        .collect()
}

#[track_caller]
fn verdict(end: &End, check: &str, verdict: &str, words: &str) {
    let found = verdicts(end, check);
    let fits = |(level, message): &(&str, &str)| *level == verdict && message.contains(words);
    assert!(found.iter().any(fits), "{check}: {found:#?}\n{end:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_stun_and_turn_is_well() {
    let turn = Turn::ours(Ipv4Addr::LOCALHOST);
    for transport in ["udp", "tcp"] {
        let server = turn.signaling(Ipv4Addr::LOCALHOST, transport);
        let mut host = Peer::start(&["bench", "--server", &server.url]);
        let code = host.code().await;
        let end = Peer::start(&["doctor", "--server", &server.url, "--with", &code])
            .end()
            .await;
        let done = end.is_done();
        assert!(done["seconds"].as_f64().unwrap() < TOTAL_SECONDS, "{done}");
        verdict(&end, "server", "pass", "WebSocket");
        verdict(&end, "clock", "pass", "as the server's");
        verdict(&end, "page", "pass", "on this machine");
        verdict(&end, "turn", "pass", "relays, in");
        verdict(&end, "peer", "pass", "direct, to ");
        if transport == "udp" {
            verdict(&end, "nat", "pass", "none: others see 127.0.0.1:");
        }
        for check in ["interfaces", "mdns", "nat", "ffmpeg", "devices"] {
            assert_eq!(verdicts(&end, check).len(), 1, "{check}");
        }
        // The other side is told that it was not for measuring.
        assert_eq!(host.end().await.code, Some(4));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_relayed_says_why() {
    let turn = Turn::ours(Ipv4Addr::LOCALHOST);
    let server = turn.signaling(Ipv4Addr::LOCALHOST, "udp");
    let mut host = Peer::start(&["bench", "--server", &server.url]);
    let code = host.code().await;
    let words = [
        "doctor",
        "--server",
        &server.url,
        "--with",
        &code,
        "--relay-only",
    ];
    let end = Peer::start(&words).end().await;
    end.is_done();
    verdict(&end, "peer", "warn", "relayed over udp");
    verdict(&end, "peer", "warn", "because of --relay-only");
    host.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_is_named_with_what_to_do() {
    // Its port is nobody's any more.
    let gone = Signaling::start();
    let url = gone.url.clone();
    gone.kill().await;
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let stun = format!("stun:{}", silent.local_addr().unwrap());
    let end = Peer::start(&["doctor", "--server", &url, "--stun", &stun])
        .end()
        .await;
    let error = end.failed(7, "unhealthy");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .ends_with("failed: server"),
        "{error}"
    );
    verdict(&end, "server", "fail", "nothing listens there");
    verdict(&end, "nat", "warn", "no answer over UDP");
    verdict(&end, "turn", "warn", "no TURN server");

    let server = Signaling::start();
    let turn = Turn::ours(Ipv4Addr::LOCALHOST);
    let there = turn.signaling(Ipv4Addr::LOCALHOST, "udp");
    let wrong = turn.url("udp");
    let mut doctor = command(&[
        "doctor",
        "--server",
        &server.url,
        "--turn",
        &wrong,
        "--with",
        "7-crane-velvet-orbit",
    ]);
    doctor
        .env("PEERLINE_TURN_USER", "mallory")
        .env("PEERLINE_TURN_PASSWORD", "guess");
    let end = Peer::run(doctor).end().await;
    end.failed(5, "unhealthy");
    verdict(&end, "server", "pass", "WebSocket");
    verdict(&end, "turn", "fail", "answers and does not relay");
    verdict(&end, "peer", "fail", "");
    drop(there);
}

#[tokio::test]
async fn without_a_server_it_looks_at_one_of_its_own() {
    let output = command(&["doctor"]).output().await.unwrap();
    let (said, talk) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert_eq!(output.status.code(), Some(0), "{said}{talk}");
    assert!(
        said.contains("pass  server      http://") && said.contains("warn  nat "),
        "{said}"
    );
    assert!(talk.contains("Done: "), "{talk}");
    assert!(!said.contains('\x1b'));
}
