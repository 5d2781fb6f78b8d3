//! Transfers between two hosts whose network goes away, comes back, and changes.

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::harness::{End, Peer, Place, command, digest, noise, root};

/// Bytes a second that the wire between the hosts carries, and what is sent over it: enough to be in the
/// middle when something happens.
const RATE: &str = "64mbit";
const LARGE: usize = 48 << 20;

/// The address of the sender, and of the signaling server in it, whatever is between the hosts.
const SENDER: Ipv4Addr = Ipv4Addr::new(10, 250, 0, 1);

/// A host for the sender and one for the receiver, in namespaces of their own, and a wire between them.
struct Hosts {
    names: [String; 2],
    wires: u8,
}

impl Hosts {
    fn new() -> Self {
        let names = ["s", "r"].map(|side| format!("peerline-{}-{side}", unique()));
        let mut hosts = Self { names, wires: 0 };
        for name in &hosts.names {
            root(&format!("ip netns add {name}"));
            root(&format!("ip -n {name} link set lo up"));
        }
        let [sender, _] = &hosts.names;
        root(&format!("ip -n {sender} addr add {SENDER}/32 dev lo"));
        hosts.connect();
        hosts
    }

    /// Another wire, with other addresses.
    fn connect(&mut self) {
        self.wires += 1;
        let ([sender, receiver], n) = (&self.names, self.wires);
        root(&format!(
            "ip -n {sender} link add wire{n} type veth peer name wire{n} netns {receiver}"
        ));
        for (name, host) in [(sender, 1), (receiver, 2)] {
            root(&format!(
                "ip -n {name} addr add 10.250.{n}.{host}/24 dev wire{n}"
            ));
            root(&format!("ip -n {name} link set wire{n} up"));
            root(&format!(
                "tc -n {name} qdisc add dev wire{n} root tbf rate {RATE} burst 256k latency 50ms"
            ));
        }
        root(&format!(
            "ip -n {receiver} route add default via 10.250.{n}.1"
        ));
    }

    /// Takes the newest wire away, and the receiver's address with it.
    fn disconnect(&self) {
        let ([sender, _], n) = (&self.names, self.wires);
        root(&format!("ip -n {sender} link del wire{n}"));
    }

    /// From now on nothing arrives that the other host sends, and nobody is told.
    fn silence(&self) {
        for name in &self.names {
            let rules = "table inet outage {
                chain in { type filter hook input priority 0; policy drop; iif lo accept; }
            }";
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), rules).unwrap();
            root(&format!(
                "ip netns exec {name} nft -f {}",
                file.path().display()
            ));
        }
    }

    fn end_silence(&self) {
        for name in &self.names {
            root(&format!(
                "ip netns exec {name} nft delete table inet outage"
            ));
        }
    }

    fn start(&self, host: usize, words: &[&str]) -> Peer {
        let inner = command(words);
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.names[host]])
            .arg(inner.as_std().get_program())
            .args(inner.as_std().get_args())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Peer::run(command)
    }

    /// A transfer of which some has arrived and not all.
    async fn half_way(&self, place: &Place, content: &[u8]) -> [Peer; 2] {
        let file = place.file("in/large", content);
        let mut sender = self.start(0, &["send-file", file.to_str().unwrap()]);
        let listening = sender.event("listening").await;
        let port = listening["server"].as_str().unwrap().rsplit(':').next();
        let server = format!("http://{SENDER}:{}", port.unwrap());
        let code = sender.code().await;
        let out = place.out();
        let words = ["receive-file", &code, "--yes", "--server", &server, "--out"];
        // So that some of it is left on a fast machine, too.
        let words = [&words[..], &[out.to_str().unwrap(), "--limit", "16MiB"]].concat();
        let mut receiver = self.start(1, &words);
        let progress = receiver.event("progress").await;
        assert!(
            progress["bytes"].as_u64().unwrap() < content.len() as u64,
            "{progress}"
        );
        [sender, receiver]
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = std::process::Command::new("ip")
                .args(["netns", "del", name])
                .status();
        }
    }
}

/// A name for each test of each process.
fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}o{next}", std::process::id())
}

/// Both said that they were interrupted and are connected again, and neither had to be started again.
async fn heals(place: &Place, content: &[u8], peers: [Peer; 2]) {
    let [sender, receiver] = peers;
    let ends: [End; 2] = tokio::join!(sender.end(), receiver.end()).into();
    for end in &ends {
        end.is_done();
        let names = end.names();
        let at = |name| names.iter().position(|other| *other == name);
        let (interrupted, back) = (at("interrupted"), at("reconnected"));
        assert!(interrupted.is_some() && interrupted < back, "{end:#?}");
        for event in &end.events {
            match event["event"].as_str() {
                Some("reconnected") => {
                    println!("{event}");
                    assert_eq!(event["path"], "direct", "{event}");
                }
                Some("interrupted") => {
                    let left = event["seconds_left"].as_u64().unwrap();
                    assert!((1..=120).contains(&left), "{event}");
                }
                _ => {}
            }
        }
    }
    assert_eq!(
        place.received()[std::path::Path::new("large")],
        digest(content)
    );
    assert_eq!(place.received().len(), 1, "nothing else is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_goes_on_after_an_outage_of_40_s() {
    let hosts = Hosts::new();
    let place = Place::new();
    let content = noise(LARGE, 11);
    let peers = hosts.half_way(&place, &content).await;
    hosts.silence();
    // Not a wait for something to happen: this is how long the network is gone.
    tokio::time::sleep(Duration::from_secs(40)).await;
    hosts.end_silence();
    heals(&place, &content, peers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_goes_on_under_another_address() {
    let mut hosts = Hosts::new();
    let place = Place::new();
    let content = noise(LARGE, 12);
    let peers = hosts.half_way(&place, &content).await;
    hosts.disconnect();
    hosts.connect();
    heals(&place, &content, peers).await;
}

async fn hears(peer: &mut Peer) {
    loop {
        let track = peer.event("track").await;
        if (&track["direction"], &track["state"]) == (&"in".into(), &"started".into()) {
            return;
        }
    }
}

/// The server cannot be reached for a while after the line was given up, and that is no reason to leave.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_a_room_comes_back_after_an_outage_of_50_s() {
    let hosts = Hosts::new();
    let mut forward = hosts.start(0, &["forward", "--room", "talk"]);
    let listening = forward.event("listening").await;
    let port = listening["server"].as_str().unwrap().rsplit(':').next();
    let server = format!("http://{SENDER}:{}", port.unwrap());
    forward.event("waiting").await;
    let words = [
        "call", "--room", "talk", "--server", &server, "--video", "none", "--audio", "test",
    ];
    let mut near = hosts.start(0, &words);
    near.event("connected").await;
    let mut far = hosts.start(1, &words);
    hears(&mut far).await;
    hears(&mut near).await;
    hosts.silence();
    // Not a wait for something to happen: this is how long the network is gone.
    tokio::time::sleep(Duration::from_secs(50)).await;
    hosts.end_silence();
    hears(&mut far).await;
    hears(&mut near).await;
    for peer in [far, near, forward] {
        peer.interrupt();
        let end = peer.end().await;
        assert!(matches!(end.code, Some(0 | 130)), "{end:#?}");
    }
}
