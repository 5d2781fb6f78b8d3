//! What a tunnel uses of its session besides its channel.

use crate::session::{EngineKind, Incoming, IncomingChannel, OpenLane, Session};
use std::sync::Arc;

/// What a tunnel uses of its session besides its channel: lanes in both directions. Without any of it everything goes
/// through the channel.
#[derive(Default)]
pub struct Lanes {
    /// Opens lanes for what goes to the peer.
    pub opener: Option<Arc<dyn OpenLane>>,
    /// The channels that the peer opens, those of its lanes among them.
    pub incoming: Option<Incoming>,
}

impl Lanes {
    /// All that `session` has. A browser's connection carries no larger packets than the session's, so for one there
    /// are no lanes.
    pub fn of(session: &mut Session) -> Self {
        let lanes = session.lanes();
        let is_native = session.peer().engine == EngineKind::Native;
        let opener = (is_native && lanes.most() > 0).then(|| Arc::new(lanes) as Arc<dyn OpenLane>);
        Self {
            opener,
            incoming: Some(session.incoming()),
        }
    }
}

/// The next channel that the peer opens; never, if it opens none.
pub(in super::super) async fn next(incoming: &mut Option<Incoming>) -> IncomingChannel {
    if let Some(channels) = incoming {
        if let Some(opened) = channels.next().await {
            return opened;
        }
        *incoming = None;
    }
    std::future::pending().await
}
