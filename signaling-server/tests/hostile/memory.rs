//! All of it at once, many times, at a server that is a process of its own: what it costs, and what a room
//! that has nothing to do with it notices.

use crate::{
    common::{
        Client, exchange,
        program::{Running, command},
        status,
    },
    frames::{self, owned},
    requests,
    wire::{answers, conversation},
};
use serde_json::json;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, task::JoinSet};

/// How often each row is tried at the same time.
const TIMES: usize = 8;

/// The bar, for each row; here all of them together stay below it.
const GROWTH: u64 = 16 << 20;

/// A message of the witnesses takes at most this long, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(5);

/// Two members that talk all the time.
struct Witnesses {
    one: Client,
    other: Client,
}

impl Witnesses {
    async fn meet(address: SocketAddr) -> Self {
        let join = json!({ "type": "join", "room": "witnesses" });
        let mut one = Client::connect(address, "/ws").await;
        one.send(join.clone()).await;
        one.expect("joined").await;
        let mut other = Client::connect(address, "/ws").await;
        other.send(join).await;
        other.expect("joined").await;
        one.expect("peer-joined").await;
        Self { one, other }
    }

    /// Says something, hears it, and says how long that took.
    async fn talk(&mut self, number: u64) -> Duration {
        let began = Instant::now();
        let message = json!({ "type": "message", "payload": number });
        self.one.send(message).await;
        assert_eq!(self.other.expect("message").await["payload"], number);
        began.elapsed()
    }
}

#[tokio::test]
async fn bad_input_costs_little_and_no_other_room_notices() {
    let server = Running::start(command(&["--listen", "127.0.0.1:0", "--json"])).await;
    let address = server.address();
    let mut witnesses = Witnesses::meet(address).await;
    let before = server.resident();
    let mut attacks = JoinSet::new();
    for time in 0..TIMES {
        for (name, bytes, expected) in requests::rows() {
            attacks.spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                let answer = exchange(&mut stream, &bytes).await;
                assert_eq!(status(&answer), expected, "{name}");
            });
        }
        for (name, frames, errors, close) in frames::rows(&format!("r{time}")) {
            attacks.spawn(async move {
                let (_, answer) = conversation(address, "", &frames).await;
                assert_eq!(answers(&answer), (owned(errors), close), "{name}");
            });
        }
    }
    let (mut most, mut slowest, mut number) = (before, Duration::ZERO, 0);
    while !attacks.is_empty() {
        slowest = slowest.max(witnesses.talk(number).await);
        most = most.max(server.resident());
        number += 1;
        // The pace of the witnesses, below what a member may say.
        let pause = tokio::time::timeout(Duration::from_millis(30), attacks.join_next());
        if let Ok(Some(ended)) = pause.await {
            ended.unwrap();
        }
        while let Some(ended) = attacks.try_join_next() {
            ended.unwrap();
        }
    }
    let growth = most.saturating_sub(before);
    println!("{growth} bytes more; the slowest of {number} messages took {slowest:?}");
    assert!(growth < GROWTH, "{growth} bytes");
    assert!(slowest < PATIENCE, "{slowest:?}");
}
