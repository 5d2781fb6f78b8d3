//! The place in a room that the server keeps for us.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use peerline::signaling::Signaling;

use crate::exit::Failure;

/// A place in a room, which the server keeps for whoever loses the connection: one that is not wanted any
/// more must be given back before the process ends.
#[derive(Default)]
pub(crate) struct Place(Mutex<Option<Left>>);

type Left = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Place {
    pub(crate) fn taken(&self, signaling: &Signaling) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::pin(signaling.left()));
    }

    /// Waits for it if nothing came of it; what held it is dropped by now.
    pub(crate) async fn given_back<T>(self, connected: &Result<T, Failure>) {
        if connected.is_err() {
            self.left().await;
        }
    }

    /// Waits for it, once what holds it is dropped.
    pub(crate) async fn left(self) {
        self.give_back().await;
    }

    /// As [`left`](Self::left), for whoever does not own it.
    pub(crate) async fn give_back(&self) {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(left) = left {
            left.await;
        }
    }
}
