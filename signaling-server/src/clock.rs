//! When to look again at members that nothing carries.

use crate::session::Session;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};
use tokio::{sync::Notify, time::sleep_until};

/// Members by the time at which somebody has to look at them; each is here at most once.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    queue: Mutex<Queue>,
    earlier: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    /// The number only tells members with the same time apart.
    due: BTreeMap<(Instant, u64), Arc<Session>>,
    next: u64,
}

impl Clock {
    /// Wakes [`Clock::next`] with this member at this time.
    pub(crate) fn watch(&self, session: Arc<Session>, at: Instant) {
        let mut queue = self.lock();
        let number = queue.next;
        queue.next += 1;
        queue.due.insert((at, number), session);
        let first = queue.due.keys().next() == Some(&(at, number));
        drop(queue);
        if first {
            self.earlier.notify_one();
        }
    }

    /// The next member that is due. Only one task may wait here. Cancelled, it has lost none.
    pub(crate) async fn next(&self) -> Arc<Session> {
        loop {
            let first = self.lock().due.keys().next().copied();
            match first {
                Some((at, _)) if at <= Instant::now() => {
                    if let Some((_, session)) = self.lock().due.pop_first() {
                        return session;
                    }
                }
                Some((at, _)) => tokio::select! {
                    () = sleep_until(at.into()) => {}
                    () = self.earlier.notified() => {}
                },
                None => self.earlier.notified().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue
            .lock()
            .expect("nothing panics while it holds the clock")
    }
}
