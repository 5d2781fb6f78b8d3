//! SIGKILL at random moments; `scripts/kill-matrix` does many more.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Peer, Place, Signaling, command, digest, in_place, noise};

const MIB: u64 = 1 << 20;

/// Of the rounds that end with a kill. On a fast machine the file would be complete before the next word of how far it is,
/// which comes five times a second.
const LIMIT: &str = "64MiB";

/// Small numbers, one after the other, from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % end
    }
}

#[derive(Debug, Clone, Copy)]
enum Victim {
    Sender,
    Receiver,
    Both,
}

/// What is kept in the only unfinished transfer, if there is one.
async fn kept(out: &Path) -> u64 {
    let out = out.to_str().unwrap();
    let mut list = command(&["transfers", "list", "--json", "--out", out]);
    let output = list.output().await.unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    let found: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(found.len() <= 1, "{found:?}");
    found
        .iter()
        .map(|event| {
            assert_eq!(event["state"], "resumable");
            event["bytes"].as_u64().unwrap()
        })
        .sum()
}

/// Kills somebody when the receiver has verified some more, again and again, and then nobody.
async fn killed_and_resumed(seed: u64) {
    let mut dice = Dice(seed);
    let server = Signaling::start();
    let place = Place::new();
    let content = noise(256 << 20, seed);
    let file = place.file("in/large", &content);
    let mut had = 0;
    for round in 0..4 {
        let mut sender = Peer::send(&server, &[&file]);
        let code = sender.code().await;
        let options = ["--yes", "--limit", LIMIT];
        let mut receiver = Peer::receive(&server, &code, &place.out(), &options);
        let from = had + dice.below(16 * MIB);
        let mut verified = had;
        while verified < from {
            verified = receiver.event("progress").await["bytes"].as_u64().unwrap();
        }
        let victim = [Victim::Sender, Victim::Receiver, Victim::Both][dice.below(3) as usize];
        let context = format!("seed {seed}, round {round}, {victim:?} at {verified}");
        match victim {
            Victim::Sender => {
                sender.kill().await;
                receiver.kill().await;
            }
            Victim::Receiver => {
                receiver.kill().await;
                sender.kill().await;
            }
            Victim::Both => drop(tokio::join!(sender.kill(), receiver.kill())),
        }
        assert!(in_place(&place.out()).is_empty(), "{context}");
        let now = kept(&place.out()).await;
        assert!(now >= had, "{context}: {now} after {had}");
        // What was verified when the kill came, less 16 MiB and a block.
        assert!(now + 17 * MIB >= verified, "{context}: {now} is kept");
        had = now;
    }
    let mut sender = Peer::send(&server, &[&file]);
    let code = sender.code().await;
    let receiver = Peer::receive(&server, &code, &place.out(), &["--yes"]);
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    for end in [&sent, &received] {
        assert_eq!(end.is_done()["resumed"], had, "seed {seed}");
    }
    assert_eq!(place.received()[Path::new("large")], digest(&content));
    assert_eq!(place.received().len(), 1, "nothing else is left");
}

#[tokio::test]
async fn kills_at_random_moments_lose_little_and_nothing_wrong() {
    for seed in [1, 2, 3] {
        let limit = Duration::from_secs(300);
        tokio::time::timeout(limit, killed_and_resumed(seed))
            .await
            .expect("done in time");
    }
}
