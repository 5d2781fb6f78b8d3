//! Connections that are cut behind any byte.

use crate::common::{
    Client, TestServer,
    line::{Kind, Line},
};
use serde_json::json;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A proxy that passes on a given number of bytes in one direction and then resets both sides.
async fn proxy(server: SocketAddr, up: usize, down: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        drop(listener);
        let mut far = TcpStream::connect(server).await.unwrap();
        for stream in [&near, &far] {
            let socket = socket2::SockRef::from(stream);
            socket.set_linger(Some(Duration::ZERO)).unwrap();
        }
        let ((mut near_out, mut near_in), (mut far_out, mut far_in)) = (near.split(), far.split());
        tokio::select! {
            () = pass(&mut near_out, &mut far_in, up) => {}
            () = pass(&mut far_out, &mut near_in, down) => {}
        }
    });
    address
}

async fn pass(
    from: &mut (impl tokio::io::AsyncRead + Unpin),
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    mut left: usize,
) {
    let mut buffer = [0; 4096];
    while left > 0 {
        let most = left.min(buffer.len());
        match from.read(&mut buffer[..most]).await {
            Ok(0) | Err(_) => return,
            Ok(count) => {
                left -= count;
                if to.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// What a member does in the handshakes below: it resumes, says three things and hears three.
async fn attempt(line: &mut Line, address: SocketAddr, heard: &mut Vec<u64>, total: u64) -> bool {
    let Ok(stream) = TcpStream::connect(address).await else {
        return false;
    };
    let Some(mut client) = Client::try_over(stream, "/ws").await else {
        return false;
    };
    let join = json!({ "type": "join", "resume": line.token(), "ack": line.got });
    if !client.try_send(join).await {
        return false;
    }
    let mut received = None;
    while heard.len() < 3 || received.is_none_or(|received| received < total) {
        let Some(message) = client.try_next().await else {
            return false;
        };
        match message["type"].as_str().unwrap() {
            "resumed" => {
                let known = message["received"].as_u64().unwrap();
                for seq in known + 1..=total {
                    let text = json!({ "type": "message", "payload": seq, "seq": seq });
                    if !client.try_send(text).await {
                        return false;
                    }
                }
                // Answered behind everything that was sent before it.
                if !client.try_send(json!({ "type": "ping" })).await {
                    return false;
                }
            }
            "pong" => received = Some(total),
            "message" => {
                assert_eq!(message["seq"], line.got + 1, "in order and once");
                line.got += 1;
                heard.push(message["payload"].as_u64().unwrap());
            }
            "ack" | "peer-away" | "peer-back" => {}
            _ => panic!("{message}"),
        }
    }
    true
}

/// Cuts the connection behind every byte of a resumed handshake, first of what goes up, then of what
/// comes down, each time against the same two members.
#[tokio::test]
async fn a_connection_cut_behind_any_byte_loses_and_repeats_nothing() {
    let server = TestServer::with(|limits| {
        limits.message_burst = 1_000_000;
        limits.messages_per_second = 1_000_000;
    })
    .await;
    let mut other = Line::enter(&server, Kind::WebSocket, "r").await;
    let mut line = Line::enter(&server, Kind::WebSocket, "r").await;
    other.expect("peer-joined").await;
    line.cut();
    other.expect("peer-away").await;
    let mut total = 0;
    let mut payload = 0;
    let lengths: Vec<usize> = (1..160).chain((160..700).step_by(7)).collect();
    let cuts = lengths
        .iter()
        .map(|&up| (up, usize::MAX))
        .chain(lengths.iter().map(|&down| (usize::MAX, down)));
    let mut cut_short = 0;
    for (up, down) in cuts {
        let wanted: Vec<u64> = (payload..payload + 3).collect();
        for number in &wanted {
            let to = line.id();
            other
                .send(json!({ "type": "message", "to": to, "payload": number }))
                .await;
        }
        payload += 3;
        total += 3;
        let mut heard = Vec::new();
        let through = proxy(server.address, up, down).await;
        if !attempt(&mut line, through, &mut heard, total).await {
            cut_short += 1;
            assert!(attempt(&mut line, server.address, &mut heard, total).await);
        }
        assert_eq!(heard, wanted, "{up} {down}");
        let mut passed_on = Vec::new();
        while passed_on.len() < 3 {
            let message = other.next().await;
            match message["type"].as_str().unwrap() {
                "message" => passed_on.push(message["payload"].as_u64().unwrap()),
                "peer-away" | "peer-back" => {}
                kind => panic!("{kind}"),
            }
            let ack = json!({ "type": "ack", "seq": other.got });
            other.send_as_it_is(&ack.to_string()).await;
        }
        assert_eq!(passed_on, (total - 2..=total).collect::<Vec<_>>());
    }
    assert!(cut_short > 200, "{cut_short} handshakes were cut");
}
