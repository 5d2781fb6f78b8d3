//! What breaks, and what cannot work.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::harness::*;
use crate::harness::{Peer, Signaling};

#[tokio::test]
async fn what_breaks_is_a_reset_and_never_looks_complete() {
    let server = Signaling::start();
    let breaking = self::server(async |mut socket| {
        let _ = socket.write_all(b"half").await;
        let mut request = [0; 4];
        let _ = socket.read_exact(&mut request).await;
        socket.set_zero_linger().unwrap();
    })
    .await;
    // A port that nobody listens on any more.
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    let services = [("breaking", breaking.as_str()), ("gone", &gone)];
    let mut tunnel = Tunnel::open(&server, &services, &[]).await;

    let mut socket = TcpStream::connect(tunnel.at("breaking")).await.unwrap();
    let mut half = [0; 4];
    within(socket.read_exact(&mut half)).await.unwrap();
    socket.write_all(b"more").await.unwrap();
    let error = within(socket.read(&mut half)).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    for side in [&mut tunnel.expose, &mut tunnel.connect] {
        assert_eq!(side.event("connection").await["state"], "broken");
    }

    // Whichever of its calls is the first to hear of it.
    let gone = within(exchange(tunnel.at("gone"), b"x")).await;
    assert!(gone.is_err());
    for side in [&mut tunnel.expose, &mut tunnel.connect] {
        let event = side.event("connection").await;
        assert_eq!(event["state"], "unreachable");
        assert!(
            event["message"].as_str().unwrap().contains("refused"),
            "{event}"
        );
    }
    tunnel.end().await;
}

#[tokio::test]
async fn who_is_killed_resets_what_was_open() {
    let server = Signaling::start();
    let echo = self::server(echo).await;
    let tunnel = Tunnel::open(&server, &[("echo", &echo)], &[]).await;
    let mut socket = TcpStream::connect(tunnel.at("echo")).await.unwrap();
    socket.write_all(b"here").await.unwrap();
    let mut answer = [0; 4];
    within(socket.read_exact(&mut answer)).await.unwrap();
    tunnel.expose.kill().await;
    let error = within(socket.read(&mut answer)).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let end = tunnel.connect.end().await;
    assert_eq!(
        (end.code, &end.last()["event"]),
        (Some(4), &"error".into()),
        "{end:#?}"
    );
}

#[tokio::test]
async fn what_cannot_work_is_said_at_once() {
    for words in [
        &["expose"][..],
        &["expose", "nonsense"],
        &["expose", "0.0.0.0:80"],
        &["expose", "22", "80", "--name", "only-one"],
        &["expose", "22", "localhost:22"],
        &[
            "connect",
            "7-crane-velvet-orbit",
            "--listen",
            "example.org:80",
        ],
    ] {
        let end = Peer::start(words).end().await;
        assert_eq!(end.code, Some(2), "{words:?}: {end:#?}");
    }
}

#[tokio::test]
async fn what_is_not_exposed_cannot_be_listened_for() {
    let server = Signaling::start();
    for (listen, message) in [
        ("ssh=0", "exposes no 'ssh', but a, b"),
        ("0", "exposes several: a, b"),
    ] {
        let words = [
            "expose",
            "1",
            "2",
            "--name",
            "a",
            "--name",
            "b",
            "--server",
            &server.url,
        ];
        let mut expose = Peer::start(&words);
        let code = expose.code().await;
        let words = [
            "connect",
            &code,
            "--server",
            &server.url,
            "--listen",
            listen,
        ];
        let (expose, connect) = tokio::join!(expose.end(), Peer::start(&words).end());
        let error = connect.failed(2, "usage");
        assert!(
            error["message"].as_str().unwrap().contains(message),
            "{error}"
        );
        assert_ne!(expose.code, Some(0), "{expose:#?}");
    }
}
