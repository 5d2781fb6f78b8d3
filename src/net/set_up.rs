//! Whether a connection is being set up; its session says when that is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Clones are the same. While it is not finished the engine sleeps little, and what may have been lost is repeated more often.
#[derive(Debug, Clone, Default)]
pub(crate) struct SetUp {
    finished: Arc<AtomicBool>,
}

impl SetUp {
    /// The peer has said who it is, or the connection is in use.
    pub(crate) fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }
}
