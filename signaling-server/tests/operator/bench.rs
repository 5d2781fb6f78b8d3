//! `signaling-server bench`: small loads, whose figures must make sense whatever the machine does.

use crate::common::{
    TestServer,
    program::{command, output, output_within},
};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};

/// All rows together take 25 s on a quiet machine.
const LIMIT: Duration = Duration::from_secs(150);

const SMALL: [&str; 16] = [
    "bench",
    "--json",
    "--idle",
    "10",
    "--hold",
    "0",
    "--joins",
    "20",
    "--connections",
    "10",
    "--rate",
    "100",
    "--seconds",
    "1",
    "--slow",
    "300",
];

/// The figures by name.
fn figures(printed: &str) -> BTreeMap<String, f64> {
    let report: Value = serde_json::from_str(printed).unwrap();
    let figures = report["figures"].as_array().unwrap();
    figures
        .iter()
        .map(|figure| {
            let name = figure["name"].as_str().unwrap().to_owned();
            (name, figure["value"].as_f64().unwrap())
        })
        .collect()
}

fn check(figures: &BTreeMap<String, f64>) {
    for (name, least, most) in [
        ("connect_and_join", 1.0, 1e9),
        ("idle_held", 10.0, 10.0),
        ("join_p50", 0.001, 20_000.0),
        ("messages", 1.0, 1e9),
        ("message_p50", 0.001, 20_000.0),
        ("messages_lost", 0.0, 0.0),
        ("beside_slow_p99", 0.001, 5_000.0),
        ("beside_slow_lost", 0.0, 0.0),
    ] {
        let value = figures[name];
        assert!((least..=most).contains(&value), "{name}: {value}");
    }
}

#[tokio::test]
async fn a_server_of_its_own_is_measured_with_what_it_takes() {
    let (code, printed, error) = output_within(LIMIT, command(&SMALL)).await;
    assert_eq!(code, 0, "{error}");
    let figures = figures(&printed);
    check(&figures);
    // All that wanted in at a full server, twice 20 a second, were told so.
    assert!((figures["refused_server_full"] - 40.0).abs() < 1e-9);
    assert!((0.001..5_000.0).contains(&figures["overload_p99"]));
    assert!(figures["overload_lost"].abs() < 1e-9);
    if cfg!(target_os = "linux") {
        assert!(figures["idle_memory"] > 1.0);
        assert!(figures["cpu_per_1000"] >= 0.0);
        assert!(figures["slow_memory"] < 100.0, "{}", figures["slow_memory"]);
    }
}

#[tokio::test]
async fn a_server_that_runs_is_measured_from_outside() {
    let server = TestServer::start().await;
    let url = format!("http://{}", server.address);
    let mut there = command(&SMALL);
    // It is not full with so few.
    there.args([
        "--server", &url, "idle", "joins", "messages", "latency", "slow",
    ]);
    let (code, printed, error) = output_within(LIMIT, there).await;
    assert_eq!(code, 0, "{error}");
    let figures = figures(&printed);
    check(&figures);
    assert!(!figures.contains_key("idle_memory"), "nobody said whose");
    server.assert_serves().await;

    let (code, table, _) = output(command(&[
        "bench",
        "joins",
        "--idle",
        "0",
        "--seconds",
        "1",
        "--server",
        &url,
    ]))
    .await;
    assert_eq!(code, 0);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    assert!(lines[2].starts_with("join p99 "), "{table}");
}

#[tokio::test]
async fn what_cannot_be_measured_says_why() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = unused.local_addr().unwrap();
    drop(unused);
    for (arguments, code, reason) in [
        (vec!["--server", &format!("http://{address}")], 1, "refused"),
        (vec!["--server", "https://localhost"], 1, "only http"),
        (
            vec!["--connections", "2", "--rate", "1000000", "latency"],
            1,
            "--connections",
        ),
        (vec!["--connections", "1"], 2, "--connections"),
        (vec!["--pid", "1"], 2, "--server"),
        (vec!["everything"], 2, "everything"),
    ] {
        let mut program = command(&["bench"]);
        program.args(&arguments);
        let (ended, printed, error) = output(program).await;
        assert_eq!((ended, printed.as_str()), (code, ""), "{arguments:?}");
        assert!(error.contains(reason), "{arguments:?}: {error}");
    }
}
