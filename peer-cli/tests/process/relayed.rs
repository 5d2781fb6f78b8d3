//! Files through TURN servers, ours and coturn, and through a network that lets nothing else pass.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tokio::process::Command;

use crate::harness::{Peer, Place, command, digest, noise, root};
use crate::turn_servers::Turn;

/// What a session through a relay takes at most, from the receiver's start.
const CONNECTED: Duration = Duration::from_secs(3);

/// Makes a command of the words of one side.
type Starter<'a> = dyn Fn(&[&str]) -> Command + 'a;

/// A command that trusts the test's authority.
fn trusting(mut command: Command, turn: &Turn) -> Command {
    command.env("SSL_CERT_FILE", &turn.certificate.authority);
    command
}

/// Sends a file with the two commands that `start` makes of words, and checks how.
async fn send(start: [&Starter<'_>; 2], server: &str, more: &[&str], relay: &str) -> Duration {
    let place = Place::new();
    let content = noise(1 << 20, 7);
    let file = place.file("in/a", &content);
    let words = ["send-file", file.to_str().unwrap(), "--server", server];
    let mut sender = Peer::run(start[0](&[&words[..], more].concat()));
    let code = sender.code().await;
    let out = place.out();
    let words = [
        "receive-file",
        &code,
        "--yes",
        "--server",
        server,
        "--out",
        out.to_str().unwrap(),
    ];
    let started = Instant::now();
    let mut receiver = Peer::run(start[1](&[&words[..], more].concat()));
    let connected = receiver.event("connected").await;
    let took = started.elapsed();
    for event in [&connected, &sender.event("connected").await] {
        assert_eq!(
            (&event["path"], &event["relay"]),
            (&"relayed".into(), &relay.into()),
            "{event}"
        );
    }
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    sent.is_done();
    assert_eq!(received.is_done()["path"], "relayed");
    assert_eq!(
        digest(&std::fs::read(place.path("out/a")).unwrap()),
        digest(&content)
    );
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_gets_through_every_kind_of_turn_server() {
    for (name, turn) in [
        ("ours", Turn::ours(Ipv4Addr::LOCALHOST)),
        ("coturn", Turn::coturn().await),
    ] {
        for transport in ["udp", "tcp", "tls"] {
            let server = turn.signaling(Ipv4Addr::LOCALHOST, transport);
            let start = |words: &[&str]| trusting(command(words), &turn);
            let took = send([&start, &start], &server.url, &["--relay-only"], transport).await;
            println!("{name} over {transport}: connected in {took:?}");
        }
    }
}

#[tokio::test]
async fn without_a_relay_there_is_no_path_to_take() {
    let server = crate::harness::Signaling::start();
    let place = Place::new();
    let file = place.file("in/a", "content");
    let words = [
        "send-file",
        "--server",
        &server.url,
        "--relay-only",
        file.to_str().unwrap(),
    ];
    Peer::start(&words).end().await.failed(5, "no-relay");
    let mut sender = Peer::send(&server, &[&file]);
    let code = sender.code().await;
    let receiver = Peer::receive(&server, &code, &place.out(), &["--yes", "--relay-only"]);
    receiver.end().await.failed(5, "no-relay");
}

/// Two hosts whose only way out is TCP to two ports of ours: signaling, and TURN over TLS.
struct Walled {
    names: [String; 2],
}

/// Our address in front of both.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

impl Walled {
    fn new(ports: [u16; 2]) -> Self {
        let names = [1, 2].map(|n| format!("peerline-{}-{n}", std::process::id()));
        let walled = Self { names };
        for (n, name) in walled.names.iter().enumerate() {
            let (ours, theirs) = (format!("pl{}v{n}", std::process::id()), "eth0");
            // Each host has a network of four addresses with us in it; our own is above them.
            let (gateway, address) = (4 * n + 5, 4 * n + 6);
            root(&format!("ip netns add {name}"));
            root(&format!(
                "ip link add {ours} type veth peer name {theirs} netns {name}"
            ));
            root(&format!("ip addr add 198.51.100.{gateway}/30 dev {ours}"));
            root(&format!("ip link set {ours} up"));
            root(&format!(
                "ip -n {name} addr add 198.51.100.{address}/30 dev {theirs}"
            ));
            root(&format!("ip -n {name} link set lo up"));
            root(&format!("ip -n {name} link set {theirs} up"));
            root(&format!(
                "ip -n {name} route add default via 198.51.100.{gateway}"
            ));
            let [first, second] = ports;
            let rules = format!(
                "table inet wall {{
                    chain out {{ type filter hook output priority 0; policy drop;
                        oif lo accept; tcp dport {{ {first}, {second} }} accept; }}
                    chain in {{ type filter hook input priority 0; policy drop;
                        iif lo accept; ct state established accept; }}
                }}"
            );
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), rules).unwrap();
            root(&format!(
                "ip netns exec {name} nft -f {}",
                file.path().display()
            ));
        }
        walled
    }

    fn command(&self, host: usize, words: &[&str]) -> Command {
        let inner = command(words);
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.names[host]])
            .arg(inner.as_std().get_program())
            .args(inner.as_std().get_args())
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

impl Drop for Walled {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = std::process::Command::new("ip")
                .args(["netns", "del", name])
                .status();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_only_tls_gets_through_a_file_does() {
    // What the rules name must listen before there are rules, and so must our address.
    let _loopback = Outside::new();
    let turn = Turn::ours(OUTSIDE);
    let server = turn.signaling(OUTSIDE, "tls");
    let port = server.url.rsplit(':').next().unwrap().parse().unwrap();
    let walled = Walled::new([port, turn.tls_port()]);
    let start = [0, 1].map(|host| {
        let (walled, turn) = (&walled, &turn);
        move |words: &[&str]| trusting(walled.command(host, words), turn)
    });
    let took = send([&start[0], &start[1]], &server.url, &[], "tls").await;
    println!("through the wall: connected in {took:?}");
    assert!(took < CONNECTED, "{took:?}");
}

/// Our address in front of the hosts, whether there are any or not.
struct Outside;

impl Outside {
    fn new() -> Self {
        root("ip addr add 198.51.100.1/32 dev lo");
        Self
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let words = ["addr", "del", "198.51.100.1/32", "dev", "lo"];
        let _ = std::process::Command::new("ip").args(words).status();
    }
}
