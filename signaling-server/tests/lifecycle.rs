//! Starting, stopping, and several servers side by side; as a library and as the program.
#![allow(clippy::unwrap_used)]

mod common;

use common::{
    Client, DEADLINE, TestServer, config,
    program::{Running, command, output},
};
use serde_json::json;
use signaling_server::{BindError, Config, Server};
use std::time::Duration;
use tokio::{net::TcpStream, time::timeout};

#[tokio::test]
async fn stopping_lets_a_pairing_finish() {
    let server = TestServer::with(|limits| limits.drain_grace = DEADLINE).await;
    let address = server.address;
    let (mut a, _) = server.joined("r").await;
    let (mut b, _) = server.joined("r").await;
    a.expect("peer-joined").await;
    let mut late = server.client().await;
    let mut plain = server.plain("/ws?room=r").await;
    a.expect("peer-joined").await;
    b.expect("peer-joined").await;

    let stopped = server.stop();
    for client in [&mut a, &mut b, &mut late] {
        let after = client.expect("draining").await["reconnectAfterMs"]
            .as_u64()
            .unwrap();
        assert!(after < 5000);
    }
    assert!(
        TcpStream::connect(address).await.is_err(),
        "nobody new is let in"
    );
    late.send(json!({ "type": "join", "room": "r" })).await;
    late.refused("draining", 4503).await;

    // Those who are there finish what they do; a plain peer only ever sees relays.
    a.send(json!({ "type": "chat", "content": "bye" })).await;
    assert_eq!(b.expect("chat").await["content"], "bye");
    assert_eq!(plain.expect("chat").await["content"], "bye");
    a.close().await;
    b.close().await;
    plain.close().await;
    // The last one out ends the server, long before the grace does.
    timeout(DEADLINE / 2, stopped).await.unwrap().unwrap();
}

#[tokio::test]
async fn stopping_closes_whoever_stays() {
    let server = TestServer::with(|limits| limits.drain_grace = Duration::from_millis(50)).await;
    let (mut member, _) = server.joined("r").await;
    let mut plain = server.plain("/ws?room=r").await;
    member.expect("peer-joined").await;
    let _silent = server.raw().await;
    let stopped = server.stop();
    member.expect("draining").await;
    // The plain peer may be gone first, which the member is told.
    let end = member.end().await;
    assert_eq!(
        (end.errors, end.close),
        (vec!["draining".to_owned()], Some(4503))
    );
    plain.refused("draining", 4503).await;
    timeout(DEADLINE, stopped).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_dropped_server_leaves_nothing_behind() {
    let server = TestServer::start().await;
    let (mut member, _) = server.joined("r").await;
    let mut waiting = server.client().await;
    server.abort();
    assert_eq!(member.end().await.close, Some(4503));
    assert_eq!(waiting.end().await.close, Some(4503));
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn two_servers_do_not_know_each_other() {
    let (one, two) = (TestServer::start().await, TestServer::start().await);
    assert_ne!(one.address, two.address);
    let (_a, _) = one.joined("r").await;
    let (_b, joined) = two.joined("r").await;
    assert_eq!(joined["peers"], json!([]));
}

#[tokio::test]
async fn a_taken_port_is_said_to_be_taken() {
    let server = TestServer::start().await;
    let again = Server::bind(Config {
        listen: server.address,
        ..config()
    });
    let error = again.expect_err("the port is taken");
    assert!(matches!(error, BindError::InUse { address } if address == server.address));
    assert!(error.to_string().contains("in use"));
}

#[tokio::test]
async fn the_unspecified_address_takes_ipv4() {
    let config = Config {
        listen: "[::]:0".parse().unwrap(),
        ..config()
    };
    let server = TestServer::with_config(config).await;
    let address = ("127.0.0.1", server.address.port());
    let stream = TcpStream::connect(address).await.unwrap();
    let mut client = Client::over(stream, "/ws").await;
    client.send(json!({ "type": "join", "room": "r" })).await;
    client.expect("joined").await;
}

#[cfg(unix)]
#[tokio::test]
async fn the_program_announces_itself_and_stops_on_signals() {
    use rustix::process::Signal;
    for signal in [Signal::INT, Signal::TERM] {
        let start = [
            "--listen",
            "127.0.0.1:0",
            "--json",
            "--stun",
            "stun:192.0.2.1",
        ];
        let mut program = Running::start(command(&start)).await;
        assert_eq!(program.event["event"], "listening");
        let mut client = Client::connect(program.address(), "/ws").await;
        client.send(json!({ "type": "join", "room": "r" })).await;
        let joined = client.expect("joined").await;
        assert_eq!(
            joined["iceServers"],
            json!([{ "urls": ["stun:192.0.2.1"] }])
        );

        program.signal(signal);
        client.expect("draining").await;
        client.close().await;
        let (code, rest) = program.ended().await;
        assert_eq!(code, Some(0));
        assert_eq!(rest, "", "one line and nothing else");
    }
}

#[tokio::test]
async fn the_program_refuses_what_it_cannot_do() {
    let server = TestServer::start().await;
    let taken = server.address.to_string();
    let rows: [(&[&str], i32, &str); 5] = [
        (&["--listen", &taken], 1, "in use"),
        (&["--listen", "nowhere"], 2, "nowhere"),
        (&["--origin", "example.org"], 2, "scheme://"),
        (&["--stun", "turn:x"], 2, "stun:host"),
        (&["--max-peers", "1"], 2, "2..=1000"),
    ];
    for (arguments, code, says) in rows {
        let (ended, _, error) = output(command(arguments)).await;
        assert_eq!(ended, code, "{arguments:?}: {error}");
        assert!(error.contains(says), "{arguments:?}: {error}");
    }
}
