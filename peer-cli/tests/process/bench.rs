//! `bench` between two processes.

use crate::harness::{Peer, Signaling, clean, command};

#[tokio::test]
async fn both_sides_measure_and_tell_the_same() {
    let server = Signaling::start();
    let mut host = Peer::start(&["bench", "--server", &server.url]);
    let code = host.event("code").await;
    let typed = code["command"].as_str().unwrap();
    assert!(typed.starts_with("peer-cli bench "), "{typed}");
    let code = code["code"].as_str().unwrap();
    let guest = Peer::start(&[
        "bench",
        code,
        "--server",
        &server.url,
        "--duration",
        "0.1",
        "--lanes",
        "1,3",
    ]);
    let (host, guest) = tokio::join!(host.end(), guest.end());

    let rows = |end: &crate::harness::End, flip: bool| -> Vec<String> {
        end.events
            .iter()
            .filter(|event| event["event"] == "throughput")
            .map(|event| {
                assert!(event["rate"].as_f64().unwrap() > 0.0, "{event}");
                assert!(event["seconds"].as_f64().unwrap() > 0.0, "{event}");
                assert!(event["loaded"]["p99_ms"].is_number(), "{event}");
                let to = (event["direction"] == "to") != flip;
                let way = if to { "up" } else { "down" };
                format!("{way} {} {}", event["lanes"], event["packet"])
            })
            .collect()
    };
    for end in [&host, &guest] {
        let done = end.is_done();
        assert_eq!(done["measurements"], 9, "{end:#?}");
        assert!(done["rate"].as_f64().unwrap() > 0.0 && done["bytes"].as_u64().unwrap() > 0);
        assert_eq!(done["path"], "direct");
        let latency = end.events.iter().find(|event| event["event"] == "latency");
        assert!(latency.unwrap()["samples"].as_u64().unwrap() > 0);
    }
    let expected = [
        "up 1 16376",
        "down 1 16376",
        "up 3 16376",
        "down 3 16376",
        "up 1 1472",
        "down 1 1472",
        "up 1 1228",
        "down 1 1228",
    ];
    assert_eq!(rows(&guest, false), expected);
    assert_eq!(rows(&host, true), expected);
}

#[tokio::test]
async fn people_get_a_table_on_stdout_and_the_rest_on_stderr() {
    let server = Signaling::start();
    let mut host = Peer::start(&["bench", "--server", &server.url]);
    let code = host.code().await;
    let words = [
        "bench",
        &code,
        "--server",
        &server.url,
        "--duration",
        "0.1",
        "--lanes",
        "1",
    ];
    let guest = command(&words).output();
    let (host, guest) = tokio::join!(host.end(), guest);
    host.is_done();
    let guest = guest.unwrap();
    assert_eq!(guest.status.code(), Some(0));
    let table = String::from_utf8(guest.stdout).unwrap();
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 8, "{table}");
    assert!(
        lines[0].ends_with("p99") && lines[1].starts_with("idle "),
        "{table}"
    );
    assert!(
        lines[2].starts_with("to the other side        1   16376"),
        "{table}"
    );
    assert!(
        lines[3].contains(" MiB/s ") || lines[3].contains(" GiB/s "),
        "{table}"
    );
    let talk = String::from_utf8(guest.stderr).unwrap();
    assert!(talk.contains("Done: 7 measurements, "), "{talk}");
}

#[tokio::test]
async fn who_does_not_measure_is_told_so() {
    let server = Signaling::start();
    let mut host = Peer::start(&["bench", "--server", &server.url]);
    let code = host.code().await;
    let guest = Peer::start(&["receive-file", &code, "--server", &server.url, "--yes"]);
    let (host, guest) = tokio::join!(host.end(), guest.end());
    for (end, message) in [
        (&host, "the other side wants to receive files, too"),
        (&guest, "the other side wants to measure the line"),
    ] {
        let error = end.last();
        assert_eq!(error["event"], "error", "{end:#?}");
        // The one who is slower may hear of it from the other.
        assert!(
            error["message"] == message || error["code"].as_str().unwrap().starts_with("peer-"),
            "{error}"
        );
    }
    assert!([&host, &guest].iter().any(|end| end.code == Some(2)));
}

#[tokio::test]
async fn options_on_the_wrong_side_are_refused_before_anything_is_opened() {
    for words in [&["--duration", "1"][..], &["--lanes", "2"]] {
        let mut all = vec![env!("CARGO_BIN_EXE_peer-cli"), "bench"];
        all.extend(words);
        let output = clean(&all).output().await.unwrap();
        assert_eq!(output.status.code(), Some(2));
        let talk = String::from_utf8(output.stderr).unwrap();
        assert!(
            talk.contains("are for the side that is given the code"),
            "{talk}"
        );
        assert!(output.stdout.is_empty());
    }
}
