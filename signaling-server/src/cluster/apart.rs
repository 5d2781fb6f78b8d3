//! Rooms that do without Redis while it cannot be reached, and how they come back to it.

use super::{
    Cluster,
    standing::{Apart, Standing},
};
use signaling_protocol::RoomName;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// Time between two attempts to write something down in a room that Redis has lost.
const RETRY: Duration = Duration::from_millis(100);

/// What went on without Redis is being written down. Dropped before that is done, it goes on without.
#[derive(Debug)]
pub(crate) struct Restoration {
    pub(super) standing: Standing,
    cluster: Arc<Cluster>,
    room: RoomName,
    apart: Apart,
}

impl Restoration {
    pub(super) fn done(mut self) {
        self.apart = Apart::No;
    }
}

impl Drop for Restoration {
    fn drop(&mut self) {
        if let Some(standing) = self.cluster.standings().get_mut(&self.room) {
            standing.apart = self.apart;
        }
        self.cluster.restored.notify_waiters();
    }
}

impl Cluster {
    /// Whether messages of this room are passed on here alone, since Redis could not be reached.
    pub(crate) fn goes_alone(&self, room: &RoomName) -> bool {
        let standings = self.standings();
        standings
            .get(room)
            .is_some_and(|standing| standing.apart == Apart::Yes)
    }

    /// Redis cannot be reached. Whether the room can do without: then it does, until it is written down.
    pub(crate) fn go_alone(&self, room: &RoomName) -> bool {
        let mut standings = self.standings();
        let Some(standing) = standings.get_mut(room) else {
            return false;
        };
        if standing.elsewhere || standing.apart == Apart::Ending {
            return false;
        }
        standing.apart = Apart::Yes;
        true
    }

    /// Whether a room that did without Redis is being written down.
    pub(crate) fn is_restoring(&self, room: &RoomName) -> bool {
        let standings = self.standings();
        standings
            .get(room)
            .is_some_and(|standing| standing.apart == Apart::Ending)
    }

    /// Waits until some room is in Redis again, or for a moment.
    pub(crate) async fn restoration(&self) {
        let _ = timeout(RETRY, self.restored.notified()).await;
    }

    /// What is known of a room that did without Redis, if it did; it does no longer, unless it turns out that
    /// what went on cannot be written down.
    pub(crate) fn begin_restoring(self: &Arc<Self>, room: &RoomName) -> Option<Restoration> {
        let mut standings = self.standings();
        let standing = standings.get_mut(room)?;
        if standing.apart != Apart::Yes {
            return None;
        }
        standing.apart = Apart::Ending;
        Some(Restoration {
            standing: standing.clone(),
            cluster: Arc::clone(self),
            room: room.clone(),
            apart: Apart::Yes,
        })
    }
}
