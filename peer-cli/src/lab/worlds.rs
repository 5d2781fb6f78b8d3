//! The worlds that are there. Programs make and remove them, on threads of their own; whoever ends waits for those, or
//! their namespaces would stay on the machine.

use std::ops::Deref;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::nat::Nat;
use super::world::{World, WorldError};

/// Those that are made, used or removed.
#[derive(Debug, Default)]
pub(crate) struct Worlds(TaskTracker);

/// One of them. Dropped, it is removed in the background.
pub(crate) struct Held {
    /// `None` once it is being removed.
    world: Option<World>,
    token: TaskTrackerToken,
}

impl Worlds {
    /// Makes one. Cancelled, it is removed as soon as it is made.
    pub(crate) async fn make(
        &self,
        networks: [Nat; 2],
        mtu: u16,
        turn: bool,
    ) -> Result<Held, WorldError> {
        let token = self.0.token();
        let making = tokio::task::spawn_blocking(move || {
            Ok(Held {
                world: Some(World::new(networks, mtu, turn)?),
                token,
            })
        });
        making
            .await
            .map_err(|error| WorldError::Server(error.to_string()))?
    }

    /// Waits until all are removed.
    pub(crate) async fn removed(&self) {
        self.0.close();
        self.0.wait().await;
    }
}

impl Held {
    /// Waits until it is removed.
    pub(crate) async fn remove(mut self) {
        if let Some(removing) = self.removal() {
            // A panic has been told on stderr by then.
            let _ = removing.await;
        }
    }

    fn removal(&mut self) -> Option<JoinHandle<()>> {
        let world = self.world.take()?;
        let token = self.token.clone();
        Some(Handle::current().spawn_blocking(move || {
            drop(world);
            drop(token);
        }))
    }
}

impl Deref for Held {
    type Target = World;

    fn deref(&self) -> &World {
        self.world.as_ref().expect("it is taken by its end alone")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // A task that is awaited by `Worlds::removed`, not by a handle.
        drop(self.removal());
    }
}
