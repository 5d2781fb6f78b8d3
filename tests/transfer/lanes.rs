//! Transfers over extra lanes, some of which die.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use peerline::channel::{Channel, Message};
use peerline::session::OpenLane;
use peerline::transfer::{Channels, Digest, LaneCount, Lanes, receive_over, send_over};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::harness::{self, Side, accept, deadline, noise, observe, options, place, scan};

/// Opens lanes in memory. The lanes that `dies` names carry so many messages, and then end on both sides
/// with whatever is on its way.
struct Opener {
    far: mpsc::Sender<Channel>,
    dies: fn(u16) -> Option<usize>,
    opened: Arc<AtomicU16>,
}

#[async_trait]
impl OpenLane for Opener {
    fn most(&self) -> u16 {
        16
    }

    async fn open(&self, label: String, _: &'static str) -> Option<Channel> {
        let number = self.opened.fetch_add(1, Ordering::Relaxed) + 1;
        let (near, mut near_end) = Channel::pair(&label);
        let (far_end, far) = Channel::pair(&label);
        let left = (self.dies)(number);
        if left == Some(usize::MAX) {
            return None;
        }
        tokio::spawn(async move {
            let mut left = left;
            while left != Some(0)
                && let Some(Message::Binary(bytes)) = near_end.recv().await
                && far_end.send(bytes).await.is_ok()
            {
                left = left.map(|left| left - 1);
            }
        });
        self.far.send(far).await.ok()?;
        Some(near)
    }
}

/// A transfer of 40 MiB and some small files over `count` extra lanes: both sides, and lanes opened.
async fn transfer(count: u16, dies: fn(u16) -> Option<usize>) -> (Side, Side, u16) {
    let (home, out) = place();
    let tree = home.path().join("tree");
    fs::create_dir(&tree).unwrap();
    for (name, length) in [("large", 40 << 20), ("middle", 3 << 20)] {
        fs::write(tree.join(name), noise(length, length as u64)).unwrap();
    }
    for number in 0..300 {
        fs::write(
            tree.join(format!("small{number}")),
            noise(3_000 + number, number as u64),
        )
        .unwrap();
    }
    let (near, far): (Channels, Channels) = harness::channels();
    let (lanes, more) = mpsc::channel(16);
    let opened = Arc::new(AtomicU16::new(0));
    let lanes = Lanes {
        opener: Some(Box::new(Opener {
            far: lanes,
            dies,
            opened: opened.clone(),
        })),
        count: LaneCount::Exactly(count),
        round_trip: Duration::ZERO,
        limit: None,
    };
    let source = scan(std::slice::from_ref(&tree));
    let sending = observe(async |events| {
        send_over(near, lanes, source, events, CancellationToken::new()).await
    });
    let receiving = observe(async |events| {
        let cancel = CancellationToken::new();
        receive_over(far, more, options(&out), accept, events, cancel).await
    });
    let (sent, received) = deadline(async { tokio::join!(sending, receiving) }).await;
    if received.result.is_ok() {
        assert_eq!(
            harness::snapshot(&out.join("tree")),
            harness::snapshot(&tree)
        );
    }
    (sent, received, opened.load(Ordering::Relaxed))
}

fn digests(sent: &Side, received: &Side) -> (Digest, Digest) {
    let digest = |side: &Side| side.result.as_ref().expect("it is done").digest;
    (digest(sent), digest(received))
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_over_many_lanes() {
    for count in [1, 4, 16] {
        let (sent, received, opened) = transfer(count, |_| None).await;
        let (ours, theirs) = digests(&sent, &received);
        assert_eq!(ours, theirs);
        assert_eq!(opened, count);
        assert_eq!(sent.result.unwrap().lanes, count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lanes_that_die_had_not_delivered_is_sent_again() {
    // Two of the first lanes, and the one that takes the place of the first of them, if it comes to that.
    let dies = |number| match number {
        1 => Some(3),
        3 => Some(40),
        4 => Some(0),
        _ => None,
    };
    let (sent, received, opened) = transfer(3, dies).await;
    let (ours, theirs) = digests(&sent, &received);
    assert_eq!(ours, theirs);
    assert!(opened >= 3, "{opened}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_lane_is_enough() {
    // None comes up at all; then all of them die at once.
    for dies in [(|_| Some(usize::MAX)) as fn(u16) -> _, |_| Some(5)] {
        let (sent, received, opened) = transfer(2, dies).await;
        let (ours, theirs) = digests(&sent, &received);
        assert_eq!(ours, theirs);
        assert!(opened >= 2);
    }
}
