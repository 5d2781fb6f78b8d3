//! `lab`: networks in namespaces, which take root, `ip` (package iproute2) and `nft` (package nftables).

use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::{sleep, timeout};

use crate::harness::{DEADLINE, command};

const KINDS: [&str; 9] = [
    "none",
    "full-cone",
    "restricted-cone",
    "cone",
    "symmetric",
    "double",
    "udp-blocked",
    "only443",
    "ipv6-only",
];

async fn lab(words: &[&str]) -> Output {
    let running = command(&[&["lab"], words].concat()).output();
    timeout(DEADLINE, running).await.expect("in time").unwrap()
}

/// The events of one that succeeds.
async fn events(words: &[&str]) -> Vec<Value> {
    let output = lab(words).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {text}{talk}");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A network that does something else than its name says ends the command.
#[tokio::test(flavor = "multi_thread")]
async fn every_network_does_what_its_name_says() {
    for pair in KINDS.chunks(2) {
        let (left, right) = (pair[0], *pair.last().unwrap());
        let words = [
            "nat", "--json", "--left", left, "--right", right, "--", "true",
        ];
        let events = events(&words).await;
        for (event, (side, network)) in events.iter().zip([("left", left), ("right", right)]) {
            assert_eq!(event["event"], "network", "{event}");
            assert_eq!(
                (&event["side"], &event["network"]),
                (&side.into(), &network.into())
            );
        }
        assert_eq!(events.len(), 2);
    }
}

/// One of each way: open to the other, by a relay over UDP and over TCP, and over IPv6. All pairs take minutes and
/// are `lab matrix` by itself.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_behind_networks_reach_each_other_as_they_should() {
    for (left, right, path) in [
        ("cone", "double", "direct"),
        ("symmetric", "restricted-cone", "direct"),
        ("symmetric", "cone", "relayed"),
        ("only443", "cone", "relayed"),
        ("ipv6-only", "none", "direct"),
        ("ipv6-only", "cone", "relayed"),
    ] {
        let events = events(&["nat", "--json", "--left", left, "--right", right]).await;
        let cell = events.last().unwrap();
        assert_eq!(
            (&cell["event"], &cell["path"]),
            (&"cell".into(), &path.into()),
            "{cell}"
        );
    }
}

/// A home's router that gets another address, one within another network, one that gives each destination a port of its
/// own, and one that lets nothing out but TCP: the line stands still for a moment, and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_survives_another_address_of_every_nat() {
    for (left, right) in [
        ("cone", "double"),
        ("symmetric", "full-cone"),
        ("udp-blocked", "cone"),
    ] {
        let words = [
            "nat", "--json", "--rebind", "1", "--left", left, "--right", right,
        ];
        let events = events(&words).await;
        let kinds: Vec<_> = events.iter().map(|event| &event["event"]).collect();
        assert_eq!(kinds, ["network", "network", "rebound", "cell"]);
        assert!(
            events[3]["message"].is_null(),
            "{left} {right}: {}",
            events[3]
        );
    }
    let script = r#"
        address() { ip -n "$($LEFT ip netns identify | sed 's/-left$/-left-router/')" -o -4 address show dev out; }
        first=$(address)
        until test "$(address)" != "$first"; do sleep 0.1; done
        until test "$(address)" = "$first"; do sleep 0.1; done"#;
    let output = lab(&["nat", "--rebind", "1", "--", "sh", "-c", script]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_way_both_sides_say_so() {
    let words = ["matrix", "--json", "--no-turn", "--kinds", "symmetric"];
    let events = events(&words).await;
    assert_eq!(
        (&events[0]["path"], &events[0]["expected"]),
        (&"nowhere".into(), &"nowhere".into())
    );
    assert_eq!(events[1]["failed"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_between_them_and_its_end_is_the_end() {
    let script = r#"
        test "$($LEFT ip -o -4 addr show dev out | grep -c 192.168.1.2)" = 1 || exit 3
        $RIGHT ip route get 198.51.100.2 | grep -q "via 192.168.2.1" || exit 4
        test "$LEFT_SERVER" = http://198.51.100.2:443 || exit 5
        exit 7"#;
    let output = lab(&["nat", "--", "sh", "-c", script]).await;
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    let missing = lab(&["nat", "--", "/no/such/program"]).await;
    assert_eq!(missing.status.code(), Some(9), "{missing:?}");
    let wrong = lab(&["nat", "--left", "conical"]).await;
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
}

/// Whenever it is stopped: while worlds are made, while they are used, and while they are removed.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_lab_that_is_stopped() {
    for cells in 0..3 {
        let words = [
            "lab",
            "matrix",
            "--json",
            "--kinds",
            "cone,none",
            "--jobs",
            "2",
        ];
        // As on a terminal: Ctrl-C is for all that it has started, too.
        let mut command = command(&words);
        let mut running = command
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let id = running.id().unwrap();
        let group = Pid::from_raw(id.cast_signed()).unwrap();
        let mut said = BufReader::new(running.stdout.take().unwrap()).lines();
        match cells {
            0 => {
                let made = async {
                    while spaces_of(id).is_empty() {
                        // The kernel tells nobody.
                        sleep(Duration::from_millis(1)).await;
                    }
                };
                timeout(DEADLINE, made).await.expect("in time");
            }
            cells => {
                for _ in 0..cells {
                    let line = timeout(DEADLINE, said.next_line()).await;
                    line.expect("in time").unwrap().expect("a cell");
                }
            }
        }
        kill_process_group(group, Signal::INT).unwrap();
        let ended = timeout(DEADLINE, running.wait()).await.expect("in time");
        assert_eq!(ended.unwrap().code(), Some(130));
        assert_eq!(spaces_of(id), Vec::<String>::new());
    }
}

fn spaces_of(process: u32) -> Vec<String> {
    let prefix = format!("peerline-{process}-");
    let Ok(spaces) = std::fs::read_dir("/run/netns") else {
        return Vec::new();
    };
    spaces
        .map(|space| space.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(&prefix))
        .collect()
}
