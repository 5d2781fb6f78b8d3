//! Nodes that die, and a Redis that stops, dies or forgets.

use crate::{
    common::{
        DEADLINE, TestServer,
        line::{Kind, Line},
    },
    node::{lonely, node, process, reaches, ready},
    redis::Redis,
    service::talk,
};
use serde_json::json;
use std::time::{Duration, Instant};

/// How long Redis stays away in the longest outage here: twice a lease.
const OUTAGE: Duration = Duration::from_secs(20);

/// Two who have met.
async fn pair(here: &TestServer, there: &TestServer, room: &str) -> (Line, Line) {
    let mut a = Line::enter(here, Kind::WebSocket, room).await;
    let b = Line::enter(there, Kind::WebSocket, room).await;
    a.expect("peer-joined").await;
    (a, b)
}

#[tokio::test]
async fn members_of_a_node_that_dies_go_on_at_another_one() {
    let redis = Redis::start().await;
    let (dies, lives) = (process(&redis).await, node(&redis).await);
    let mut lines = Vec::new();
    for pair in 0..5 {
        let join = json!({ "room": format!("r{pair}") });
        let mut a = Line::join_at(dies.address(), Kind::WebSocket, join.clone())
            .await
            .unwrap();
        // Every second room is on both nodes.
        let address = if pair % 2 == 0 {
            dies.address()
        } else {
            lives.address
        };
        let mut b = Line::join_at(address, Kind::WebSocket, join).await.unwrap();
        a.expect("peer-joined").await;
        talk(&mut a, &mut b, 0..10).await;
        // On its way when the node dies, some of it not even written down.
        for number in 10..20 {
            for line in [&mut a, &mut b] {
                line.send(json!({ "type": "message", "payload": number }))
                    .await;
            }
        }
        lines.push((a, b, address));
    }
    let there = dies.address();
    dies.kill().await;
    let killed = Instant::now();
    for (a, b, address) in &mut lines {
        let resumed = [Some(&mut *a), (*address == there).then_some(&mut *b)];
        for line in resumed.into_iter().flatten() {
            line.address = lives.address;
            let received = line.connect().await.unwrap();
            // What the server does not have is sent again, as any client does.
            for number in received..line.sent {
                let message = json!({ "type": "message", "payload": number, "seq": number + 1 });
                line.send_as_it_is(&message.to_string()).await;
            }
        }
    }
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    for (a, b, _) in &mut lines {
        for number in 10..20 {
            for line in [&mut *a, &mut *b] {
                assert_eq!(line.heard("message").await["payload"], number);
            }
        }
        talk(a, b, 20..30).await;
    }
}

#[tokio::test]
async fn the_others_are_told_that_a_node_has_died() {
    let redis = Redis::start().await;
    let (dies, lives) = (process(&redis).await, node(&redis).await);
    let mut witness = Line::enter(&lives, Kind::WebSocket, "r").await;
    let join = json!({ "room": "r" });
    let line = Line::join_at(dies.address(), Kind::WebSocket, join)
        .await
        .unwrap();
    witness.expect("peer-joined").await;
    // The node has been heard for as long as it takes to miss it.
    let told = async {
        dies.kill().await;
        loop {
            let message = witness.raw_next().await.unwrap();
            if message["type"] == "peer-away" {
                break message;
            }
        }
    };
    let away = tokio::time::timeout(DEADLINE * 2, told).await.unwrap();
    assert_eq!(away["peer"], line.id());
    let lost = "peerline_cluster_leases_lost_total{of=\"others\"}";
    reaches(lives.address, lost, 1.0).await;
}

/// Redis stops for a while: rooms on one node go on, others are told to try again, nobody new comes in, and
/// afterwards nothing is lost or repeated.
#[tokio::test]
async fn a_redis_that_does_not_answer() {
    let redis = Redis::start().await;
    let (here, there) = (node(&redis).await, node(&redis).await);
    let (mut a, mut b) = pair(&here, &here, "local").await;
    let (mut c, mut d) = pair(&here, &there, "wide").await;
    talk(&mut a, &mut b, 0..10).await;
    talk(&mut c, &mut d, 0..10).await;

    // What was heard is written down, but whoever said it is told so a moment later: if Redis stops in between,
    // it is told to try again.
    let answered = "peerline_redis_call_seconds_count{script=\"post\"}";
    reaches(here.address, answered, 30.0).await;
    reaches(there.address, answered, 10.0).await;
    redis.pause();
    let paused = Instant::now();
    c.send(json!({ "type": "message", "payload": "lost" }))
        .await;
    let refused = c.next().await;
    assert!(
        paused.elapsed() < Duration::from_secs(5),
        "{:?}",
        paused.elapsed()
    );
    assert_eq!(
        (&refused["type"], &refused["retry"]),
        (&json!("error"), &json!(true))
    );
    talk(&mut a, &mut b, 10..40).await;
    let new = Line::join(&here, Kind::WebSocket, json!({ "room": "new" })).await;
    assert_eq!(new.err().unwrap(), "server-full");
    ready(here.address, 503).await;
    // Who loses its connection now comes back to its node.
    b.cut();
    assert_eq!(b.connect().await, Ok(40));
    assert_eq!(a.expect("peer-away").await["peer"], b.id());
    assert_eq!(a.expect("peer-back").await["peer"], b.id());
    talk(&mut a, &mut b, 40..50).await;
    // The other node finds out by itself, with its next beat. Until then it would call itself ready.
    ready(there.address, 503).await;

    redis.go_on();
    for node in [&here, &there] {
        ready(node.address, 200).await;
    }
    talk(&mut c, &mut d, 10..20).await;
    talk(&mut a, &mut b, 50..60).await;
    // What went on without Redis is known everywhere.
    let mut e = Line::enter(&there, Kind::WebSocket, "local").await;
    assert_eq!(e.joined["peers"].as_array().unwrap().len(), 2);
    for line in [&mut a, &mut b] {
        line.expect("peer-joined").await;
    }
    b.cut();
    b.address = there.address;
    assert_eq!(b.connect().await, Ok(60));
    e.send(json!({ "type": "message", "to": b.id(), "payload": "hello" }))
        .await;
    assert_eq!(b.heard("message").await["payload"], "hello");
}

