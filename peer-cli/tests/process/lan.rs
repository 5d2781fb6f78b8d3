//! Two hosts on one wire, which know nothing of each other: network namespaces, so these tests need
//! root and `ip` (package iproute2).

use std::path::Path;
use std::process::Command;

use crate::harness::{Peer, Place, clean, digest, noise};

/// Two hosts, `10.77.0.1` and `10.77.0.2`, gone with this value.
struct Lan {
    hosts: [String; 2],
}

fn ip(words: &str) {
    let output = Command::new("ip")
        .args(words.split(' '))
        .output()
        .expect("`ip` runs (package iproute2)");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "ip {words} (needs root): {complaint}"
    );
}

impl Lan {
    fn new(name: &str) -> Self {
        let unique = format!("peerline-{}-{name}", std::process::id());
        let lan = Self {
            hosts: [format!("{unique}-1"), format!("{unique}-2")],
        };
        for host in &lan.hosts {
            ip(&format!("netns add {host}"));
        }
        let [one, two] = &lan.hosts;
        ip(&format!(
            "link add wire netns {one} type veth peer name wire netns {two}"
        ));
        for (number, host) in (1..).zip(&lan.hosts) {
            ip(&format!("-n {host} link set lo up"));
            ip(&format!("-n {host} addr add 10.77.0.{number}/24 dev wire"));
            ip(&format!("-n {host} link set wire up"));
            // Multicast goes where the default route goes.
            ip(&format!("-n {host} route add default dev wire"));
        }
        lan
    }

    /// `peer-cli WORDS...` on one of the hosts.
    fn peer(&self, host: usize, words: &[&str]) -> Peer {
        let program = env!("CARGO_BIN_EXE_peer-cli");
        let mut all = vec!["ip", "netns", "exec", &self.hosts[host], program];
        all.extend(words);
        Peer::run(clean(&all))
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for host in &self.hosts {
            // What is missing was never made.
            let _ = Command::new("ip").args(["netns", "del", host]).output();
        }
    }
}

#[tokio::test]
async fn a_sender_on_the_lan_is_found_by_its_code_alone() {
    let lan = Lan::new("mdns");
    let place = Place::new();
    let content = noise(3 << 20, 1);
    let file = place.file("photo.jpg", &content);
    let mut sender = lan.peer(0, &["send-file", file.to_str().unwrap()]);
    let code = sender.code().await;
    let out = place.out();
    let words = [
        "receive-file",
        &code,
        "--yes",
        "--out",
        out.to_str().unwrap(),
    ];
    let received = lan.peer(1, &words).end().await;
    received.is_done();
    sender.end().await.is_done();
    let connected = received
        .events
        .iter()
        .find(|event| event["event"] == "connected");
    let connected = connected.expect("connected");
    assert_eq!(connected["path"], "direct");
    assert_eq!(place.received()[Path::new("photo.jpg")], digest(&content));
}

#[tokio::test]
async fn nobody_on_the_lan_has_the_code() {
    let lan = Lan::new("nobody");
    let place = Place::new();
    let out = place.out();
    let words = [
        "receive-file",
        "7-crane-canoe-zone",
        "--yes",
        "--out",
        out.to_str().unwrap(),
    ];
    let end = lan.peer(1, &words).end().await;
    assert_eq!(end.code, Some(7), "{end:#?}");
    assert!(place.received().is_empty());
}
