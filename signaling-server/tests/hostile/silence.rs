//! Clients that say nothing more.

use crate::{
    common::{DEADLINE, TestServer},
    wire::{UPGRADE, answers, joined},
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

#[tokio::test]
async fn many_sockets_without_hello_are_closed() {
    let server = TestServer::with(|limits| limits.hello_timeout = Duration::from_millis(300)).await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(server.client().await);
    }
    for mut client in idle {
        client.refused("hello-timeout", 4408).await;
    }
    server.assert_serves().await;
}

#[tokio::test]
async fn a_half_open_connection_is_lost_after_the_idle_time() {
    let server = TestServer::with(|limits| limits.idle_timeout = Duration::from_millis(200)).await;
    let mut stream: TcpStream = server.raw().await;
    let mut bytes = format!("{UPGRADE}\r\n").into_bytes();
    bytes.extend(joined("r", &[]));
    stream.write_all(&bytes).await.unwrap();
    // Says nothing more and does not close, as if its last packets were dropped.
    let mut answer = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut answer))
        .await
        .expect("an end")
        .unwrap();
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap()
        + 4;
    assert_eq!(
        answers(&answer[end..]),
        (vec!["idle-timeout".to_owned()], Some(4408))
    );
}
