//! UDP.

use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::harness::*;
use crate::harness::{Signaling, noise};

/// Answers each datagram with its bytes in reverse, as long as somebody asks.
async fn name_server() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            buffer[..length].reverse();
            let _ = socket.send_to(&buffer[..length], from).await;
        }
    });
    address
}

/// Asks as a resolver does: again, until there is an answer to this question.
async fn resolve(socket: &UdpSocket, question: &[u8]) {
    const PATIENCE: Duration = Duration::from_secs(1);
    let answer: Vec<u8> = question.iter().rev().copied().collect();
    let mut buffer = vec![0; 65_536];
    let asking = async {
        loop {
            socket.send(question).await.unwrap();
            while let Ok(received) = timeout(PATIENCE, socket.recv(&mut buffer)).await {
                // A whole datagram, never a part or two.
                let received = &buffer[..received.unwrap()];
                if received == answer {
                    return;
                }
            }
        }
    };
    within(asking).await;
}

#[tokio::test]
async fn datagrams_keep_their_boundaries_and_find_their_way_back() {
    let server = Signaling::start();
    let names = [name_server().await, name_server().await];
    let names = names.map(|address| format!("udp:{address}"));
    let services = [("dns", names[0].as_str()), ("other", &names[1])];
    let tunnel = Tunnel::open(&server, &services, &[]).await;
    let mut asking = JoinSet::new();
    for number in 0..8_u8 {
        let to = tunnel.at(if number % 2 == 0 { "dns" } else { "other" });
        asking.spawn(async move {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            socket.connect(to).await.unwrap();
            for length in [1, 40, 512, 1400, 9000, 60_000] {
                let mut question = noise(length, u64::from(number));
                question[0] = number;
                resolve(&socket, &question).await;
            }
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked.unwrap();
    }
    tunnel.end().await;
}
