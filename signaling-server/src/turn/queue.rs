//! A queue of datagrams, bounded by their bytes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::mpsc;

/// Bytes that wait in one queue: more than the receive window of SCTP in our engine and in browsers, so
/// that a peer that is held back by its bandwidth loses nothing.
const MAX_BYTES: usize = 4 << 20;

/// Datagrams that wait, however short they are.
const MAX_DATAGRAMS: usize = 8192;

/// The end that takes datagrams in.
#[derive(Debug)]
pub(super) struct Sender<T> {
    queue: mpsc::Sender<(usize, T)>,
    waiting: Arc<AtomicUsize>,
}

// Derived, it would ask for datagrams that can be cloned.
impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            waiting: Arc::clone(&self.waiting),
        }
    }
}

/// The end that gives them out.
#[derive(Debug)]
pub(super) struct Receiver<T> {
    queue: mpsc::Receiver<(usize, T)>,
    waiting: Arc<AtomicUsize>,
}

pub(super) fn queue<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = mpsc::channel(MAX_DATAGRAMS);
    let waiting = Arc::new(AtomicUsize::new(0));
    let sender = Sender {
        queue: sender,
        waiting: Arc::clone(&waiting),
    };
    let receiver = Receiver {
        queue: receiver,
        waiting,
    };
    (sender, receiver)
}

impl<T> Sender<T> {
    /// Queues what `make` makes of so many bytes; dropped when too much waits.
    pub(super) fn send(&self, bytes: usize, make: impl FnOnce() -> T) {
        if self.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes <= MAX_BYTES
            && let Ok(place) = self.queue.try_reserve()
        {
            place.send((bytes, make()));
        } else {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Whether nobody takes them any more.
    pub(super) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }
}

impl<T> Receiver<T> {
    /// Waits for datagrams and takes up to `most` of them; `false` when none will come. Cancelled, it has
    /// lost none.
    pub(super) async fn receive(&mut self, into: &mut Vec<T>, most: usize) -> bool {
        let Some(first) = self.queue.recv().await else {
            return false;
        };
        let mut next = Some(first);
        let mut taken = 0;
        while let Some((bytes, datagram)) = next {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            into.push(datagram);
            taken += 1;
            next = (taken < most).then(|| self.queue.try_recv().ok()).flatten();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_and_datagrams_are_bounded() {
        for (bytes, expected) in [(1 << 20, 4), (0, MAX_DATAGRAMS), (5 << 20, 0)] {
            let (sender, mut receiver) = queue();
            for number in 0..2 * MAX_DATAGRAMS {
                sender.send(bytes, || number);
            }
            drop(sender);
            let mut received = Vec::new();
            while receiver.receive(&mut received, 64).await {}
            assert!(received.iter().copied().eq(0..expected), "{bytes}");
            assert_eq!(receiver.waiting.load(Ordering::Relaxed), 0);
        }
    }
}
