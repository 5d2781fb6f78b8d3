//! What all peers share: the rooms and the sources, each behind a lock that is held briefly and
//! never across an await. What is told to several peers is queued while the rooms are locked, so
//! that everybody sees comings, goings and messages in one order.
//!
//! Locks are taken in this order: a member's intake or absence, the rooms, a mailbox. The sources, the
//! clock, and what the cluster knows are leaves.

mod admission;
mod arrivals;
mod entering;
mod presence;
mod relaying;
mod shared;
mod writing;

pub(crate) use admission::ConnectionGuard;
pub(crate) use relaying::Relayed;

use crate::{
    clock::Clock,
    cluster::Cluster,
    config::Limits,
    doors::Doors,
    feed::Feeds,
    metrics::{Metrics, Present},
    rooms::Rooms,
    session::Session,
    sources::Sources,
    turn::Minter,
};
use signaling_protocol::IceServer;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

/// The state of one server.
#[derive(Debug)]
pub(crate) struct Hub {
    limits: Limits,
    ice_servers: Vec<IceServer>,
    minter: Minter,
    metrics: Arc<Metrics>,
    doors: RwLock<Arc<Doors>>,
    rooms: Mutex<Rooms<Arc<Session>>>,
    sources: Mutex<Sources>,
    clock: Clock,
    feeds: Feeds,
    /// With others, if there are such.
    cluster: Option<Arc<Cluster>>,
}

impl Hub {
    pub(crate) fn new(
        limits: Limits,
        ice_servers: Vec<IceServer>,
        minter: Minter,
        metrics: Arc<Metrics>,
        doors: Doors,
        cluster: Option<Arc<Cluster>>,
    ) -> Self {
        let rooms = Mutex::new(Rooms::new(limits.peers_per_room));
        Self {
            limits,
            ice_servers,
            minter,
            metrics,
            doors: RwLock::new(Arc::new(doors)),
            rooms,
            sources: Mutex::default(),
            clock: Clock::default(),
            feeds: Feeds::default(),
            cluster,
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What there is now.
    pub(crate) fn present(&self, draining: bool) -> Present {
        let (rooms, members, away) = self.lock_rooms().counts();
        Present {
            connections: self.lock_sources().connections(),
            rooms,
            members,
            away,
            draining,
        }
    }

    /// Reads all rooms at one moment. `read` must be quick: nobody moves meanwhile.
    pub(crate) fn with_rooms<T>(&self, read: impl FnOnce(&Rooms<Arc<Session>>) -> T) -> T {
        read(&self.lock_rooms())
    }

    fn lock_rooms(&self) -> MutexGuard<'_, Rooms<Arc<Session>>> {
        self.rooms
            .lock()
            .expect("nothing panics while it holds the rooms")
    }

    fn lock_sources(&self) -> MutexGuard<'_, Sources> {
        self.sources
            .lock()
            .expect("nothing panics while it holds the sources")
    }
}
