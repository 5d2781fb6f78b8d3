//! Nodes that are killed under load, one after the other. `scripts/cluster-kills` does a hundred.

use crate::{
    common::{DEADLINE, program::Running},
    node::process,
    redis::Redis,
    talker::{Nodes, Progress, Talker},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::time::{Duration, Instant};
use tokio::{sync::watch, time::timeout};

/// How many nodes are killed, unless the environment says otherwise.
const KILLS: usize = 4;

/// Rooms of two.
const ROOMS: usize = 10;

/// The bar: clients of a node that died are back within this time.
const BACK: Duration = Duration::from_secs(10);

/// A number from the environment.
fn setting(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// Waits until this is so for each talker.
async fn all(talkers: &[Talker], what: &str, is_so: impl Fn(usize, &Progress) -> bool) {
    for (index, talker) in talkers.iter().enumerate() {
        let mut progress = talker.progress.clone();
        let reached = progress.wait_for(|progress| is_so(index, progress));
        let reached = timeout(DEADLINE, reached).await;
        let reached = reached.unwrap_or_else(|_| panic!("{index}: {what}: {:?}", talker.now()));
        assert!(reached.is_ok(), "{index}: it found something wrong");
    }
}

#[tokio::test]
async fn nodes_that_are_killed_under_load_lose_and_repeat_nothing() {
    let kills = setting("CLUSTER_KILLS", KILLS);
    let rooms = setting("CLUSTER_ROOMS", ROOMS);
    let seed = setting("CLUSTER_SEED", 1);
    let mut random = StdRng::seed_from_u64(seed.try_into().unwrap());
    let redis = Redis::start().await;
    let mut running: [Option<Running>; 2] = [None, None];
    let nodes = watch::Sender::new(Nodes::default());
    for (slot, place) in running.iter_mut().enumerate() {
        let node = process(&redis).await;
        nodes.send_modify(|nodes| nodes.at[slot] = Some(node.address()));
        *place = Some(node);
    }
    // Rooms on one node, on the other, and on both.
    nodes.send_modify(|nodes| nodes.wanted = (0..rooms * 2).map(|index| index / 2 % 2).collect());
    nodes.send_modify(|nodes| {
        nodes
            .wanted
            .iter_mut()
            .step_by(4)
            .for_each(|slot| *slot = 1)
    });
    let told = nodes.subscribe();
    let mut talkers = Vec::new();
    for room in 0..rooms {
        talkers.extend(Talker::pair(room * 2, &told).await);
    }
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    for _ in 0..kills {
        // At a random moment of a conversation that goes on.
        let heard: Vec<_> = talkers.iter().map(|talker| talker.now().heard).collect();
        let further = random.random_range(1..20);
        all(&talkers, "it hears more", |index, progress| {
            progress.heard >= heard[index] + further
        })
        .await;
        let (victim, survivor) = match random.random_range(0..2) {
            0 => (0, 1),
            _ => (1, 0),
        };
        let killed = Instant::now();
        running[victim].take().unwrap().kill().await;
        nodes.send_modify(|nodes| nodes.at[victim] = None);
        all(&talkers, "it is back", |_, progress| {
            progress.slot == survivor
        })
        .await;
        let back = talkers.iter().map(|talker| talker.now().since);
        let back = back.max().unwrap().saturating_duration_since(killed);
        assert!(back < BACK, "{back:?}");
        slowest = slowest.max(back);
        let node = process(&redis).await;
        nodes.send_modify(|nodes| {
            nodes.at[victim] = Some(node.address());
            // Many move on, to wherever.
            for slot in &mut nodes.wanted {
                *slot = random.random_range(0..2);
            }
        });
        running[victim] = Some(node);
    }
    nodes.send_modify(|nodes| nodes.over = true);
    let sent = async || {
        // Who was about to say something may still say it.
        let before: Vec<_> = talkers.iter().map(|talker| talker.now().sent).collect();
        all(&talkers, "it hears the rest", |index, progress| {
            progress.heard >= before[index ^ 1]
        })
        .await;
        before.iter().sum::<u64>()
    };
    let mut messages = sent().await;
    while messages != talkers.iter().map(|talker| talker.now().sent).sum::<u64>() {
        messages = sent().await;
    }
    let again: u64 = talkers.iter().map(|talker| talker.now().again).sum();
    let heard: u64 = talkers.iter().map(|talker| talker.now().heard).sum();
    assert_eq!(heard, messages);
    println!(
        "{kills} kills in {:.0} s, {rooms} rooms, seed {seed}: {messages} messages, each heard once and in \
         order, {again} of them sent again; all clients back after {:.0} ms at most",
        began.elapsed().as_secs_f64(),
        slowest.as_secs_f64() * 1000.0
    );
}