/// A node that is apart for longer than its lease sends members of wide rooms away, to where they reach the
/// others. They keep their places.
#[tokio::test]
async fn a_redis_that_stays_away() {
    let redis = Redis::start().await;
    let (here, there) = (node(&redis).await, node(&redis).await);
    let (mut a, mut b) = pair(&here, &here, "local").await;
    let (mut c, mut d) = pair(&here, &there, "wide").await;
    talk(&mut c, &mut d, 0..10).await;
    redis.pause();
    let paused = Instant::now();
    for line in [&mut c, &mut d] {
        assert_eq!(line.refusal().await, "draining");
    }
    for node in [&here, &there] {
        let lost = "peerline_cluster_leases_lost_total{of=\"self\"}";
        reaches(node.address, lost, 1.0).await;
        reaches(node.address, "peerline_redis_up", 0.0).await;
    }
    assert_eq!(c.connect().await.err().unwrap(), "server-full");
    talk(&mut a, &mut b, 0..20).await;
    tokio::time::sleep_until((paused + OUTAGE).into()).await;
    redis.go_on();
    for node in [&here, &there] {
        ready(node.address, 200).await;
    }
    for line in [&mut c, &mut d] {
        assert_eq!(line.connect().await, Ok(10));
    }
    talk(&mut c, &mut d, 10..20).await;
    talk(&mut a, &mut b, 20..30).await;
}

#[tokio::test]
async fn members_of_a_node_that_goes_away_in_good_order_go_on_at_another_one() {
    let redis = Redis::start().await;
    let (goes, stays) = (node(&redis).await, node(&redis).await);
    let (mut a, mut b) = pair(&goes, &stays, "r").await;
    talk(&mut a, &mut b, 0..10).await;
    let stopped = goes.stop();
    a.expect("draining").await;
    a.cut();
    a.address = stays.address;
    assert_eq!(a.connect().await, Ok(10));
    talk(&mut a, &mut b, 10..20).await;
    stopped.await.unwrap();
    talk(&mut a, &mut b, 20..30).await;
}

/// Redis forgets everything, and nodes tell it again.
#[tokio::test]
async fn a_redis_that_forgets() {
    let mut redis = Redis::start().await;
    let (here, there) = (node(&redis).await, node(&redis).await);
    let (mut a, mut b) = pair(&here, &there, "wide").await;
    let (mut c, mut d) = pair(&here, &here, "local").await;
    for round in 0..4_u64 {
        let start = round * 20;
        talk(&mut a, &mut b, start..start + 10).await;
        talk(&mut c, &mut d, start..start + 10).await;
        if round % 2 == 0 {
            let _: String = redis.ask(&["FLUSHALL"]).await;
        } else {
            redis.kill().await;
            for node in [&here, &there] {
                ready(node.address, 503).await;
            }
            redis.begin().await;
            for node in [&here, &there] {
                ready(node.address, 200).await;
            }
        }
        talk_until_heard(&mut a, &mut b).await;
        talk(&mut a, &mut b, start + 10..start + 20).await;
        talk(&mut c, &mut d, start + 10..start + 20).await;
    }
    let e = Line::enter(&there, Kind::WebSocket, "local").await;
    assert_eq!(e.joined["peers"].as_array().unwrap().len(), 2);
    let e = Line::enter(&here, Kind::WebSocket, "wide").await;
    assert_eq!(e.joined["peers"].as_array().unwrap().len(), 2);
    for (key, life) in redis.lives().await {
        assert!(life > 0, "{key} lives {life} ms");
    }
}

/// While Redis is told again, a message may be refused with `retry`: a client tries again.
async fn talk_until_heard(a: &mut Line, b: &mut Line) {
    // What was written down when Redis went away, but not answered, has been refused, too.
    for line in [&mut *a, &mut *b] {
        was_refused(line).await;
    }
    say_until_heard(a, b).await;
    say_until_heard(b, a).await;
}

async fn say_until_heard(from: &mut Line, to: &mut Line) {
    loop {
        from.send(json!({ "type": "chat", "content": "there?" }))
            .await;
        if !was_refused(from).await {
            break;
        }
    }
    to.heard("chat").await;
}

/// Whether something was refused until now.
async fn was_refused(line: &mut Line) -> bool {
    line.send_as_it_is(r#"{"type":"ping"}"#).await;
    let mut refused = false;
    loop {
        match line.next().await {
            message if message["type"] == "pong" => break refused,
            message if message["type"] == "error" => {
                assert_eq!(message["retry"], true);
                refused = true;
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_redis_that_is_not_there_yet() {
    let mut redis = Redis::later();
    let server = lonely(&redis, |_| {}).await;
    ready(server.address, 503).await;
    let new = Line::join(&server, Kind::WebSocket, json!({ "room": "r" })).await;
    assert_eq!(new.err().unwrap(), "server-full");
    redis.begin().await;
    ready(server.address, 200).await;
    server.assert_serves().await;
}
