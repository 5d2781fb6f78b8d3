//! Many connections over one line.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::harness::*;
use crate::harness::{Signaling, noise};

#[tokio::test(flavor = "multi_thread")]
async fn many_connections_at_once_and_one_that_does_not_read() {
    const CONNECTIONS: u64 = 200;
    const LENGTH: usize = 256 << 10;
    let server = Signaling::start();
    let echo = self::server(echo).await;
    let flood = self::server(async |mut socket| {
        let piece = noise(1 << 20, 0);
        while socket.write_all(&piece).await.is_ok() {}
    })
    .await;
    let services = [("echo", echo.as_str()), ("flood", &flood)];
    let mut tunnel = Tunnel::open(&server, &services, &[]).await;
    let mut stalled = TcpStream::connect(tunnel.at("flood")).await.unwrap();
    within(stalled.read_exact(&mut [0; 1000])).await.unwrap();
    let mut connections = JoinSet::new();
    for number in 0..CONNECTIONS {
        let to = tunnel.at("echo");
        connections.spawn(async move {
            let content = noise(LENGTH, number);
            let answer = within(exchange(to, &content)).await.unwrap();
            assert!(answer == content, "connection {number}");
        });
    }
    while let Some(done) = connections.join_next().await {
        done.unwrap();
    }
    // It waited, and nothing of it is lost.
    let mut more = vec![0; 4 << 20];
    within(stalled.read_exact(&mut more)).await.unwrap();
    tunnel.ended(CONNECTIONS, CONNECTIONS).await;
    drop(stalled);
    for end in tunnel.end().await {
        let done = end.last();
        assert!(done["connections"].as_u64() >= Some(CONNECTIONS), "{done}");
    }
}
