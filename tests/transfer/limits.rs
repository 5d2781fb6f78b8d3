//! Bytes a second. That there are not more is true on any machine, however busy it is; how even it is, the
//! unit tests say in their own time.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use peerline::transfer::{LaneCount, Lanes, receive, send_over};
use tempfile::tempdir;
use tokio_util::sync::CancellationToken;

use crate::harness::*;

const RATE: u64 = 1 << 20;
const BYTES: usize = 3 << 19;

#[tokio::test]
async fn neither_side_is_faster_than_its_limit() {
    let from = tempdir().unwrap();
    let file = from.path().join("file");
    std::fs::write(&file, noise(BYTES, 1)).unwrap();
    let limit = NonZeroU64::new(RATE);
    for (sends, receives) in [(limit, None), (None, limit)] {
        let (_parent, out) = place();
        let (near, far) = channels();
        let lanes = Lanes {
            opener: None,
            count: LaneCount::Auto,
            round_trip: Duration::ZERO,
            limit: sends,
        };
        let source = scan(std::slice::from_ref(&file));
        let begun = Instant::now();
        let sending = observe(async |events| {
            send_over(near, lanes, source, events, CancellationToken::new()).await
        });
        let mut options = options(&out);
        options.limits.rate = receives;
        let receiving = observe(async |events| {
            receive(far, options, accept, events, CancellationToken::new()).await
        });
        let both = async { tokio::join!(sending, receiving) };
        let (sender, receiver) = deadline(both).await;
        assert_eq!(
            sender.result.unwrap().digest,
            receiver.result.unwrap().digest
        );
        // A tenth of a second and one message may go through at once.
        let least = (BYTES as f64 - 65_535.0) / RATE as f64 - 0.1;
        let took = begun.elapsed().as_secs_f64();
        assert!(took >= least, "{took} s, not {least} s");
    }
}
