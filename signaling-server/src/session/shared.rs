//! What a member of a cluster has besides: what came from it waits here until it is written down.

use super::Session;
use crate::{cluster::Owed, hub::Hub};
use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

/// What a member of a cluster has besides.
#[derive(Debug)]
pub(super) struct Shared {
    /// Which of those that carried this member this is.
    name: String,
    /// What came from it and is not written down yet. Whoever reads from it waits in
    /// [`Session::settle`] before it reads more, so that there is hardly ever more than one.
    owed: Mutex<VecDeque<Owed>>,
    /// The number of the last message that is written down.
    written: AtomicU64,
    /// Held by the one that writes it down.
    turn: tokio::sync::Mutex<()>,
}

impl Shared {
    fn new(name: String, received: u64) -> Self {
        Self {
            name,
            owed: Mutex::default(),
            written: AtomicU64::new(received),
            turn: tokio::sync::Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Owed>> {
        self.owed
            .lock()
            .expect("nothing panics while it holds what is owed")
    }
}

impl Session {
    /// The same in a cluster, where the name tells apart those who carry one member.
    pub(crate) fn shared(mut self, name: String) -> Self {
        self.shared = Some(Box::new(Shared::new(name, self.received())));
        self
    }

    /// Remembers that a message is written down, or passed on without that.
    pub(crate) fn wrote(&self, seq: Option<u64>) {
        if let Some((shared, seq)) = self.shared.as_ref().zip(seq) {
            shared.written.fetch_max(seq, Ordering::Relaxed);
        }
    }

    /// The number of the last message for which that is true.
    pub(crate) fn written(&self) -> u64 {
        let shared = self.shared.as_ref();
        shared.map_or(0, |shared| shared.written.load(Ordering::Relaxed))
    }

    /// Its name in a cluster.
    pub(crate) fn name(&self) -> Option<&str> {
        self.shared.as_ref().map(|shared| shared.name.as_str())
    }

    /// Keeps something to be written down.
    pub(crate) fn owe(&self, owed: Owed) {
        if let Some(shared) = &self.shared {
            shared.lock().push_back(owed);
        }
    }

    /// Waits until what came so far is written down, where that takes time. Cancelled, the rest is left for
    /// the next one; what is written down twice is passed on once.
    pub(crate) async fn settle(&self, hub: &Hub) {
        let Some(shared) = &self.shared else {
            return;
        };
        let _turn = shared.turn.lock().await;
        loop {
            let first = shared.lock().front().cloned();
            let Some(owed) = first else { break };
            hub.write_down(self, &owed).await;
            self.wrote(owed.seq);
            shared.lock().pop_front();
        }
        self.acknowledge(&mut self.lock());
    }

    /// Whether [`Session::settle`] has something to do.
    pub(crate) fn is_unsettled(&self) -> bool {
        let shared = self.shared.as_ref();
        shared.is_some_and(|shared| !shared.lock().is_empty())
    }
}
