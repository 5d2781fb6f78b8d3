//! How far several receivers are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::streams::Progress;

/// One of several receivers.
#[derive(Clone)]
pub(super) struct Receiver {
    pub(super) number: u32,
    /// Of this one; the bar shows all together.
    pub(super) progress: Arc<Mutex<Option<Progress>>>,
    pub(super) all: Arc<Receivers>,
}

/// How far several receivers are.
pub(crate) struct Receivers {
    pub(super) count: u64,
    bytes: Mutex<BTreeMap<u32, u64>>,
}

impl Receivers {
    pub(crate) fn new(count: u16) -> Arc<Self> {
        Arc::new(Self {
            count: count.into(),
            bytes: Mutex::default(),
        })
    }

    /// The sum, now that one is at `bytes`.
    pub(super) fn add(&self, number: u32, bytes: u64) -> u64 {
        let mut all = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(number, bytes);
        all.values().sum()
    }

    /// One has failed: what it had does not count.
    pub(crate) fn forget(&self, number: u32) {
        let mut all = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&number);
    }
}
