//! What these tests share.

use peerline::channel::{Channel, Delivery};
use peerline::net::EmulatedLink;
use peerline::net::link::LinkConfig;
use peerline::session::{Connectivity, Healing};
use peerline::testing::{Pair, PairConfig};
use peerline::tunnel::{LABEL, PROTOCOL};
use std::time::Duration;
use tokio::sync::watch;

/// Longest time that anything here may take: an outage, ICE's recovery, and a slow machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future)
        .await
        .unwrap_or_else(|_| panic!("{what} took too long"))
}

/// Bytes that differ by seed.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(step).collect()
}

/// A channel between the two sessions, and both ends of it.
pub(crate) async fn channels(pair: &mut Pair) -> [Channel; 2] {
    let opening = pair.guest.open(LABEL, PROTOCOL, Delivery::Reliable);
    let ours = opening.await.unwrap();
    let theirs = within("the channel", pair.host.accept()).await.unwrap();
    assert_eq!(theirs.protocol, PROTOCOL);
    [ours, theirs.channel]
}

/// Two sessions on a link of so many bytes a second that look for a new path five times sooner than usual.
pub(crate) async fn impatient(rate: u64) -> (Pair, [EmulatedLink; 2]) {
    let mut config = PairConfig::default();
    let links = config.emulate(&LinkConfig {
        rate: Some(rate),
        ..LinkConfig::default()
    });
    for session in [&mut config.host, &mut config.guest] {
        session.healing = Healing::default().faster(5);
    }
    let pair = within("connecting", Pair::connect_with(config)).await;
    (pair.unwrap(), links)
}

/// The network goes away, which is noticed, and comes back.
pub(crate) async fn outage(
    links: &[EmulatedLink],
    connectivity: &mut watch::Receiver<Connectivity>,
) {
    links.iter().for_each(|link| link.set_outage(true));
    let lost = |now: &Connectivity| *now != Connectivity::Connected;
    within("the interruption", connectivity.wait_for(lost))
        .await
        .unwrap();
    // Not a wait for something to happen: this is how long the network is gone. ICE is restarted after 0.6 s by one
    // side, and after 1.2 s by the other.
    tokio::time::sleep(Duration::from_secs(2)).await;
    links.iter().for_each(|link| link.set_outage(false));
}
