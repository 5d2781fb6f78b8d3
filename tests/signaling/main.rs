//! The signaling client through its public interface.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod networks;
mod resume;
mod rooms;
mod servers;
mod survey;

use peerline::signaling::{Lost, Signaling};
use signaling_protocol::{Join, ServerMessage};
use std::time::Duration;

/// Longer than anything here takes on a busy machine; a test that waits for it fails.
const LIMIT: Duration = Duration::from_secs(30);

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future)
        .await
        .expect("within the time limit")
}

async fn next(signaling: &mut Signaling) -> Result<ServerMessage, Lost> {
    within(signaling.next()).await
}

fn host() -> Join {
    Join {
        create: Some(true),
        capacity: Some(2),
        ..Join::default()
    }
}
